"""Whether the batch demo's numbers add up: each row of a day is a prediction or a rejection.

Reads the two databases as anyone could; of the predictions' it knows what docs/contracts.md says.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final

import numpy as np
import sqlalchemy as sa

from demo.flight_table import BROKEN_A_DAY, DAYS, SourceDay, opened, read_day
from demo.flights import MODEL

_PREDICTIONS: Final = sa.table(
    "predictions",
    sa.column("event_id", sa.Text),
    sa.column("model", sa.Text),
    sa.column("prediction", sa.Double),
    sa.column("scored_for", sa.Date),
)
_REJECTIONS: Final = sa.table(
    "rejections", sa.column("model", sa.Text), sa.column("scored_for", sa.Date)
)


@dataclass(frozen=True, slots=True)
class Night:
    """A day in numbers. `mae` and `naive_mae` are minutes between what was said and the truth.

    `strangers` are predictions for ids that the source does not have.
    """

    day: str
    rows: int
    scored: int
    rejected: int
    strangers: int
    mae: float | None
    naive_mae: float | None

    @property
    def wrong(self) -> str:
        """What does not add up, for people; nothing where all does."""
        found = []
        if self.rows != self.scored + self.rejected:
            answered = f"{self.scored} predictions and {self.rejected} rejections"
            found.append(f"{self.rows} rows in the source, but {answered}")
        if self.rejected != BROKEN_A_DAY:
            found.append(f"{self.rejected} rejections for {BROKEN_A_DAY} broken rows")
        if self.strangers:
            found.append(f"{self.strangers} predictions for rows that are not there")
        return f"{self.day}: {'; '.join(found)}" if found else ""

    def fields(self) -> dict[str, object]:
        """For JSON, rounded to what the numbers are good for."""
        given = asdict(self).items()
        return {name: round(v, 3) if isinstance(v, float) else v for name, v in given}


def audit(source: str, target: str) -> list[Night]:
    """Read both databases and count. Raises DatabaseError."""
    return [judge(str(day), read_day(source, day), *_answers(target, day)) for day in DAYS]


def judge(day: str, source: SourceDay, predicted: dict[str, float], rejected: int) -> Night:
    """Compare a day's predictions, by id, with its rows and the truth."""
    known = {key: truth for key, truth in source.truths.items() if key in predicted}
    return Night(
        day=day,
        rows=source.rows,
        scored=len(predicted),
        rejected=rejected,
        strangers=len(predicted) - len(known),
        mae=_mean([abs(predicted[key] - truth.arr_delay) for key, truth in known.items()]),
        naive_mae=_mean(
            [
                abs(truth.dep_delay - truth.arr_delay)
                for truth in known.values()
                if truth.dep_delay is not None
            ]
        ),
    )


def together(nights: Sequence[Night]) -> Night:
    """All days as one; errors count by their rows."""
    return Night(
        day=f"{len(nights)} days",
        rows=sum(night.rows for night in nights),
        scored=sum(night.scored for night in nights),
        rejected=sum(night.rejected for night in nights),
        strangers=sum(night.strangers for night in nights),
        mae=_mean([n.mae for n in nights for _ in range(n.scored) if n.mae is not None]),
        naive_mae=_mean(
            [n.naive_mae for n in nights for _ in range(n.scored) if n.naive_mae is not None]
        ),
    )


def _answers(target: str, day: date) -> tuple[dict[str, float], int]:
    given, refused = _PREDICTIONS.c, _REJECTIONS.c
    predictions = sa.select(given.event_id, given.prediction).where(
        given.model == MODEL, given.scored_for == day
    )
    rejections = (
        sa.select(sa.func.count())
        .select_from(_REJECTIONS)
        .where(refused.model == MODEL, refused.scored_for == day)
    )
    with opened(target) as connection:
        predicted = {key: float(value) for key, value in connection.execute(predictions)}
        return predicted, int(connection.execute(rejections).scalar_one())


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
