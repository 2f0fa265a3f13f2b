"""The settings, and the only reader of the environment and of `streamscore.toml`.

Flags win over `STREAMSCORE_…` variables, these over the file, the file over the defaults. What is
not known is an error that names the nearest known setting. This module must not know the Kafka
client or any application: it says what is wanted, `runtime.clients` says it to librdkafka.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from model.errors import SettingsError
from runtime.masking import mask_address, mask_properties
from runtime.settings_sources import (
    Given,
    Key,
    from_environment,
    from_file,
    from_overrides,
    passed_on,
    unknown,
)

_ADDRESSES = ("source", "target")  # of databases: they may hold a password

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


def _librdkafka_properties(given: object) -> object:
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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TopicSettings(_Section):
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


class ConsumerSettings(_Section):
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


class HealthSettings(_Section):
    """Where `/livez`, `/readyz` and `/metrics` are served."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] | None = None  # None: first free one from 9464


class LogSettings(_Section):
    """What is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class ModelSettings(_Section):
    """What the operator allows of models, and how they are evaluated."""

    # Types that skops may load beyond the fixed allow-list; never read from a bundle.
    allowed_types: Annotated[tuple[str, ...], BeforeValidator(_comma_separated)] = ()
    # The quickest way to evaluate a model that gives its own answers, or scikit-learn itself.
    engine: Literal["auto", "scikit-learn"] = "auto"


class BatchSettings(_Section):
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
                yield name, mask_address(str(value)) if name in _ADDRESSES and value else value


class Settings(_Section):
    """Everything that can be set, frozen; secrets are masked in its `repr`."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    store: Path = Path(".streamscore/models")
    instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] | None = None
    event_id_field: Annotated[str, Field(min_length=1)] = "id"
    broker_timeout_s: Seconds = 10.0
    kafka: Annotated[dict[str, str], BeforeValidator(_librdkafka_properties)] = Field(
        default_factory=dict
    )
    topics: TopicSettings = TopicSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    model: ModelSettings = ModelSettings()
    batch: BatchSettings = BatchSettings()

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        for name, value in super().__repr_args__():
            yield name, mask_properties(self.kafka) if name == "kafka" else value


def load_settings(
    overrides: Mapping[str, object] = {},
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings in force: `overrides` over the environment over the file over the defaults.

    `overrides` is nested or has dotted keys ("consumer.group"); a value of None counts as not
    given, so that flags can be passed as they come. The file is `streamscore.toml` in `directory`
    (the working directory), or the one that `STREAMSCORE_CONFIG` names. `environ` stands for
    `os.environ`. Raises SettingsError for an unknown key or a wrong value.
    """
    given = (
        from_file(environ, directory) | from_environment(environ) | from_overrides(overrides)
    )  # a later one wins, key by key
    known = sorted(_keys(Settings))
    complaints = [unknown(key, given[key].origin, known) for key in given if not _is(key, known)]
    if complaints:
        raise SettingsError(
            "; ".join(complaint.message for complaint in complaints),
            hint=" ".join(complaint.hint for complaint in complaints),
        )
    try:
        return Settings.model_validate(_nested(given))
    except ValidationError as error:
        raise SettingsError(_in_words(error, given)) from None  # its cause would show the input


def masked(settings: Settings) -> dict[str, object]:
    """The settings as nested JSON values, secrets masked: for people and for logs."""
    plain: dict[str, object] = settings.model_dump(mode="json")
    plain["kafka"] = mask_properties(settings.kafka)
    batch = settings.batch.model_dump(mode="json")
    addresses = {name: mask_address(batch[name]) for name in _ADDRESSES if batch[name]}
    plain["batch"] = batch | addresses | {"spark": mask_properties(settings.batch.spark)}
    return plain


def _keys(section: type[BaseModel], prefix: Key = ()) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, (*prefix, name))
        else:
            yield (*prefix, name)


def _is(key: Key, known: list[Key]) -> bool:
    return key in known or passed_on(key) is not None


def _nested(given: Mapping[Key, Given]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for key, (value, _) in given.items():
        section = nested
        for name in key[:-1]:
            inner = section.setdefault(name, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"setting {name!r} is given both as a value and as a table")
            section = inner
        section[key[-1]] = value
    return nested


def _in_words(error: ValidationError, given: Mapping[Key, Given]) -> str:
    return "; ".join(
        _complaint(tuple(map(str, each["loc"])), each["msg"], given)
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _complaint(key: Key, message: str, given: Mapping[Key, Given]) -> str:
    reason = message.removeprefix("Value error, ")
    reason = re.sub("^(Input|String) should", "it should", reason)
    where = given.get(key)
    if where is None or passed_on(key) is not None:  # what is passed through may be a secret
        return f"setting {'.'.join(key)}: {reason}"
    return f"setting {'.'.join(key)} = {str(where.value)[:80]!r} in {where.origin}: {reason}"
