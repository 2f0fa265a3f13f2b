"""A bundle: a saved model in a folder that nobody has to trust.

It becomes visible, and is loaded, only after its golden rows scored as they should, on the way
that events take. Uses files and nothing of Kafka, settings or clocks.
"""

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import sklearn
import skops
from threadpoolctl import threadpool_limits

from model.baseline import Baseline, make_baseline
from model.bundle_files import (
    BASELINE,
    CARD,
    GOLDEN,
    MODEL,
    SIGNATURE,
    parse,
    read_files,
    to_json,
    write_files,
)
from model.compiled import UnreadableModel, compile_engine, disagreement, probe_table
from model.engines import Engine, EngineChoice, NotKnown, ScikitLearnEngine
from model.errors import IncompatibleBundle, TamperedBundle, UnsupportedModel, WrongUsage
from model.golden import Golden, decode_golden, difference, make_golden
from model.schema import label_key
from model.scorer import Scorer
from model.signature import Signature, infer_signature
from model.store import Store
from model.table import Table, table_from_frame
from model.trust import dump_estimator, load_estimator


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded bundle, ready to score.

    `warnings` are for whoever runs it: what differs here from where it was saved. `baseline` is
    what its sample looked like, None of a bundle that was saved without one.
    """

    name: str
    version: str
    signature: Signature
    card: dict[str, Any]
    scorer: Scorer
    estimator: Any
    path: Path
    warnings: tuple[str, ...] = ()
    baseline: Baseline | None = None

    @property
    def reference(self) -> str:
        """The version's full name, "name:version"."""
        return f"{self.name}:{self.version}"

    def score(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Score a table with a column per feature; other columns are ignored.

        The answer has the table's index and the column `prediction`, then
        `probabilities.<label>` for each label of a classifier, or an outlier detector's
        `score`. A row that cannot be scored has missing values in them, and
        `answer.attrs["rejections"]` says why, by the row's position.

        Raises:
            UnsupportedModel: a column is missing, or does not hold what events must.

        """
        table = table_from_frame(self.signature, frame)
        with threadpool_limits(1):
            scores = self.scorer.score(table)
        columns: dict[str, Any] = {"prediction": []}
        columns |= {f"probabilities.{key}": [] for key in self._label_keys()}
        if self.signature.score:
            columns["score"] = []
        if (answers := scores.answers) is not None:
            columns["prediction"] = answers.prediction
            if answers.probabilities is not None:
                columns.update(zip(list(columns)[1:], answers.probabilities.T, strict=True))
            if answers.score is not None:
                columns["score"] = answers.score
        scored = pd.DataFrame(columns, index=scores.positions)
        if scores.failed:
            scored = scored.reindex(range(table.rows))
            scored.attrs["rejections"] = {
                position: rejection.message for position, rejection in scores.failed.items()
            }
        return scored.set_axis(frame.index, axis=0)

    def _label_keys(self) -> list[str]:
        labels = self.signature.labels if self.signature.probabilities else ()
        return [label_key(label) for label in labels]


def save_bundle(  # noqa: PLR0913 - what a sample does not show, each with a default
    estimator: Any,  # noqa: ANN401 - any fitted estimator or pipeline
    sample: pd.DataFrame,
    *,
    name: str,
    store: Store | Path | str,
    created_at: datetime,
    metrics: Mapping[str, float] | None = None,
    training: Mapping[str, object] | None = None,
    paths: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    nullable: Mapping[str, bool] | None = None,
    allowed_types: Collection[str] = (),
) -> str:
    """Save a fitted estimator as the next version of a model; gives "name:version".

    `sample` are some of its inputs, one column per feature: names, kinds and nullability are
    read from it; `kinds`, `nullable` and `paths` (into nested events) say what it does not show.
    `metrics` and `training` go onto the card. The version is visible only after it was loaded.

    Raises:
        UnsupportedModel: the estimator or its sample cannot be bundled.
        UntrustedModel: it holds types that are not on the list, nor in `allowed_types`.
        WrongUsage: the name, a metric or `created_at` (which needs a time zone) is wrong.

    """
    sample = sample.rename(columns=str)
    with threadpool_limits(1):
        signature = infer_signature(estimator, sample, paths=paths, kinds=kinds, nullable=nullable)
        golden = make_golden(estimator, signature, sample)
        baseline = make_baseline(signature, sample, ScikitLearnEngine(estimator, signature))
    card = {
        "created_at": _utc(created_at),
        **_described(estimator, signature),
        "rows": len(sample),
        "golden_rows": len(golden.events),
        "metrics": dict(metrics or {}),
        "training": dict(training or {}),
    }
    files = {
        MODEL: dump_estimator(estimator),
        SIGNATURE: to_json(signature.to_dict()),
        GOLDEN: msgspec.json.encode(golden),
    }
    if baseline is not None:
        files[BASELINE] = msgspec.json.encode(baseline)

    def write(folder: Path, version: str) -> None:
        whole = {"name": name, "version": version, **card}
        write_files(folder, {**files, CARD: to_json(whole)})
        _prove(folder, allowed_types)

    ref = _store(store).add(name, write)
    return f"{ref.name}:{ref.version}"


def _prove(folder: Path, allowed_types: Collection[str]) -> None:
    """Load what was written, before anyone else can."""
    try:
        load_bundle(folder, allowed_types=allowed_types)
    except IncompatibleBundle as error:
        msg = f"the estimator scores its sample differently once saved: {error}"
        hint = "a model must give the same answer to the same event every time"
        raise UnsupportedModel(msg, hint=hint) from error


def load_bundle(
    path: Path | str,
    *,
    allowed_types: Collection[str] = (),
    engine: EngineChoice = "auto",
) -> Model:
    """Load a bundle's folder, and prove that it scores here as it did where it was saved.

    The `engine` "auto" is the quickest that gives the estimator's own answers to its golden rows;
    "scikit-learn" is the estimator itself.

    Raises:
        ModelNotFound: there is no such folder.
        TamperedBundle: a file is missing, changed or too many.
        UntrustedModel: the model holds types that are neither on the list nor allowed.
        IncompatibleBundle: it cannot be read or scores differently with the libraries here.

    """
    path = Path(path)
    files = read_files(path)
    card = parse(path / CARD, files[CARD], dict[str, Any])
    signature = Signature.from_dict(parse(path / SIGNATURE, files[SIGNATURE], dict[str, Any]))
    golden = parse(path / GOLDEN, files[GOLDEN], Golden)
    baseline = None
    if BASELINE in files:
        baseline = parse(path / BASELINE, files[BASELINE], Baseline)
    name, version = str(card.get("name")), str(card.get("version"))
    estimator = load_estimator(files[MODEL], source=str(path / MODEL), allowed_types=allowed_types)
    _use_one_process(estimator)
    plain = ScikitLearnEngine(estimator, signature)
    saved_with = _saved_with(card)
    warnings: list[str] = []
    with threadpool_limits(1):
        rows = decode_golden(golden, signature)
        if differs := difference(golden, signature, rows, Scorer(plain)):
            msg = f"{name}:{version} scores differently here: {differs}"
            hint = f"it was saved with scikit-learn {saved_with}, here is {sklearn.__version__}"
            raise IncompatibleBundle(msg, hint=hint)
        chosen, why = (
            (plain, None)
            if engine == "scikit-learn"
            else _quickest(estimator, signature, plain, rows.table)
        )
        if why:
            warnings.append(f"{name}:{version} is scored by scikit-learn: compiled, {why}")
    if saved_with != sklearn.__version__:
        warning = f"{name}:{version} was saved with scikit-learn {saved_with} and is run with "
        warning += f"{sklearn.__version__}: its {len(golden.events)} golden rows score the same"
        warnings.append(warning)
    scorer = Scorer(chosen)
    return Model(name, version, signature, card, scorer, estimator, path, tuple(warnings), baseline)


def _quickest(
    estimator: Any,  # noqa: ANN401 - any estimator
    signature: Signature,
    plain: Engine,
    golden: Table,
) -> tuple[Engine, str | None]:
    """The quickest engine that answers as the plain one; why it is not the compiled one."""
    try:
        compiled = compile_engine(estimator, signature, plain)
    except NotKnown:
        return plain, None
    except UnreadableModel as error:
        return plain, str(error)
    differs = disagreement(compiled, plain, probe_table(signature, golden))
    return (plain, differs) if differs else (compiled, None)


def load_model(
    reference: str,
    *,
    store: Store | Path | str,
    allowed_types: Collection[str] = (),
    engine: EngineChoice = "auto",
) -> Model:
    """Load "name@alias", "name:version" or "name" (its champion) from a store.

    Raises:
        ModelNotFound: the store has no such model, version or alias.
        ModelError: as `load_bundle`.

    """
    ref = _store(store).resolve(reference)
    model = load_bundle(ref.path, allowed_types=allowed_types, engine=engine)
    if (model.name, model.version) != (ref.name, ref.version):
        msg = f"{ref.path} holds the bundle {model.reference}: it was copied or renamed"
        raise TamperedBundle(msg, hint="bundle the model again under the new name")
    return model


def _store(store: Store | Path | str) -> Store:
    return store if isinstance(store, Store) else Store(store)


def _utc(created_at: datetime) -> str:
    if created_at.tzinfo is None:
        msg = f"created_at is {created_at.isoformat()}, without a time zone"
        raise WrongUsage(msg, hint="use datetime.now(UTC)")
    return created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _described(estimator: object, signature: Signature) -> dict[str, object]:
    return {
        "task": signature.task.value,
        "estimator": " ".join(repr(estimator).split()),
        "features": list(signature.names),
        "versions": {
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "skops": skops.__version__,
        },
    }


def _saved_with(card: Mapping[str, Any]) -> str:
    versions = card.get("versions")
    return str(versions.get("scikit-learn")) if isinstance(versions, dict) else "an unknown version"


def _use_one_process(estimator: Any) -> None:  # noqa: ANN401 - duck-typed
    """Score in the calling thread: workers of its own cost more than a small batch takes."""
    if hasattr(estimator, "get_params"):
        names = [name for name in estimator.get_params() if name.split("__")[-1] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(names, 1))
