"""The monitor's snapshot: the one JSON document from which the page and its streams are drawn.

Values alone, as they are at one moment; it must not know where they come from. Times are RFC 3339
in UTC, durations are seconds, and `null` stands for what is not known (yet). Lists are bounded.
"""

import msgspec


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it works, as monitor/headline.py decides: a state for programs, words for people."""

    state: str
    text: str
    detail: str
    since: str | None = None


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a broker answers, since when it does or does not, and what was said last."""

    reachable: bool
    since: str
    error: str | None = None


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What went by in a second, over the last few; `events` are those that arrived on the input."""

    events_per_s: float | None = None
    predictions_per_s: float | None = None
    dead_letters_per_s: float | None = None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The last seconds, oldest first: parallel lists, `t` in Unix seconds; a gap is `null`."""

    t: list[float]
    events_per_s: list[float | None]
    predictions_per_s: list[float | None]
    lag_events: list[int | None]
    p50_s: list[float | None]
    p99_s: list[float | None]


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of the input, and how far the watched group has come in it.

    `committed` is null where the group never committed. `lag_s` is how long the oldest event that
    waits has been there, 0 without any: seen by the partition's end that passed it, so to a second,
    and at least that for one that was there before the monitor was started.
    """

    partition: int
    end: int | None = None
    committed: int | None = None
    lag_events: int | None = None
    lag_s: float | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From an event's timestamp to its prediction's, over the last minute's sample of `n`."""

    n: int = 0
    p50_s: float | None = None
    p99_s: float | None = None


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """How many events were scored at once, over the last minute's `n` batches."""

    n: int = 0
    p50: float | None = None
    max: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the watched group and the input's partitions that it has."""

    member: str
    client: str
    host: str
    partitions: list[int]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The watched group: its state in Kafka's own word ("stable", "empty", …) and its members.

    `rebalances` counts the changes of members or of their partitions that were seen.
    """

    name: str
    state: str | None = None
    rebalances: int = 0
    members: list[Member] = []


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """How many events were set aside at this stage, with this code."""

    stage: str
    code: str
    count: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was set aside: where it stands on the input, and why.

    `payload` is its value as text, cut short, and only where that is allowed (a setting).
    """

    at: str
    topic: str
    partition: int
    offset: int
    stage: str
    code: str
    message: str
    payload: str | None = None


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters since the monitor first watched: all, by cause, and the last ones, newest first.

    `share` is their part of all that was answered over the last minute, null without any answer.
    """

    total: int = 0
    share: float | None = None
    by_cause: list[Cause] = []
    last: list[DeadLetter] = []


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the model that answers: how many predictions, and when it was last seen."""

    model: str
    version: str
    count: int
    last_at: str


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions of the last minutes against the bundle's baseline.

    Of a number: bin i holds the values above `edges[i - 1]` up to and including `edges[i]`, the
    first and the last bin are open. Of a label: one bin for each of `categories`, then one for all
    others. `now` are counts, `baseline` shares, one for each bin, empty without a baseline.
    """

    name: str
    edges: list[float] = []
    categories: list[str] = []
    now: list[int]
    baseline: list[float] = []
    psi: float | None = None


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions between two probabilities: their mean, and how often it then was so."""

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good a version's predictions are that got their outcome within a window.

    `window` is "5m", "1h" or "all"; `metrics` are mae, rmse and bias (predicted minus true), or
    accuracy, log_loss, brier and ece (of probabilities). `coverage` is the share of the window's
    predictions that have an outcome by now.
    """

    window: str
    model: str
    version: str
    n: int
    metrics: dict[str, float] = {}
    coverage: float | None = None
    delay_p50_s: float | None = None
    calibration: list[CalibrationBin] = []


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """The truth that arrives later: how many were joined, and what became of the others.

    `early` wait for their prediction, `waiting` are predictions without an outcome; `duplicates`,
    `unusable` and `expired` (given up, by age or size) are counts since the start of the join.
    """

    received: int = 0
    joined: int = 0
    early: int = 0
    waiting: int = 0
    duplicates: int = 0
    unusable: int = 0
    expired: int = 0


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feature of the sampled events has moved from the baseline's.

    `psi` is the population stability index, `ks` the Kolmogorov-Smirnov distance (numbers only).
    """

    name: str
    n: int
    psi: float | None = None
    ks: float | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """ADWIN saw the mean of an error change: `from` this level `to` that."""

    at: str
    metric: str
    model: str
    version: str
    before: float = msgspec.field(name="from")
    after: float = msgspec.field(name="to")


class AlarmCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many alarms there were on this error of a version, since the monitor first watched."""

    metric: str
    model: str
    version: str
    count: int


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of features, in the model's order, and the last alarms on the error, newest first."""

    features: list[FeatureDrift] = []
    alarms: list[Alarm] = []
    totals: list[AlarmCount] = []


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the monitor knows at one moment.

    `model` is the bundle whose baseline is compared with ("name:version"), `task` what its answers
    are: "regression", "classification", "outlier" or "clustering"; both null without a bundle.
    """

    at: str
    started_at: str
    input: str
    output: str
    dead_letter_topic: str
    outcomes_topic: str | None = None
    model: str | None = None
    task: str | None = None
    headline: Headline | None = None
    broker: Broker
    rates: Rates
    history: History
    partitions: list[Partition] = []
    latency: Latency
    batches: Batches
    group: Group
    dead_letters: DeadLetters
    versions: list[Version] = []
    distributions: list[Distribution] = []
    quality: list[Quality] = []
    outcomes: Outcomes | None = None
    drift: Drift


def to_json(snapshot: Snapshot) -> bytes:
    """The document, in UTF-8; a number that is not finite is `null`."""
    return msgspec.json.encode(snapshot)
