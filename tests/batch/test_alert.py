"""Alerts: conditions over a day, asked of a real database; exit codes; what is posted."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql

from batch.alert.condition import Alert, Finding
from batch.alert.post import key
from batch.assembly import open_target
from batch.bundled import labels_of
from batch.found import find_model, find_runs
from batch.tables import predictions, runs
from model.errors import NoRun, WrongUsage
from runtime.settings import Settings
from tests.batch.filled import DAY, GAP, ROWS, fill

if TYPE_CHECKING:
    from tests.batch.conftest import Bench


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return fill(tmp_path_factory.mktemp("regression"), "regression")


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return fill(tmp_path_factory.mktemp("classification"), "classification", days=1)


@pytest.fixture(scope="module")
def outlier(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return fill(tmp_path_factory.mktemp("outlier"), "outlier", days=1)


def find(settings: Settings, text: str) -> Finding:
    alert = Alert(text)
    with open_target(settings, create=False).reading() as connection:
        model = find_model(connection, settings.batch.model, DAY)
        return alert.find(connection, find_runs(connection, model, DAY, DAY))


def stored(settings: Settings, column: str) -> list[Any]:
    with open_target(settings, create=False).reading() as connection:
        rows = select(predictions.c[column]).where(predictions.c.scored_for == DAY)
        return list(connection.execute(rows).scalars())


def test_the_figures_of_a_day(regression: Settings) -> None:
    """Names are what the runs and the predictions of the day come to."""
    values = stored(regression, "prediction")
    text = "rows + scored + rejected + mean + minimum + maximum + seconds > 0 and complete"

    found = find(regression, text)

    assert found.holds is True
    assert found.values["rows"] == ROWS
    assert found.values["scored"] == len(values) == ROWS - 3
    assert found.values["rejected"] == 3
    assert found.values["mean"] == pytest.approx(sum(values) / len(values))
    assert found.values["minimum"] == min(values)
    assert found.values["maximum"] == max(values)
    assert found.values["complete"] is True


@given(limit=st.floats(-50, 150), least=st.floats(0, 1))
def test_a_share_is_that_of_the_rows_one_by_one(
    regression: Settings, limit: float, least: float
) -> None:
    """Whatever the limit, the database counts as Python does."""
    values = stored(regression, "prediction")
    share = sum(value > limit for value in values) / len(values)

    found = find(regression, f"share(prediction > {limit!r}) > {least!r}")

    assert found.holds is (share > least)
    assert found.values[f"share(prediction > {limit!r})"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("condition", "of_row"),
    [
        ("prediction > 10 and prediction <= 20", lambda p: 10 < p <= 20),
        ("10 < prediction <= 20", lambda p: 10 < p <= 20),
        ("prediction < 10 or not prediction < 20", lambda p: p < 10 or p >= 20),
        ("abs(prediction - 10) / 2 > 1", lambda p: abs(p - 10) / 2 > 1),
        ("prediction in (1, 2)", lambda p: p in {1, 2}),
        ("prediction not in (1, 2)", lambda p: p not in {1, 2}),
        ("prediction is None", lambda _: False),
        ("prediction is not None", lambda _: True),
        ("1 / (prediction - prediction) > 0", lambda _: False),
        ("version == '1'", lambda _: True),
        ("-prediction < -20", lambda p: -p < -20),
    ],
)
def test_conditions_on_predictions(regression: Settings, condition: str, of_row: Any) -> None:
    """The database decides as Python would; what is NULL does not count."""
    expected = sum(of_row(value) for value in stored(regression, "prediction"))

    assert find(regression, f"count({condition}) >= 0").values[f"count({condition})"] == expected


def test_labels_and_probabilities(classification: Settings) -> None:
    """A label goes by `label` or, as on the stream, by `prediction`."""
    late = stored(classification, "label").count("late")
    certain = sum(each["late"] > 0.5 for each in stored(classification, "probabilities"))

    values = find(
        classification,
        'count(label == "late") + count(prediction == "late") + '
        'count(label in ("late", "on time") and label != "on time") '
        '+ count(probabilities["late"] > 0.5) + average(probabilities["late"]) > 0',
    ).values

    assert [value for name, value in values.items() if "label" in name or "pred" in name] == (
        [late] * 3
    )
    assert values['count(probabilities["late"] > 0.5)'] == certain
    assert 0 < values['average(probabilities["late"])'] < 1


def test_scores_of_an_outlier_detector(outlier: Settings) -> None:
    """Below zero is an outlier: the same as the prediction -1."""
    found = find(outlier, "share(score < 0) == share(prediction == -1) and average(score) < 1")

    assert found.holds is True


def test_what_is_usual_is_the_median_of_the_days_before(regression: Settings) -> None:
    """Days without a run do not count."""
    assert find(regression, "rows < 0.5 * usual_rows").values["usual_rows"] == ROWS


@pytest.mark.parametrize(
    "text", ["mean > 1 / (rows - rows)", "rows / (rows - rows) > 1 or mean > 1e9"]
)
def test_what_is_not_known_does_not_hold(regression: Settings, text: str) -> None:
    """As in SQL: neither true nor false."""
    assert find(regression, text).holds is None


def test_a_value_is_bound_and_never_part_of_the_statement(classification: Settings) -> None:
    """A text that looks like SQL is a text."""
    text = (
        """count(version == "x' OR 1=1 --") == 0 and """
        """count(event_id == "'); DROP TABLE runs") == 0"""
    )

    assert find(classification, text).holds is True


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 0, "is empty"),
        ("x" * 1001, 0, "at most 1,000"),
        ("not " * 60 + "complete", 0, "nested deeper"),
        ("rows >", 7, "missing"),
        ("rwos > 1", 1, "did you mean rows"),
        ("share(predicton > 1) > 0", 7, "did you mean prediction"),
        ("share(prediction) > 0", 7, "a condition on a prediction"),
        ("share(prediction > 'x' + 1) > 0", 20, "this is a text"),
        ("share(score > 'x') > 0", 15, "cannot be compared"),
        ("share(probabilities > 1) > 0", 7, "of which label"),
        ("share(prediction > rows) > 0", 20, "no field 'rows'"),
        ("share(prediction == 1, 2) > 0", 1, "the only calls are share(…)"),
        ("share(prediction % 2 == 0) > 0", 7, "no part of a condition"),
        ("share(prediction is 1) > 0", 21, "`is` is for None"),
        ("share(prediction > None) > 0", 20, "None can only be compared"),
        ("share(prediction in 5) > 0", 21, "after `in` stands a list"),
        ("share(share(prediction > 1) > 0) > 0", 7, "no part of a condition"),
        ("share(prediction > 1" + "0" * 400 + ") > 0", 20, "that large"),
        ("__import__('os')", 1, "the only calls"),
        ("rows.__class__", 1, "single value"),
        ("prediction > 1", 1, "no field 'prediction'"),
        ("share(carrier == 'UA') > 0", 7, "There are prediction, score, label, event_id"),
        ("mean / 0 > 1", 8, "always 0"),
        ("mean / (1 - 1.0) > 1", 9, "always 0"),
        ("count(prediction / -0 > 1) > 0", 20, "always 0"),
        ("rows > '100'", 8, "a text never equals"),
        ("share(prediction > 1) == 'many' or rows > 1", 26, "a text never equals"),
        ("len(rows) > 1", 1, "has no length"),
    ],
)
def test_a_wrong_condition_is_told_with_its_place(text: str, column: int, says: str) -> None:
    """What is not on the list is refused, at its column, with what is allowed."""
    with pytest.raises(WrongUsage) as raised:
        Alert(text)

    assert says in str(raised.value)
    if column:
        assert f"at column {column}:" in str(raised.value)
        assert "share(" in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "text", "column", "says"),
    [
        ("regression", "average(score) > 0", 9, "have no score: there are prediction, event_id"),
        ("regression", "count(label == 'late') > 0", 7, "have no label"),
        ("regression", "count(prediction == 'late') > 0", 7, "have no label"),
        ("regression", "rows > 0 or share(probabilities['late'] > 1) > 0", 19, "probabilities"),
        ("classification", "count(label == 'lite') > 0", 16, "did you mean 'late'?"),
        ("classification", "share(prediction in ('late', 'lost')) > 0", 30, "no label 'lost'"),
        ("classification", "average(probabilities['x']) > 0", 9, "are 'late', 'on time'"),
        ("classification", "share(prediction > 60) > 0", 7, "have no prediction"),
        ("classification", "mean > 60", 1, "are no numbers"),
        ("outlier", "share(probabilities['1'] > 0.5) > 0", 7, "have no probabilities"),
    ],
)
def test_what_the_model_has_not_is_a_slip(
    request: pytest.FixtureRequest, kind: str, text: str, column: int, says: str
) -> None:
    """It is told with its place and with what there is, rather than never to hold."""
    with pytest.raises(WrongUsage) as raised:
        find(request.getfixturevalue(kind), text)

    assert f"at column {column}:" in str(raised.value)
    assert says in str(raised.value)


def test_labels_without_probabilities_are_those_of_the_bundle(classification: Settings) -> None:
    """One that no row of the day has is none the less one of the model's."""
    alert = Alert("count(label == 'lost') == 0")
    with open_target(classification, create=False).database.connect() as connection:
        connection.execute(update(predictions).values(probabilities=None))
        ran = find_runs(connection, "classification", DAY, DAY)

        assert alert.find(connection, ran, ("late", "lost", "on time")).holds is True
        assert alert.find(connection, ran).holds is True
        with pytest.raises(WrongUsage, match=r"no label 'lost': .* are 'late', 'on time'"):
            alert.find(connection, ran, labels_of(classification, ran[0]))
        connection.rollback()


def test_a_slip_ends_as_wrong_usage(classification: Settings) -> None:
    """Exit code 2: a scheduler that looks at it does not take it for a quiet night."""
    done = alert(classification, "--when", "share(label == 'lite') > 0.2")

    assert done.returncode == 2
    assert "did you mean 'late'?" in done.stderr


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_both_databases_find_the_same(bench: "Bench", tmp_path: Path, kind: str) -> None:
    """Figures of runs, aggregates, probabilities and labels; exit code 3 when it holds."""
    settings = fill(tmp_path, kind, days=3, on=(bench.source, bench.target))
    number = 'probabilities["late"]' if kind == "classification" else "prediction"
    values = [
        each["late"] if kind == "classification" else each
        for each in stored(settings, "probabilities" if kind == "classification" else "prediction")
    ]
    text = f"share({number} > 0.5) > 0 and average({number}) > 0 and usual_rows == {ROWS}"

    found = find(settings, text)
    done = alert(settings, "--when", f"{text} and rows == {ROWS} and rejected == 3")

    assert found.holds is True
    share = sum(value > 0.5 for value in values) / len(values)
    assert found.values[f"share({number} > 0.5)"] == pytest.approx(share)
    assert found.values[f"average({number})"] == pytest.approx(sum(values) / len(values))
    assert done.returncode == 3, done.stderr


def test_postgresql_is_asked_in_its_own_words() -> None:
    """A probability is a member of the JSON, taken as a number."""
    alert = Alert('share(probabilities["late"] > 0.5) > 0')
    (column,) = alert._counts.values()

    statement = str(column.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call] # SQLAlchemy's

    assert "->>" in statement
    assert "late" not in statement


def test_no_run_is_told_with_the_last_day(regression: Settings) -> None:
    """So that a wrong date is seen at once."""
    with (
        open_target(regression, create=False).reading() as connection,
        pytest.raises(NoRun) as raised,
    ):
        find_model(connection, "regression@champion", GAP)

    assert str(raised.value) == f"regression has not scored {GAP}"
    assert str(DAY) in raised.value.hint


def test_the_key_is_that_of_the_run_and_the_condition() -> None:
    """A repetition has the same key; another condition, or another run, has not."""
    told = {"when": "rows > 1", "run_ids": ["r1"]}

    assert key(told) == key(dict(told))
    assert key(told).startswith("r1/")
    keys = {key(told), key(told | {"when": "rows > 2"}), key(told | {"run_ids": ["r1", "r2"]})}
    assert len(keys) == 3


class Receiver(BaseHTTPRequestHandler):
    posts: list[tuple[dict[str, str], Any]]
    answers: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.append((dict(self.headers.items()), json.loads(body)))
        self.send_response(self.answers.pop(0) if self.answers else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    kind = type("Own", (Receiver,), {"posts": [], "answers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/alerts?token=SECRET", kind
    server.shutdown()
    server.server_close()
    thread.join(10)


def alert(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "streamscore", "batch", "alert", "--date", str(DAY)]
    target = ["--target", settings.batch.target]
    return subprocess.run(
        [*command, *target, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_holds(regression: Settings, receiver: tuple[str, type[Receiver]]) -> None:
    """Exit code 3, the figures on standard output, and one accepted post after a 503."""
    url, kind = receiver
    kind.answers.append(503)

    done = alert(regression, "--when", "share(prediction > 10) > 0.5", "--webhook", url)

    assert done.returncode == 3, done.stderr
    assert "share(prediction > 10) = 0." in done.stdout
    assert "holds" in done.stdout
    (first, _), (second, body) = kind.posts
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert body["model"] == "regression"
    assert body["day"] == str(DAY)
    assert body["when"] == "share(prediction > 10) > 0.5"
    assert body["values"]["share(prediction > 10)"] > 0.5
    assert first["Idempotency-Key"].startswith(body["run_ids"][0])
    assert "SECRET" not in done.stdout + done.stderr


def test_it_does_not_hold(regression: Settings, receiver: tuple[str, type[Receiver]]) -> None:
    """Exit code 0, and nothing is posted."""
    url, kind = receiver

    done = alert(regression, "--when", "rejected > 100", "--webhook", url, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["values"] == {"rejected": 3}
    assert kind.posts == []


def test_it_cannot_tell(regression: Settings, receiver: tuple[str, type[Receiver]]) -> None:
    """Exit code 1 for a post that was refused and a day that was not scored, 2 for wrong usage."""
    url, kind = receiver
    kind.answers.append(403)

    refused = alert(regression, "--when", "rows > 0", "--webhook", url)
    absent = alert(regression, "--when", "rows > 0", "--date", str(GAP))
    wrong = alert(regression, "--when", "rwos > 0")

    assert refused.returncode == 1
    assert "it answered 403" in refused.stderr
    assert "SECRET" not in refused.stderr
    assert absent.returncode == 1
    assert "has scored" in absent.stderr
    assert wrong.returncode == 2


def test_a_day_that_is_not_complete(tmp_path: Path) -> None:
    """It is a failure, unless the condition asks for just that."""
    settings = fill(tmp_path, "regression", days=1)
    with open_target(settings).database.connect() as connection, connection.begin():
        connection.execute(update(runs).values(state="interrupted"))

    careless = alert(settings, "--when", "rows > 0")
    careful = alert(settings, "--when", "not complete or rows < 10")

    assert careless.returncode == 1
    assert "interrupted" in careless.stderr
    assert careful.returncode == 3
