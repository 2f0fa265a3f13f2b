"""The settings, and the only reader of the environment and of `streamscore.toml`.

Flags win over `STREAMSCORE_…` variables, these over the file, the file over the defaults. What is
not known is an error that names the nearest known setting. This module must not know the Kafka
client or any application: it says what is wanted, `runtime.clients` says it to librdkafka.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from model.errors import SettingsError
from runtime.masking import mask_address, mask_properties
from runtime.sections import (
    ADDRESSES,
    BatchSettings,
    ConsumerSettings,
    HealthSettings,
    LogSettings,
    ModelSettings,
    MonitorSettings,
    Seconds,
    Section,
    ServingSettings,
    TopicSettings,
    librdkafka_properties,
)
from runtime.settings_sources import (
    Given,
    Key,
    from_environment,
    from_file,
    from_overrides,
    passed_on,
    unknown,
)


class Settings(Section):
    """Everything that can be set, frozen; secrets are masked in its `repr`."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    store: Path = Path(".streamscore/models")
    instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] | None = None
    event_id_field: Annotated[str, Field(min_length=1)] = "id"
    broker_timeout_s: Seconds = 10.0
    kafka: Annotated[dict[str, str], BeforeValidator(librdkafka_properties)] = Field(
        default_factory=dict
    )
    topics: TopicSettings = TopicSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    model: ModelSettings = ModelSettings()
    batch: BatchSettings = BatchSettings()
    serving: ServingSettings = ServingSettings()
    monitor: MonitorSettings = MonitorSettings()

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
    addresses = {name: mask_address(batch[name]) for name in ADDRESSES if batch[name]}
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
