"""The accelerated engine: scikit-learn's trees, evaluated by the extension.

It is used only after it gave the estimator's own answers to the golden rows and to rows made of
them (`probe_table`). What it does not know, and what scikit-learn may refuse, it leaves to the
estimator itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from model.columns import REFUSED, plan_columns
from model.engines import Answers, Engine, NotKnown, estimator_inputs
from model.ensembles import Ensemble, read_ensemble
from model.evaluators import Evaluator, evaluator
from model.linear import LINEAR, LinearEngine
from model.scorer import Scorer
from model.signature import Kind, Signature
from model.table import Table, missing_value

_RTOL, _ATOL = 1e-12, 1e-12
_ROWS, _FEW = 64, 4  # golden rows of which the probe is made
_MOST_COLUMNS = 1000  # that a pipeline may make: sparse ones are made dense

# How an attribute that is read tells that another version of scikit-learn holds something else.
_OTHER_VERSION = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    MemoryError,  # there is no room for a second form of it
)


class UnreadableModel(Exception):
    """The installed scikit-learn holds a model otherwise than the versions that are known here."""


class CompiledEngine:
    """Trees evaluated by the extension; `plain` answers where scikit-learn may refuse a row."""

    name = "compiled"

    def __init__(
        self,
        inputs: Callable[[Table], npt.NDArray[np.float64]],
        ensemble: Ensemble,
        trees: Evaluator,
        plain: Engine,
    ) -> None:
        self._inputs = inputs
        self._ensemble = ensemble
        self._trees = trees
        self._plain = plain

    def answer(self, table: Table) -> Answers:
        """The estimator's answers.

        Raises:
            Exception: whatever the estimator raises.

        """
        ensemble, rows = self._ensemble, self._inputs(table)
        if ensemble.single:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        taken = ~np.isinf(rows) if ensemble.missing else np.isfinite(rows)
        if not taken.all():
            return self._plain.answer(table)
        sums = np.empty((len(rows), len(ensemble.start)))
        sums[:] = ensemble.start
        self._trees.add(rows, sums)
        return ensemble.answers(sums)


def compile_engine(estimator: Any, signature: Signature, plain: Engine) -> Engine:  # noqa: ANN401 - any estimator
    """The accelerated engine of an estimator, not yet proved.

    Raises:
        NotKnown: it is of a kind that is not compiled.
        UnreadableModel: scikit-learn holds it in another way than is known here.

    """
    # Of a subclass nothing is known.
    pipeline = [step for _, step in estimator.steps] if type(estimator) is Pipeline else [estimator]
    *steps, last = pipeline
    try:
        if type(last) in LINEAR:
            return LinearEngine(steps, last, signature, plain)
        ensemble = read_ensemble(last, probabilities=signature.probabilities)
        trees = evaluator(ensemble)
        ensemble = replace(ensemble, trees=[])  # the evaluator has its own
        inputs = plan_columns(pipeline, signature, single=ensemble.single)
    except _OTHER_VERSION as error:
        msg = f"{type(error).__name__} while its parts were read: {error}"
        raise UnreadableModel(msg) from error
    if inputs is not None:
        return CompiledEngine(inputs, ensemble, trees, plain)
    if ensemble.columns > _MOST_COLUMNS:
        raise NotKnown
    own = _own_steps(estimator[:-1] if steps else None, signature, ensemble)
    return CompiledEngine(own, ensemble, trees, plain)


def _own_steps(
    steps: Pipeline | None, signature: Signature, ensemble: Ensemble
) -> Callable[[Table], npt.NDArray[np.float64]]:
    """The steps before the trees as scikit-learn does them, and its checks of their inputs."""

    def inputs(table: Table) -> npt.NDArray[np.float64]:
        given = estimator_inputs(signature, table)
        rows = ensemble.validate(given if steps is None else steps.transform(given))
        if hasattr(rows, "toarray"):  # scikit-learn takes no missing values in a sparse matrix
            rows = rows.toarray()
            rows[np.isnan(rows)] = REFUSED
        return np.ascontiguousarray(rows, dtype=np.float64)

    return inputs


def disagreement(engine: Engine, plain: Engine, probe: Table) -> str | None:
    """Where an engine answers a probe otherwise than the plain one, or refuses other rows."""
    expected, given = Scorer(plain).score(probe), Scorer(engine).score(probe)
    if expected.failed.keys() != given.failed.keys():
        return "it refuses other rows"
    if expected.answers is None or given.answers is None:
        return None
    for name in ("prediction", "probabilities", "score"):
        old, new = getattr(expected.answers, name), getattr(given.answers, name)
        if old is None and new is None:
            continue
        if old is None or new is None or old.shape != new.shape or old.dtype.kind != new.dtype.kind:
            return f"its {name} has another form"
        same = np.isclose(new, old, _RTOL, _ATOL) if old.dtype.kind == "f" else new == old
        if not same.all():
            return f"its {name} differs in {int((~same).sum())} of {same.size} values"
    return None


def probe_table(signature: Signature, golden: Table) -> Table:
    """Rows to prove an engine with: golden ones, mixtures of them, missing values, unseen text."""
    rows = golden.take(slice(0, _ROWS))
    mixed = [np.roll(column, shift) for shift, column in enumerate(rows.columns)]
    parts = [rows.columns, mixed]
    for at, feature in enumerate(signature.features):
        if feature.nullable:
            few = [column[:_FEW].copy() for column in rows.columns]
            few[at][:] = missing_value(feature)
            parts.append(few)
        if feature.kind is Kind.STRING:
            few = [column[:_FEW].copy() for column in rows.columns]
            few[at][:] = "\N{WHITE QUESTION MARK ORNAMENT}"
            parts.append(few)
    columns = tuple(np.concatenate(each) for each in zip(*parts, strict=True))
    return Table(columns, len(columns[0]))
