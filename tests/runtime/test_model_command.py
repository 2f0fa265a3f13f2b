"""`streamscore train`, `bundle` and `models`, as they are called."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

import model
from model.codec import EventDecoder
from model.event import encode_event
from model.store import Store
from streamscore import run

if TYPE_CHECKING:
    from tests.conftest import CommandLine

Command = Callable[..., "Answer"]


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs a command in an empty working directory, quickly because in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMSCORE_STORE", "models")

    def called(*arguments: str) -> Answer:
        code = run(arguments)
        return Answer(code, *capsys.readouterr())

    with threadpool_limits(1):
        yield called


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The working directory with `flights.csv` and a fitted `linear.skops` and `.joblib`."""
    rows = 60
    rng = np.random.default_rng(0)
    flights = pd.DataFrame(
        {
            "carrier": np.array(["UA", "AA"])[np.arange(rows) % 2],
            "dep_delay": rng.normal(10, 30, rows),
            "distance": rng.integers(100, 3000, rows),
            "day": np.arange(rows),
        }
    )
    flights["arr_delay"] = flights["dep_delay"] + 5
    flights.loc[:2, "arr_delay"] = np.nan
    flights.to_csv(tmp_path / "flights.csv", index=False)
    inputs = flights[["dep_delay", "distance"]]
    linear = LinearRegression().fit(inputs, inputs["dep_delay"] + 5)
    skops.io.dump(linear, tmp_path / "linear.skops")
    joblib.dump(linear, tmp_path / "linear.joblib")
    return tmp_path


TRAIN = ("train", "--data", "flights.csv", "--target", "arr_delay", "--name", "delay")
BUNDLE = ("bundle", "linear.skops", "--sample", "flights.csv", "--name", "linear")


@pytest.mark.usefixtures("here")
def test_train_fits_evaluates_and_bundles(command: Command) -> None:
    """The bundle has the metrics that are printed, and says what was left out."""
    answer = command(*TRAIN, "--time-column", "day", "--nullable", "distance", "--json")

    assert answer.code == 0, answer.stderr
    assert answer.json["model"] == "delay:1"
    assert answer.json["task"] == "regression"
    loaded = model.load("delay", store="models")
    assert loaded.card["metrics"] == answer.json["metrics"]
    assert loaded.card["training"] == answer.json["training"]
    assert loaded.card["training"]["rows_without_target"] == 3
    assert loaded.card["training"]["built_by"] == "streamscore"
    assert loaded.signature.names == ("carrier", "dep_delay", "distance")
    assert [feature.nullable for feature in loaded.signature.features] == [False, False, True]


@pytest.mark.usefixtures("here")
def test_train_tells_people(command: Command) -> None:
    """Without --json the answer is for reading."""
    answer = command(*TRAIN, "--features", "dep_delay,distance", "--test-share", "0.5")

    assert answer.code == 0, answer.stderr
    assert "delay:1 in models: regression of arr_delay" in answer.stdout
    assert "fitted on 29 rows (3 without a target left out)" in answer.stdout
    assert "baseline_mae" in answer.stdout


def test_train_takes_an_estimator_of_ones_own(command: Command, here: Path) -> None:
    """A module of the working directory makes the estimator; the path is as before after it."""
    (here / "my_models.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "def build(features):\n"
        "    assert list(features) == ['dep_delay']\n"
        "    return Ridge(alpha=2)\n"
    )
    before = list(sys.path)

    answer = command(*TRAIN, "--features", "dep_delay", "--estimator", "my_models:build")

    assert answer.code == 0, answer.stderr
    assert sys.path == before
    assert model.load("delay", store="models").card["estimator"] == "Ridge(alpha=2)"
    answer = command(*TRAIN, "--features", "dep_delay", "--estimator", "my_models:buidl")
    assert answer.code == 2
    assert "did you mean 'build'?" in answer.stderr


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv does not exist", ""),
        (["--data", "empty.csv"], "empty.csv is empty", ""),
        (["--data", "broken.csv"], "broken.csv, line 3 has 1 fields", ""),
        (["--data", "broken.ndjson"], "broken.ndjson, line 2 is not JSON", ""),
        (["--data", "flights.xlsx"], "suffix '.xlsx'", ".csv, .parquet"),
        (["--target", "arr_dela"], "no column 'arr_dela'", "'arr_delay'"),
        (["--features", "dep_delay,distanc"], "no column 'distanc'", "'distance'"),
        (["--time-column", "days"], "no column 'days'", "'day'"),
        (["--time-column", "carrier"], "'carrier' has no time in row", "ISO 8601"),
        (["--name", "../flights"], "not a model name", "lower-case"),
        (["--test-share", "2"], "between 0 and 1", ""),
        (["--nullable", "dep_dela"], "--nullable names the feature 'dep_dela'", "'dep_delay'"),
        (["--kind", "distance"], "--kind is 'distance'", "FEATURE="),
        (["--kind", "distance=float"], "'float' is no kind", "number, integer"),
        (["--kind", "distanc=number"], "--kind names the feature", "'distance'"),
        (["--estimator", "nowhere"], "not module:function", "my_models:build"),
        (["--estimator", "nowhere:build"], "'nowhere' cannot be imported", "working directory"),
    ],
)
def test_train_refuses_wrong_usage(
    command: Command, here: Path, flags: list[str], message: str, hint: str
) -> None:
    """Whatever is wrong on the command line is exit code 2 and a message that mends it."""
    (here / "empty.csv").write_text("")
    (here / "broken.csv").write_text("arr_delay,x\n1,2\n3\n")
    (here / "broken.ndjson").write_text('{"arr_delay": 1}\n{"arr_delay": \n')
    (here / "flights.xlsx").write_text("")

    answer = command(*TRAIN, *flags)

    assert answer.code == 2
    assert message in answer.stderr
    assert hint in answer.stderr
    assert Store("models").models() == []


def test_an_estimator_of_another_data_set_from_a_joblib(
    streamscore: "CommandLine", tmp_path: Path
) -> None:
    """A forest of wines, pickled elsewhere, is bundled and answers as it did there."""
    wine = load_wine(as_frame=True)
    forest = RandomForestClassifier(10, random_state=0)
    forest.fit(wine.data, wine.target_names[wine.target])
    joblib.dump(forest, tmp_path / "wine.joblib")
    wine.data.to_parquet(tmp_path / "wine.parquet")
    files = (str(tmp_path / "wine.joblib"), "--sample", str(tmp_path / "wine.parquet"))
    store = ("--store", str(tmp_path / "models"))

    refused = streamscore("bundle", *files, "--name", "wine", *store, timeout=120)
    done = streamscore("bundle", *files, "--name", "wine", "--trust-pickle", *store, timeout=120)

    assert refused.returncode == 2
    assert "is a pickle: loading it runs whatever code" in refused.stderr
    assert "--trust-pickle" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert "wine:1" in done.stdout
    scored = model.load("wine", store=tmp_path / "models").score(wine.data)
    assert scored["prediction"].tolist() == forest.predict(wine.data).tolist()


class Trap:
    """A pickle that leaves a trace when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trace"),)


def test_a_pickle_is_not_loaded_unless_told(command: Command, here: Path) -> None:
    """Without the flag, nothing of a pickle is run."""
    joblib.dump(Trap(), here / "trap.pkl")

    answer = command("bundle", "trap.pkl", "--sample", "flights.csv", "--name", "m")

    assert answer.code == 2
    assert not (here / "trace").exists()


@pytest.mark.usefixtures("here")
def test_bundle_takes_a_skops_file(command: Command) -> None:
    """The estimator's own columns are taken from the sample, and the alias is set."""
    command(*BUNDLE)

    answer = command(*BUNDLE, "--alias", "challenger", "--nullable", "", "--json")

    assert answer.code == 0, answer.stderr
    assert answer.json == {
        "model": "linear:2",
        "alias": "challenger",
        "features": ["dep_delay", "distance"],
    }
    assert Store("models").aliases("linear") == {"challenger": "2", "champion": "1"}


def test_bundle_takes_nested_events_as_its_sample(command: Command, here: Path) -> None:
    """A sample of real, nested events gives the features by their paths."""
    events = [{"departure": {"delay_min": float(n)}, "distance": 100 + n} for n in range(9)]
    (here / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))

    answer = command(
        *("bundle", "linear.skops", "--sample", "events.ndjson", "--name", "linear"),
        *("--path", "dep_delay=departure.delay_min", "--kind", "distance=number"),
    )

    assert answer.code == 0, answer.stderr
    loaded = model.load("linear", store="models")
    event = {"departure": {"delay_min": 3}, "distance": 100.5}
    decoded = EventDecoder(loaded.signature).decode([encode_event(event)])
    scores = loaded.scorer.score(decoded.table)
    assert scores.answers is not None
    assert scores.answers.prediction == pytest.approx([8.0])


def test_bundle_names_the_columns_of_an_array(command: Command, here: Path) -> None:
    """An estimator without names takes --features, in their order."""
    flights = pd.read_csv(here / "flights.csv")
    unnamed = LinearRegression().fit(flights[["distance", "dep_delay"]].to_numpy(), flights["day"])
    joblib.dump(unnamed, here / "unnamed.pkl")
    bundle = ("bundle", "unnamed.pkl", "--trust-pickle", "--sample", "flights.csv", "--name", "m")

    refused = command(*bundle)
    answer = command(*bundle, "--features", "distance,dep_delay")

    assert refused.code == 2
    assert "takes 2 features and is given 5 columns" in refused.stderr
    assert answer.code == 0, answer.stderr
    assert model.load("m", store="models").signature.names == ("distance", "dep_delay")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["bundle", "nowhere.skops"], "nowhere.skops does not exist", ""),
        (["bundle", "flights.csv"], "suffix '.csv'", ".skops, .joblib"),
        (["bundle", "broken.skops"], "is not a skops file", "skops.io.dump"),
        (["bundle", "broken.pkl", "--trust-pickle"], "cannot be unpickled", "libraries"),
        (["bundle", "linear.skops", "--sample", "few.csv"], "no column 'distance'", "'distanc'"),
        (["bundle", "linear.skops", "--features", "day"], "fitted on: dep_delay", "leave them"),
        (["bundle", "linear.skops", "--nullable", "dep_dela"], "--nullable names", "'dep_delay'"),
        (["bundle", "linear.skops", "--path", "x=a.b"], "--path names the feature 'x'", ""),
        (["bundle", "linear.skops", "--path", "a.b"], "--path is 'a.b'", "FEATURE="),
        (["bundle", "linear.skops", "--alias", "7"], "cannot be a number", "champion"),
        (["bundle", "linear.skops", "--name", "A B"], "not a model name", "lower-case"),
    ],
)
def test_bundle_refuses_wrong_usage(
    command: Command, here: Path, arguments: list[str], message: str, hint: str
) -> None:
    """Whatever is wrong on the command line is exit code 2 and a message that mends it."""
    (here / "few.csv").write_text("dep_delay,distanc\n1,2\n")
    (here / "broken.skops").write_text("")
    (here / "broken.pkl").write_text("nothing")
    rest = [*BUNDLE[2:]] if "--sample" not in arguments else ["--name", "m"]

    answer = command(*arguments[:2], *rest, *arguments[2:])

    assert answer.code == 2
    assert message in answer.stderr
    assert hint in answer.stderr
    assert Store("models").models() == []


def double(values: Any) -> Any:
    return values * 2


def test_a_skops_file_with_a_function_needs_the_operators_word(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type that is not listed is refused by its name, until a setting allows it."""
    flights = pd.read_csv(here / "flights.csv")[["dep_delay", "distance"]]
    estimator = make_pipeline(FunctionTransformer(double), LinearRegression())
    skops.io.dump(estimator.fit(flights, flights["dep_delay"]), here / "linear.skops")

    refused = command(*BUNDLE)
    monkeypatch.setenv("STREAMSCORE_MODEL__ALLOWED_TYPES", f"{__name__}.double")
    answer = command(*BUNDLE)

    assert refused.code == 1
    assert f"{__name__}.double" in refused.stderr
    assert "model.allowed_types" in refused.stderr
    assert answer.code == 0, answer.stderr
    assert command("models", "verify").code == 0


def test_an_empty_store_says_so(command: Command) -> None:
    """Nothing in the store is no failure."""
    for what in ("list", "verify"):
        answer = command("models", what)
        assert (answer.code, answer.stdout) == (0, "there are no models in models\n")
        assert command("models", what, "--json").json == []


@pytest.mark.usefixtures("here")
def test_list_shows_versions_and_aliases(command: Command) -> None:
    """Every version is listed with the aliases that stand for it."""
    for _ in range(2):
        command(*BUNDLE)
    command("models", "promote", "linear:2", "challenger")

    listed = command("models", "list", "--json").json
    printed = command("models", "list").stdout

    assert [(each["version"], each["aliases"]) for each in listed] == [
        ("1", ["champion"]),
        ("2", ["challenger"]),
    ]
    assert {each["task"] for each in listed} == {"regression"}
    assert printed.splitlines()[1].split()[:4] == ["linear", "1", "champion", "regression"]


@pytest.mark.usefixtures("here")
def test_show_has_the_card_and_the_contract(command: Command) -> None:
    """A model's card and features are shown, and on request the schemas of its contract."""
    command(*BUNDLE, "--path", "dep_delay=departure.delay_min")

    shown = command("models", "show", "linear@champion", "--json").json
    printed = command("models", "show", "linear").stdout

    assert shown["card"]["name"] == "linear"
    assert shown["aliases"] == ["champion"]
    assert [feature["name"] for feature in shown["signature"]["features"]] == [
        "dep_delay",
        "distance",
    ]
    event = command("models", "show", "linear", "--schema", "event").json
    assert set(event["properties"]) == {"departure", "distance", "id"}
    prediction = command("models", "show", "linear", "--schema", "prediction").json
    assert "prediction" in prediction["required"]
    assert "LinearRegression()" in printed
    assert "departure.delay_min" in printed


@pytest.mark.usefixtures("here")
def test_promote_moves_an_alias(command: Command) -> None:
    """Promote says which version the alias stood for."""
    for _ in range(2):
        command(*BUNDLE)

    answer = command("models", "promote", "linear:2", "champion")

    assert answer.stdout == "linear@champion is linear:2, which was linear:1\n"
    again = command("models", "promote", "linear:1", "champion", "--json").json
    assert again == {"model": "linear:1", "alias": "champion", "before": "2"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["promote", "linear", "champion"], 2, "names no version"),
        (["promote", "linear@champion", "best"], 2, "names no version"),
        (["promote", "linear:9", "champion"], 1, "no version '9'"),
        (["promote", "linear:1", "2"], 2, "cannot be a number"),
        (["show", "linaer"], 1, "did you mean 'linear'?"),
        (["verify", "linear@best"], 1, "no alias 'best'"),
    ],
)
def test_what_is_not_in_the_store_is_said(
    command: Command, arguments: list[str], code: int, message: str
) -> None:
    """A reference that leads nowhere is an error that names what there is."""
    command(*BUNDLE)

    answer = command("models", *arguments)

    assert answer.code == code
    assert message in answer.stderr


def test_verify_finds_the_bundle_that_was_tampered_with(command: Command, here: Path) -> None:
    """All versions are checked; one that fails is named and makes the exit code 1."""
    for _ in range(2):
        command(*BUNDLE)
    (here / "models" / "linear" / "2" / "card.json").write_text("{}")

    answer = command("models", "verify", "--json")
    whole = command("models", "verify", "linear:1")

    assert answer.code == 1
    assert [(each["model"], each["outcome"]) for each in answer.json] == [
        ("linear:1", "ok"),
        ("linear:2", "failed"),
    ]
    assert "card.json was changed" in answer.json[1]["message"]
    assert whole.code == 0
    assert "60 golden rows score the same" in whole.stdout
    assert command("models", "verify").code == 1
