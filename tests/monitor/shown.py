"""Snapshots as a service at work would give them, for tests of what is made of them."""

import math
from typing import Any

from monitor.figures import text_of
from monitor.headline import headline
from monitor.snapshot import (
    Alarm,
    Batches,
    Broker,
    CalibrationBin,
    Cause,
    DeadLetter,
    DeadLetters,
    Distribution,
    Drift,
    FeatureDrift,
    Group,
    History,
    Latency,
    Member,
    Outcomes,
    Partition,
    Quality,
    Rates,
    Snapshot,
    Version,
)

T0 = 1_767_262_500.0
SECONDS = 240


def history(now: float, *, lag: list[int | None] | None = None) -> History:
    """Four minutes in which the rates sway."""
    n = range(SECONDS - 1)
    rate = [5_000 + 900 * math.sin(i / 25) + 140 * math.sin(i * 1.7) for i in n]
    return History(
        t=[now - SECONDS + 1 + i for i in range(SECONDS)],
        events_per_s=[*rate, 5_123.4],
        predictions_per_s=[*(r - 60 * math.sin(i * 0.9) for i, r in enumerate(rate)), 5_098.1],
        lag_events=lag or [*(int(186 + 60 * math.sin((i - SECONDS + 1) / 9)) for i in n), 186],
        p50_s=[*(0.012 + 0.002 * math.sin(i / 12) for i in n), 0.0124],
        p99_s=[*(0.041 + 0.012 * abs(math.sin(i / 7)) for i in n), 0.0481],
    )


def snapshot(now: float = T0, **changed: Any) -> Snapshot:
    """A service at work; what is named is as it is given."""
    fields: dict[str, Any] = {
        "at": text_of(now),
        "started_at": text_of(now - 3_600),
        "input": "flights",
        "output": "flight-delays",
        "dead_letter_topic": "flights.dlq",
        "outcomes_topic": "flight-arrivals",
        "model": "flight-delay:4",
        "task": "regression",
        "broker": Broker(reachable=True, since=text_of(now - 3_600)),
        "rates": Rates(events_per_s=5_123.4, predictions_per_s=5_098.1, dead_letters_per_s=0.0),
        "history": history(now),
        "partitions": [
            Partition(partition=n, end=912_345 + n, committed=912_300, lag_events=45 + n, lag_s=0.4)
            for n in range(4)
        ],
        "latency": Latency(n=12_000, p50_s=0.0124, p99_s=0.0481),
        "batches": Batches(n=4_000, p50=64.0, max=1_000),
        "group": Group(
            name="streamscore-flight-delay",
            state="stable",
            rebalances=2,
            members=[
                Member(member="m-1", client="worker-1", host="/10.0.0.4", partitions=[0, 1]),
                Member(member="m-2", client="worker-2", host="/10.0.0.5", partitions=[2, 3]),
            ],
        ),
        "dead_letters": dead_letters(now),
        "versions": [
            Version(model="flight-delay", version="3", count=812_000, last_at=text_of(now - 900)),
            Version(model="flight-delay", version="4", count=2_836_000, last_at=text_of(now)),
        ],
        "distributions": [
            Distribution(
                name="prediction",
                edges=[-20.0, -10.0, 0.0, 10.0, 20.0, 40.0, 80.0],
                now=[180, 610, 1_240, 1_130, 760, 620, 310, 150],
                baseline=[0.05, 0.14, 0.26, 0.22, 0.14, 0.11, 0.05, 0.03],
                psi=0.021,
            )
        ],
        "quality": [quality(window, version) for version in "34" for window in ("5m", "1h", "all")],
        "outcomes": Outcomes(received=3_100_200, joined=3_099_100, early=41, waiting=548_900,
                             duplicates=210, unusable=3, expired=0),
        "drift": Drift(
            features=[
                FeatureDrift(name="distance", n=5_000, psi=0.012, ks=0.021),
                FeatureDrift(name="hour", n=5_000, psi=0.262, ks=0.174),
                FeatureDrift(name="origin", n=5_000, psi=0.004),
            ],
            alarms=[alarm(now)],
        ),
    }  # fmt: skip
    made = Snapshot(**(fields | changed))
    return Snapshot(**{name: getattr(made, name) for name in made.__struct_fields__
                       if name != "headline"}, headline=headline(made))  # fmt: skip


def alarm(now: float) -> Alarm:
    """An error that rose half an hour ago."""
    levels: dict[str, Any] = {"before": 11.2, "after": 14.9}
    return Alarm(at=text_of(now - 1_800), metric="mae", model="flight-delay", version="3", **levels)


def dead_letters(now: float, text: str = "the field distance is missing") -> DeadLetters:
    """Two causes, and three letters."""
    letters = [
        DeadLetter(at=text_of(now - 70 * n - 5), topic="flights", partition=n, offset=912_001 + n,
                   stage="validate", code="missing_feature", message=text)
        for n in range(3)
    ]  # fmt: skip
    causes = [
        Cause(stage="validate", code="missing_feature", count=310),
        Cause(stage="decode", code="not_json", count=12),
    ]
    return DeadLetters(total=322, share=0.0003, by_cause=causes, last=letters)


def quality(window: str, version: str) -> Quality:
    """A version's errors within a window."""
    return Quality(
        window=window, model="flight-delay", version=version, n=12_400,
        metrics={"mae": 11.42, "rmse": 18.9, "bias": -0.31}, coverage=0.874, delay_p50_s=5_400.0,
    )  # fmt: skip


def calibration() -> list[CalibrationBin]:
    """Ten bins of a classifier that is a little too sure."""
    return [
        CalibrationBin(low=n / 10, high=(n + 1) / 10, n=500 - 40 * n, predicted=n / 10 + 0.05,
                       observed=0.9 * n / 10 + 0.07)
        for n in range(10)
    ]  # fmt: skip
