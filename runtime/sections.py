"""The sections of the settings: what each part of Streamscore can be told, with its defaults."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from runtime.masking import mask_address, mask_properties

ADDRESSES = ("source", "target")  # of databases: they may hold a password

_OWN_SETTING = {
    "acks": "consumer.guarantee",
    "allow.auto.create.topics": "`streamscore topics create`",
    "auto.offset.reset": "consumer.auto_offset_reset",
    "bootstrap.servers": "bootstrap_servers",
    "enable.auto.commit": "consumer.guarantee",
    "enable.auto.offset.store": "consumer.guarantee",
    "enable.idempotence": "consumer.guarantee",
    "group.id": "consumer.group",
    "group.instance.id": "instance_id",
    "group.protocol": "consumer.group_protocol",
    "isolation.level": "consumer.guarantee",
    "max.poll.interval.ms": "consumer.max_poll_interval_s",
    "metadata.broker.list": "bootstrap_servers",
    "request.required.acks": "consumer.guarantee",
    "session.timeout.ms": "consumer.session_timeout_s",
    "transaction.timeout.ms": "consumer.transaction_timeout_s",
    "transactional.id": "instance_id",
}


def _property_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(_property_text(item) for item in value)
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("a property is a text, a number, a boolean or a list of these")


def librdkafka_properties(given: object) -> object:
    """Properties as librdkafka takes them, those that are a setting of ours refused."""
    if not isinstance(given, Mapping):
        return given
    properties = {str(name): _property_text(value) for name, value in given.items()}
    for name in properties:
        if name in _OWN_SETTING:
            raise ValueError(
                f"{name} is set by the service itself: use {_OWN_SETTING[name]} instead"
            )
    return properties


def _spark_properties(given: object) -> object:
    if not isinstance(given, Mapping):
        return given
    properties = {str(name): _property_text(value) for name, value in given.items()}
    for name in properties:
        if not name.startswith("spark."):
            raise ValueError(f"{name} is no property of Spark: their names begin with spark.")
        if name == "spark.master":
            raise ValueError("spark.master is set by batch.spark_master")
    return properties


def _comma_separated(given: object) -> object:
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given


def _lower(given: object) -> object:
    return given.lower() if isinstance(given, str) else given


TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the settings: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TopicSettings(Section):
    """The topics of one scoring service, and how they are created."""

    input: TopicName = "events"
    output: TopicName = "predictions"
    partitions: Annotated[int, Field(ge=1, le=100_000)] = 6
    replication: Annotated[int, Field(ge=1, le=100)] = 1
    dead_letter_suffix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] = ".dlq"

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.output in {self.input, self.input + self.dead_letter_suffix}:
            raise ValueError(
                f"the output topic {self.output!r} must be neither the input topic nor its "
                "dead-letter topic"
            )
        return self


class ConsumerSettings(Section):
    """The scoring service: its group, its guarantee, its limits."""

    group: Annotated[str, Field(min_length=1)] | None = None  # None: streamscore-<model name>
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    max_batch: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    group_protocol: Literal["classic", "consumer"] = "classic"
    session_timeout_s: Seconds = 6.0
    max_poll_interval_s: Seconds = 300.0
    transaction_timeout_s: Seconds = 60.0
    tombstones: Literal["skip", "dead_letter"] = "skip"
    cloud_events: bool = False  # CloudEvents attributes as headers of each prediction
    auto_offset_reset: Literal["earliest", "error"] = "earliest"
    retry_attempts: Annotated[int, Field(ge=0, le=1000)] = 5
    retry_cap_s: Seconds = 5.0
    shutdown_timeout_s: Seconds = 10.0
    workers: Annotated[int, Field(ge=1, le=1024)] = 1


class HealthSettings(Section):
    """Where `/livez`, `/readyz` and `/metrics` are served."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] | None = None  # None: first free one from 9464


class LogSettings(Section):
    """What is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class ModelSettings(Section):
    """What the operator allows of models, and how they are evaluated."""

    # Types that skops may load beyond the fixed allow-list; never read from a bundle.
    allowed_types: Annotated[tuple[str, ...], BeforeValidator(_comma_separated)] = ()
    # The quickest way to evaluate a model that gives its own answers, or scikit-learn itself.
    engine: Literal["auto", "scikit-learn"] = "auto"
    # How often an alias is looked at while its model is at work; 0: only at the start.
    reload_interval_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 5.0


class BatchSettings(Section):
    """The scoring job over a database: what its commands take where a flag is not given."""

    source: str | None = None
    table: str | None = None
    query: Path | None = None
    source_name: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    id_column: str = "id"
    time_column: str | None = None
    outcome_column: str | None = None  # the truth, once it is known
    target: str = "sqlite:///.streamscore/predictions.db"
    model: str | None = None
    time_zone: str = "UTC"  # whose days are meant
    stored_time_zone: str = "UTC"  # of times that are stored without one
    chunk_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    retry_attempts: Annotated[int, Field(ge=0, le=1000)] = 5
    retry_cap_s: Seconds = 30.0
    spark_master: Annotated[str, Field(min_length=1)] = "local[2]"  # for --engine spark
    spark: Annotated[dict[str, str], BeforeValidator(_spark_properties)] = Field(
        default_factory=dict
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        for name, value in super().__repr_args__():
            if name == "spark":
                yield name, mask_properties(self.spark)
            else:
                yield name, mask_address(str(value)) if name in ADDRESSES and value else value


# SHA-256 of API keys, in hexadecimal (`streamscore serve-key`); several while one is replaced.
KeyHashes = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...],
    BeforeValidator(_comma_separated),
]


class ServingSettings(Section):
    """The HTTP service: where it listens, who may ask, and what it takes on."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080  # 0: any free one
    api_keys: KeyHashes = ()
    insecure: bool = False  # listen beyond this machine without keys
    tls_certificate: Path | None = None  # with its chain, in PEM
    tls_key: Path | None = None
    max_body_bytes: Annotated[int, Field(ge=1_000, le=1_000_000_000)] = 1_000_000
    max_header_bytes: Annotated[int, Field(ge=1_000, le=1_000_000)] = 16_384
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000  # of a request
    max_batch: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    queue_events: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000  # that wait; beyond it: 503
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    request_timeout_s: Seconds = 10.0  # from the whole request to its answer; beyond it: 504
    read_timeout_s: Seconds = 10.0  # from the first byte of a request to its last
    keep_alive_s: Seconds = 60.0
    shutdown_timeout_s: Seconds = 10.0
    publish: TopicName | None = None  # the topic that answers are published on as well

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or none")
        if self.max_rows > self.queue_events:
            raise ValueError("queue_events must be as many as max_rows at least")
        return self


class MonitorSettings(Section):
    """The live page: where it is shown, what it keeps, and how much of the input it looks at."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8090  # 0: any free one
    api_keys: KeyHashes = ()
    insecure: bool = False  # listen beyond this machine without keys
    max_viewers: Annotated[int, Field(ge=1, le=1_000)] = 32  # of the page at once; beyond it: 503
    outcomes: TopicName | None = None  # where the truth arrives later
    model: str | None = None  # NAME@ALIAS, whose baseline is compared with
    own_group: Annotated[str, Field(min_length=1)] | None = None  # None: streamscore-monitor-OUTPUT
    state: Path | None = None  # None: .streamscore/monitor-OUTPUT.db
    begin: Literal["earliest", "latest"] = "earliest"  # where it never read before
    keep_days: Annotated[float, Field(gt=0, le=3650)] = 7.0  # predictions wait for their outcome
    keep_rows: Annotated[int, Field(ge=1_000, le=100_000_000)] = 1_000_000
    sample_per_s: Annotated[int, Field(ge=0, le=10_000)] = 200  # events of the input
    history_s: Annotated[int, Field(ge=60, le=3_600)] = 600
    payloads: bool = False  # show the beginning of dead letters' values
    shutdown_timeout_s: Seconds = 10.0
