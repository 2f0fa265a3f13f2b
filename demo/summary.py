"""What came of a demo: the figures that `--summary` writes, and whether the promise was kept."""

import json
from dataclasses import asdict, dataclass

from demo.figures import Snapshot
from runtime.ledger import Audit


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole run in numbers. Latency and MAE are None where there was no prediction."""

    events: int
    predictions: int
    dead_letters: int
    lost: int
    doubled: int
    events_per_second: float
    latency_p50_ms: float | None
    """From an event's timestamp to its committed prediction in the demo's hands."""
    latency_p99_ms: float | None
    mae: float | None
    """Minutes between the predicted and the real arrival delay, on average."""
    naive_mae: float | None
    """The same for the guess that a flight arrives as late as it left."""
    seconds: float
    workers: int
    alerts: int
    """Predictions above 60 minutes, as the subscriber printed them."""
    model: str

    def to_json(self) -> str:
        """Give the summary as a JSON object, its numbers rounded to what they are good for."""
        fields = asdict(self)
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in fields.items()
        }
        return json.dumps(rounded, indent=2) + "\n"


def sum_up(total: Snapshot, audit: Audit, *, workers: int, model: str) -> Summary:
    """Join what the audit found on the topics with what the demo measured on the way."""
    return Summary(
        events=audit.events + audit.tombstones,
        predictions=audit.predictions,
        dead_letters=audit.dead_letters,
        lost=audit.lost,
        doubled=audit.doubled,
        events_per_second=total.events_per_second,
        latency_p50_ms=total.latency_p50_ms,
        latency_p99_ms=total.latency_p99_ms,
        mae=total.mae,
        naive_mae=total.naive_mae,
        seconds=total.seconds,
        workers=workers,
        alerts=total.alerts,
        model=model,
    )
