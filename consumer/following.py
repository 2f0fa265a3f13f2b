"""Answers each batch with the model that is at work when the batch begins: one version a batch."""

from typing import TYPE_CHECKING

from consumer.records import Batch, Outgoing, Stages, Tally
from runtime.reload import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.loop import Scoring
    from model.bundle import Model


class Following:
    """A pipeline that is built anew, by `build`, when the watcher has another model."""

    def __init__(self, watcher: Watcher, build: "Callable[[Model], Scoring]") -> None:
        self._watcher = watcher
        self._build = build
        self._model = watcher.model
        self._scoring = build(self._model)

    def run(self, batch: Batch, now: str, stage: Stages) -> tuple[Outgoing, Tally]:
        """Answer a batch; the arguments are those of `Scoring.run`."""
        model = self._watcher.model
        if model is not self._model:
            self._scoring = self._build(model)
            self._model = model
        return self._scoring.run(batch, now, stage)
