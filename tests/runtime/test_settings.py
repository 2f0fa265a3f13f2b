"""Settings: precedence, names that nobody knows, values that are wrong, and secrets."""

import contextlib
import pickle
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import SettingsError
from runtime.masking import MASK, mask_address, mask_properties, secrets
from runtime.settings import Settings, load_settings, masked

SECRET = "geheim-8f2a"


def settings_of(
    tmp_path: Path,
    toml: str = "",
    environ: dict[str, str] | None = None,
    overrides: dict[str, object] | None = None,
) -> Settings:
    if toml:
        (tmp_path / "streamscore.toml").write_text(toml, encoding="utf-8")
    return load_settings(overrides or {}, environ=environ or {}, directory=tmp_path)


def error_of(
    tmp_path: Path,
    toml: str = "",
    environ: dict[str, str] | None = None,
    overrides: dict[str, object] | None = None,
) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        settings_of(tmp_path, toml, environ, overrides)
    assert raised.value.exit_code == 2
    return raised.value


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    """No file, no variable, no flag: a local broker, exactly once."""
    settings = settings_of(tmp_path)
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.store == Path(".streamscore/models")
    assert settings.consumer.guarantee == "exactly_once"
    assert settings.consumer.max_batch == 10_000
    assert settings.topics.dead_letter_suffix == ".dlq"
    assert settings.health.port is None


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    """Each source decides what no stronger one gave."""
    toml = """
        bootstrap_servers = "file:1"
        store = "file"
        event_id_field = "file"
        [consumer]
        group = "file"
    """
    environ = {"STREAMSCORE_STORE": "environment", "STREAMSCORE_CONSUMER__GROUP": "environment"}
    settings = settings_of(tmp_path, toml, environ, {"consumer": {"group": "flag"}})
    assert settings.consumer.group == "flag"
    assert settings.store == Path("environment")
    assert settings.bootstrap_servers == "file:1"
    assert settings.event_id_field == "file"
    assert settings.topics.input == "events"


def test_overrides_are_nested_or_dotted_and_none_counts_as_not_given(tmp_path: Path) -> None:
    """Flags that were not given can be passed on as they come."""
    environ = {"STREAMSCORE_TOPICS__INPUT": "flights"}
    settings = settings_of(
        tmp_path,
        environ=environ,
        overrides={
            "topics.input": None,
            "topics.output": "delays",
            "consumer": {"workers": 3, "group": None},
            "kafka": {"linger.ms": 7},
        },
    )
    assert settings.topics.input == "flights"
    assert settings.topics.output == "delays"
    assert settings.consumer.workers == 3
    assert settings.consumer.group is None
    assert settings.kafka == {"linger.ms": "7"}


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """Composed files set variables to nothing where nothing was given."""
    assert settings_of(tmp_path, environ={"STREAMSCORE_STORE": ""}).store == Settings().store


def test_a_file_elsewhere_is_named_by_a_variable(tmp_path: Path) -> None:
    """STREAMSCORE_CONFIG replaces the file of the working directory."""
    (tmp_path / "other.toml").write_text('store = "other"', encoding="utf-8")
    environ = {"STREAMSCORE_CONFIG": str(tmp_path / "other.toml")}
    assert settings_of(tmp_path, 'store = "here"', environ).store == Path("other")


def test_the_environment_is_read_when_asked_and_not_at_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `environ` it is the process's own, at the time of the call."""
    monkeypatch.setenv("STREAMSCORE_INSTANCE_ID", "pod-7")
    assert load_settings(directory=tmp_path).instance_id == "pod-7"


@pytest.mark.parametrize(
    "toml",
    [
        """
        "sasl.username" = "u"
        "linger.ms" = 5
        "socket.keepalive.enable" = true
        debug = ["broker", "topic"]
        """,
        """
        sasl.username = "u"
        linger.ms = 5
        socket.keepalive.enable = true
        debug = "broker,topic"
        """,
    ],
    ids=["quoted", "dotted"],
)
def test_librdkafka_properties_pass_through_as_the_texts_it_wants(
    tmp_path: Path, toml: str
) -> None:
    """Numbers, booleans and lists of the table become texts, however the names are written."""
    assert settings_of(tmp_path, f"[kafka]\n{toml}").kafka == {
        "sasl.username": "u",
        "linger.ms": "5",
        "socket.keepalive.enable": "true",
        "debug": "broker,topic",
    }


def test_a_librdkafka_property_comes_from_the_environment(tmp_path: Path) -> None:
    """STREAMSCORE_KAFKA__SASL_PASSWORD is sasl.password, and joins those of the file."""
    environ = {"STREAMSCORE_KAFKA__SASL_PASSWORD": SECRET, "STREAMSCORE_KAFKA__LINGER_MS": "9"}
    settings = settings_of(tmp_path, "[kafka]\nlinger.ms = 5\nbatch.size = 10", environ)
    assert settings.kafka == {"linger.ms": "9", "batch.size": "10", "sasl.password": SECRET}


def test_properties_of_spark_pass_through_as_they_are(tmp_path: Path) -> None:
    """From the file and the environment, with secrets masked; what is none is refused."""
    toml = """[batch.spark]
    "spark.executor.memory" = "2g"
    spark.hadoop.fs.s3a.secret.key = "s3cr3t"
    """
    environ = {"STREAMSCORE_BATCH__SPARK__SPARK_TASK_CPUS": "1"}
    settings = settings_of(tmp_path, toml, environ)
    assert settings.batch.spark == {
        "spark.executor.memory": "2g",
        "spark.hadoop.fs.s3a.secret.key": "s3cr3t",
        "spark.task.cpus": "1",
    }
    assert "s3cr3t" not in f"{settings!r}{masked(settings)}"
    for name in ("executor.memory", "spark.master"):
        error = error_of(tmp_path, overrides={"batch.spark": {name: "x"}})
        assert name in str(error)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("group.id", "consumer.group"),
        ("transactional.id", "instance_id"),
        ("enable.auto.commit", "consumer.guarantee"),
        ("isolation.level", "consumer.guarantee"),
        ("bootstrap.servers", "bootstrap_servers"),
        ("allow.auto.create.topics", "streamscore topics create"),
        ("enable.idempotence", "consumer.guarantee"),
        ("acks", "consumer.guarantee"),
        ("session.timeout.ms", "consumer.session_timeout_s"),
    ],
)
def test_what_the_service_fixes_itself_cannot_be_passed_through(
    tmp_path: Path, name: str, instead: str
) -> None:
    """The promises rest on these properties; the error names the setting to use."""
    error = error_of(tmp_path, overrides={"kafka": {name: "x"}})
    assert name in str(error)
    assert instead in str(error)


@pytest.mark.parametrize(
    ("toml", "unknown", "nearest"),
    [
        ("botstrap_servers = 'x'", "botstrap_servers", "bootstrap_servers"),
        ("[consumer]\nmaxbatch = 5", "consumer.maxbatch", "consumer.max_batch"),
        ("[consumr]\ngroup = 'x'", "consumr.group", "consumer.group"),
        ("group = 'x'", "group", "consumer.group"),
        ("[store]\npath = 'x'", "store.path", "store"),
    ],
)
def test_an_unknown_key_of_the_file_names_the_nearest_one(
    tmp_path: Path, toml: str, unknown: str, nearest: str
) -> None:
    """A typing mistake is an error with a proposal, never a setting without effect."""
    error = error_of(tmp_path, toml)
    assert repr(unknown) in str(error)
    assert "streamscore.toml" in str(error)
    assert error.hint == f"did you mean {nearest!r}?"


def test_an_unknown_variable_names_the_nearest_one(tmp_path: Path) -> None:
    """As in the file, in the spelling of the environment; all mistakes are told at once."""
    environ = {"STREAMSCORE_CONSUMR__GROUP": "x", "STREAMSCORE_STROE": "y"}
    error = error_of(tmp_path, environ=environ)
    assert "STREAMSCORE_CONSUMR__GROUP" in str(error)
    assert "STREAMSCORE_STROE" in str(error)
    assert "STREAMSCORE_CONSUMER__GROUP?" in error.hint
    assert "STREAMSCORE_STORE?" in error.hint


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    """Kubernetes names its own after a service called streamscore; tests have some too."""
    environ = {
        "STREAMSCORE_SERVICE_HOST": "10.0.0.1",
        "STREAMSCORE_SERVICE_PORT_METRICS": "9464",
        "STREAMSCORE_PORT": "tcp://10.0.0.1:9464",
        "STREAMSCORE_PORT_9464_TCP_ADDR": "10.0.0.1",
        "STREAMSCORE_WORKER_SERVICE_HOST": "10.0.0.2",
        "STREAMSCORE_TEST_BOOTSTRAP_SERVERS": "x:1",
        "STREAMSCORED": "x",
        "PATH": "/bin",
    }
    assert settings_of(tmp_path, environ=environ) == Settings()


def test_a_table_where_a_value_belongs_is_told(tmp_path: Path) -> None:
    """`consumer = 5` is a table given as a value."""
    assert "table of settings" in str(error_of(tmp_path, "consumer = 5"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("consumer.max_batch", "many"),
        ("consumer.max_batch", "0"),
        ("consumer.guarantee", "twice"),
        ("consumer.session_timeout_s", "-1"),
        ("consumer.session_timeout_s", "nan"),
        ("topics.input", "with space"),
        ("topics.partitions", "1.5"),
        ("health.port", "70000"),
        ("log.level", "loud"),
        ("instance_id", "a b"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_its_place(
    tmp_path: Path, key: str, value: str
) -> None:
    """Which setting, what it was, and where it came from."""
    variable = "STREAMSCORE_" + key.replace(".", "__").upper()
    error = error_of(tmp_path, environ={variable: value})
    assert key in str(error)
    assert repr(value) in str(error)
    assert variable in str(error)


@pytest.mark.parametrize("output", ["events", "events.dlq"])
def test_the_output_topic_is_neither_the_input_nor_its_dead_letters(
    tmp_path: Path, output: str
) -> None:
    """The service would otherwise read what it writes."""
    assert "output topic" in str(error_of(tmp_path, overrides={"topics.output": output}))


def test_a_file_that_is_missing_broken_or_no_text_is_told(tmp_path: Path) -> None:
    """The path stands in the message; a syntax error with its line."""
    missing = str(tmp_path / "nowhere.toml")
    assert missing in str(error_of(tmp_path, environ={"STREAMSCORE_CONFIG": missing}))
    assert "line 2" in str(error_of(tmp_path, "store = 'x'\nstore\n"))
    (tmp_path / "latin.toml").write_bytes(b"store = '\xe4'")
    error = error_of(tmp_path, environ={"STREAMSCORE_CONFIG": str(tmp_path / "latin.toml")})
    assert "UTF-8" in str(error)
    assert "cannot be read" in str(
        error_of(tmp_path, environ={"STREAMSCORE_CONFIG": str(tmp_path)})
    )


def test_allowed_types_come_as_a_list_or_separated_by_commas(tmp_path: Path) -> None:
    """The operator's additions fit into one variable."""
    environ = {"STREAMSCORE_MODEL__ALLOWED_TYPES": "a.B, c.D,"}
    assert settings_of(tmp_path, environ=environ).model.allowed_types == ("a.B", "c.D")
    settings = settings_of(tmp_path, 'model.allowed_types = ["e.F"]')
    assert settings.model.allowed_types == ("e.F",)


def test_settings_are_frozen_and_travel_to_another_process() -> None:
    """Workers get them by pickle, unchanged."""
    settings = load_settings({"kafka.linger.ms": 3}, environ={}, directory=Path("/nonexistent"))
    with pytest.raises(ValueError, match="frozen"):
        settings.store = Path("x")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - just written


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.config",
    ],
)
def test_secrets_show_up_nowhere(tmp_path: Path, name: str) -> None:
    """Neither printed, nor in the masked form, nor in the error about a neighbour."""
    settings = settings_of(tmp_path, overrides={"kafka": {name: SECRET}})
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert SECRET not in str(masked(settings))
    assert masked(settings)["kafka"] == {name: MASK}
    assert secrets(settings.kafka) == [SECRET]
    error = error_of(tmp_path, overrides={"kafka": {name: SECRET, "group.id": SECRET}})
    assert SECRET not in str(error) + error.hint


def test_a_secret_in_a_broken_file_is_not_quoted(tmp_path: Path) -> None:
    """The error about a file says where it is broken, not what stands there."""
    error = error_of(tmp_path, f"[kafka]\nsasl.password = '{SECRET}\n")
    assert SECRET not in str(error)
    assert error.__cause__ is None


def test_what_is_no_secret_is_shown() -> None:
    """Paths, addresses and names help whoever looks for a mistake."""
    properties = {
        "ssl.key.location": "/tls/key.pem",
        "sasl.username": "reader",
        "sasl.oauthbearer.token.endpoint.url": "https://id.example/token",
        "sasl.oauthbearer.assertion.private.key.file": "/tls/assert",
    }
    assert mask_properties(properties) == properties
    assert secrets(properties) == []


_NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12)
_KEYS = st.lists(_NAMES, min_size=1, max_size=3).map(".".join)
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_whatever_is_given_there_are_settings_or_a_settings_error(
    overrides: dict[str, object],
) -> None:
    """No other exception leaves the reader."""
    with contextlib.suppress(SettingsError):
        settings = load_settings(overrides, environ={}, directory=Path("/nonexistent"))
        assert isinstance(settings, Settings)


@given(
    st.dictionaries(_NAMES.map(lambda name: f"STREAMSCORE_{name.upper()}"), st.text(), max_size=5)
)
def test_whatever_the_environment_holds_there_are_settings_or_a_settings_error(
    environ: dict[str, str],
) -> None:
    """No other exception leaves the reader."""
    with contextlib.suppress(SettingsError):
        settings = load_settings(environ=environ, directory=Path("/nonexistent"))
        assert isinstance(settings, Settings)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:secret@h:5432/d", f"postgresql://u:{MASK}@h:5432/d"),
        ("postgresql://u:s%40c:r/t@h/d?a=b", f"postgresql://u:{MASK}@h/d?a=b"),
        (
            "postgresql://h/d?user=u&password=secret&x=1",
            f"postgresql://h/d?user=u&password={MASK}&x=1",
        ),
        ("sqlite:///file.db", "sqlite:///file.db"),
    ],
)
def test_the_address_of_a_database_is_shown_without_its_password(address: str, shown: str) -> None:
    """Neither the function nor the settings show a password."""
    assert mask_address(address) == shown
    settings = load_settings({"batch.source": address, "batch.target": address}, environ={})
    assert "secret" not in repr(settings)
    assert "secret" not in str(masked(settings))
