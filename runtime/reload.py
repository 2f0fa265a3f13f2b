"""Follows an alias while its model is at work: what it newly stands for is loaded beside it.

A thread of its own asks the store now and then, loads and checks a new version, and offers it.
Whoever scores takes `model` between two batches: one read of an attribute, no lock. Whatever goes
wrong, the version at work goes on. Knows nothing of where events come from.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from model import load
from model.codec import EventDecoder
from model.errors import IncompatibleBundle, StreamscoreError
from model.schema import answers_differ
from model.store import Store, is_alias
from runtime.retry import Backoff
from runtime.settings import Settings
from runtime.telemetry import ModelMetrics

if TYPE_CHECKING:
    from model.bundle import Model

_log = structlog.get_logger("streamscore.model")

_STOP_S: Final = 2.0
# A bundle never changes, but the machine does: memory, permissions, a store that was away.
_AGAIN: Final = Backoff(base_s=30.0, cap_s=600.0, attempts=1)


@dataclass(frozen=True, slots=True)
class _Refused:
    version: str
    attempts: int
    again_at: float


@dataclass(slots=True)
class Watcher:
    """Holds the model to score with: the newest version of its alias that passed its checks.

    `find` gives the version that the alias stands for, `load` loads one. `look` is called by one
    thread; `model` may be read by any.
    """

    model: "Model"
    find: Callable[[], str]
    load: Callable[[str], "Model"]
    metrics: ModelMetrics
    _refused: _Refused | None = field(default=None, init=False)
    _told: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._offer(self.model)

    def _offer(self, model: "Model") -> None:
        self.model = model
        engine = model.scorer.engine
        self.metrics.serve(model=model.name, version=model.version, engine=engine)

    def look(self, now: float) -> None:
        """Ask once what the alias stands for, and load it where that is new.

        A version that was refused is tried again when the alias has moved, or after a while; `now`
        is in seconds of a clock that never goes back.
        """
        try:
            version = self.find()
        except Exception as error:  # noqa: BLE001 - whatever is in the store
            self.metrics.reloads.labels("not_found").inc()
            self._tell("model_not_found", error)
            return
        refused = self._refused
        if version == self.model.version:
            self._refused = self._told = None
        elif refused is None or refused.version != version:
            self._try(version, 1, now)
        elif now >= refused.again_at:
            self._try(version, refused.attempts + 1, now)

    def _try(self, version: str, attempt: int, now: float) -> None:
        before = self.model
        try:
            model = self.load(version)
            _require_same_answers(before, model)
        except Exception as error:  # noqa: BLE001 - whatever a bundle raises, the one at work goes on
            again_s = _AGAIN.delay_s(attempt, random.random())  # noqa: S311 - jitter
            self._refused = _Refused(version, attempt, now + again_s)
            self.metrics.reloads.labels("refused").inc()
            self._tell("model_refused", error, version=version)
            return
        self._refused = self._told = None
        self._offer(model)
        self.metrics.reloads.labels("loaded").inc()
        _log.info("model_loaded", model=model.reference, before=before.reference)

    def _tell(self, event: str, error: Exception, **fields: str) -> None:
        """Log a cause once, however often it is met in a row."""
        expected = isinstance(error, StreamscoreError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        told = f"{event} {fields} {reason}"
        if told != self._told:
            self._told = told
            hint = error.hint if isinstance(error, StreamscoreError) else ""
            _log.warning(event, reason=reason, hint=hint, at_work=self.model.reference, **fields)


@contextmanager
def following(
    reference: str, model: "Model", settings: Settings, metrics: ModelMetrics
) -> Iterator[Watcher]:
    """Follow `reference`, by which `model` was loaded, until the block is left.

    A version ("name:3") stays as it is, and so does everything where `model.reload_interval_s`
    is 0.
    """
    store, name = Store(settings.store), model.name
    watcher = Watcher(
        model,
        lambda: store.resolve(reference).version,
        lambda version: load_with(settings, f"{name}:{version}"),
        metrics,
    )
    interval_s = settings.model.reload_interval_s
    if not interval_s or not is_alias(reference):
        yield watcher
        return
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(interval_s):
            watcher.look(time.monotonic())

    thread = threading.Thread(target=watch, name="reload", daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stopped.set()
        thread.join(_STOP_S)  # a load that is under way is not waited for


def load_with(settings: Settings, reference: str) -> "Model":
    """Load a model as the settings say, and log what it warns of.

    Raises:
        ModelError: it is not there, or does not pass its checks.
        SettingsError: no event of its signature can have its id where the settings say.

    """
    model = load(
        reference,
        store=settings.store,
        allowed_types=settings.model.allowed_types,
        engine=settings.model.engine,
    )
    EventDecoder(model.signature, settings.event_id_field)
    for warning in model.warnings:
        _log.warning("model_warning", model=model.reference, warning=warning)
    return model


def _require_same_answers(before: "Model", model: "Model") -> None:
    """Refuse a version whose predictions their readers may not understand."""
    if differ := answers_differ(before.signature, model.signature):
        msg = f"{model.reference} answers otherwise than {before.reference}, at work: {differ}"
        hint = "readers may not expect that: restart the service to take it, or give it a new name"
        raise IncompatibleBundle(msg, hint=hint)
