"""`streamscore train` and `bundle`: estimators into the store; `models` is models_command's."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.errors import WrongUsage
from runtime.models_command import models
from runtime.terminal import JsonOption, StoreOption, out, plain, print_json, progress, table

if TYPE_CHECKING:
    from model.train import Trained
    from runtime.settings import Settings

__all__ = ["bundle", "models", "train"]

KINDS = ("number", "integer", "boolean", "string")

NameOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What the model is called; a name again is a new version."),
]
FeaturesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="The columns that the model is given.", show_default=False),
]
NullableOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,…",
        help="Features that may be null in an event, though the table shows none.",
        show_default=False,
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE=KIND",
        help="number or integer, where the table shows the other. Can be repeated.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path, typer.Option(metavar="FILE", help="The table: .csv, .parquet or .ndjson.")
]
TargetOption = Annotated[str, typer.Option(metavar="COL", help="The column to predict.")]
TimeOption = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="The rows are taken in the order of this column, else of the file.",
        show_default=False,
    ),
]
EstimatorOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="Makes an unfitted estimator, given the table of features; "
        "without it, HistGradientBoosting.",
        show_default=False,
    ),
]
ShareOption = Annotated[
    float, typer.Option(metavar="SHARE", help="The share of the rows, the last, to evaluate.")
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A fitted estimator: .skops, .joblib or .pkl.")
]
SampleOption = Annotated[
    Path, typer.Option(metavar="FILE", help="Some of its inputs: .csv, .parquet or .ndjson.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-pickle", help="Load a pickle, which runs the code in it.")
]
PathOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE=A.B",
        help="Where a nested event has the feature. Can be repeated.",
        show_default=False,
    ),
]
AliasOption = Annotated[
    str | None,
    typer.Option(metavar="ALIAS", help="An alias for the new version.", show_default=False),
]


def train(
    data: DataOption,
    target: TargetOption,
    name: NameOption,
    features: FeaturesOption = None,
    time_column: TimeOption = None,
    estimator: EstimatorOption = None,
    test_share: ShareOption = 0.2,
    nullable: NullableOption = None,
    kind: KindOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a model on a table, evaluate it on the last rows in time, and bundle it.

    A target of text, booleans or few whole numbers makes a classifier, other numbers a regressor.
    Rows without a target are left out. The model that was evaluated is the one bundled.
    """
    from model.store import require_name
    from runtime.sample import require_features
    from runtime.settings import load_settings

    settings = load_settings({"store": store})
    require_name(name)
    nulls, kinds = _names(nullable), _kinds(kind)
    columns = {"target": target, "time_column": time_column, "features": _names(features) or None}
    trained = _fit(data, columns, test_share, estimator)
    require_features("--nullable", nulls, trained.sample.columns)
    require_features("--kind", kinds, trained.sample.columns)
    training = {**trained.training, "built_by": estimator or "streamscore"}
    with progress("bundling"):
        reference = _save(
            settings,
            trained.estimator,
            trained.sample,
            name=name,
            metrics=trained.metrics,
            training=training,
            nullable=dict.fromkeys(nulls, True),
            kinds=kinds,
        )
    if as_json:
        facts = {"task": trained.task, "metrics": trained.metrics, "training": training}
        print_json({"model": reference, **facts})
    else:
        _show_trained(reference, trained, settings)


def bundle(
    model: ModelArgument,
    sample: SampleOption,
    name: NameOption,
    trust_pickle: TrustOption = False,
    features: FeaturesOption = None,
    nullable: NullableOption = None,
    kind: KindOption = None,
    path: PathOption = None,
    alias: AliasOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bundle an estimator that is already fitted, with a sample of its inputs.

    The sample gives the features' names and kinds, says which may be null, and brings the golden
    rows, which must score the same wherever the bundle is loaded.
    """
    from model.store import Store, require_alias, require_name
    from runtime.sample import choose_inputs, require_features
    from runtime.settings import load_settings
    from runtime.tables import read_table

    settings = load_settings({"store": store})
    require_name(name)
    if alias is not None:
        require_alias(alias)
    nulls, kinds, paths = _names(nullable), _kinds(kind), _pairs("--path", path)
    estimator = _estimator(model, settings, trust_pickle=trust_pickle)
    with progress(f"reading {sample}"):
        inputs = choose_inputs(estimator, sample, read_table(sample), _names(features), paths)
    for option, named in (("--path", paths), ("--kind", kinds), ("--nullable", nulls)):
        require_features(option, named, inputs.columns)
    with progress("bundling"):
        reference = _save(
            settings,
            estimator,
            inputs,
            name=name,
            nullable=dict.fromkeys(nulls, True),
            kinds=kinds,
            paths=paths,
        )
    if alias is not None:
        Store(settings.store).promote(name, reference.rpartition(":")[2], alias)
    if as_json:
        print_json({"model": reference, "alias": alias, "features": list(inputs.columns)})
    else:
        known = f"{reference} ({alias})" if alias else reference
        out().print(plain(f"{known} bundled with {len(inputs):,} rows, in {settings.store}"))


def _fit(
    data: Path, columns: Mapping[str, Any], test_share: float, estimator: str | None
) -> "Trained":
    from model.train import train as fit
    from runtime.estimators import builder
    from runtime.sample import require_columns
    from runtime.tables import read_table

    with progress(f"reading {data}"):
        frame = read_table(data)
    named = [columns["target"], columns["time_column"], *(columns["features"] or ())]
    require_columns(data, frame, filter(None, named))
    with progress("fitting"), builder(estimator) if estimator else nullcontext() as build:
        return fit(frame, **columns, test_share=test_share, build=build)


def _estimator(file: Path, settings: "Settings", *, trust_pickle: bool) -> Any:  # noqa: ANN401 - any estimator
    from runtime.estimators import PICKLES, read_pickle, read_skops, refuse_pickle
    from runtime.tables import require_file

    suffix = file.suffix.lower()
    if suffix not in {".skops", *PICKLES}:
        msg = f"{file}: cannot tell the format from the suffix {file.suffix!r}"
        raise WrongUsage(msg, hint=f"estimators are .skops, {', '.join(PICKLES)}")
    require_file(file)
    if suffix != ".skops" and not trust_pickle:
        raise refuse_pickle(file)
    with progress(f"reading {file}"):
        if suffix == ".skops":
            return read_skops(file, settings.model.allowed_types)
        return read_pickle(file)


def _save(settings: "Settings", estimator: Any, sample: Any, **choices: Any) -> str:  # noqa: ANN401 - passed on
    from datetime import UTC, datetime

    from model.bundle import save_bundle

    return save_bundle(
        estimator,
        sample,
        store=settings.store,
        created_at=datetime.now(UTC),
        allowed_types=settings.model.allowed_types,
        **choices,
    )


def _show_trained(reference: str, trained: "Trained", settings: "Settings") -> None:
    training = trained.training
    what = f"{trained.task.value} of {training['target']}"
    out().print(plain(f"{reference} in {settings.store}: {what}"))
    left_out = training["rows_without_target"]
    without = f" ({left_out:,} without a target left out)" if left_out else ""
    out().print(plain(f"fitted on {training['rows_fitted']:,} rows{without}"))
    evaluated = f"evaluated on {training['rows_evaluated']:,}, {training['evaluated_on']}:"
    out().print(plain(evaluated))
    rows = [(name, f"{value:,.4g}") for name, value in trained.metrics.items()]
    out().print(table(("metric", "value"), rows))


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def _kinds(given: list[str] | None) -> Mapping[str, str]:
    kinds = _pairs("--kind", given)
    for feature, kind in kinds.items():
        if kind not in KINDS:
            msg = f"--kind {feature}={kind}: {kind!r} is no kind"
            raise WrongUsage(msg, hint=f"there are: {', '.join(KINDS)}")
    return kinds


def _pairs(option: str, given: list[str] | None) -> Mapping[str, str]:
    pairs = {}
    for text in given or ():
        feature, _, value = text.rpartition("=")
        if not feature or not value:
            msg = f"{option} is {text!r}, without a feature and a value"
            raise WrongUsage(msg, hint=f"it reads like {option} FEATURE=…")
        pairs[feature] = value
    return pairs
