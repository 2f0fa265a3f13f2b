"""Answers are the same numbers and labels in each database as in the stream, to the bit."""

import json
import struct
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa

from batch.answers import AnswerColumns
from batch.database import Database
from batch.day import window
from batch.runs import Task as Day
from batch.tables import predictions
from batch.target import Chunk, DayWriter, Target
from model.engines import Answers
from model.prediction import PredictionEncoder
from model.signature import Signature, Task

if TYPE_CHECKING:
    from tests.batch.conftest import Postgres

NOW = datetime(2014, 1, 1, 0, 30, 5, 123456, tzinfo=UTC)
IDS = [
    "UA-1",
    "tab\there",
    "line\nend\r",
    "back\\slash",
    r"\N",
    r"\.",
    "quote\"'",
    "Ærø 🛫",
    "%s :x",
]
DRAWN = np.random.default_rng(3)
NUMBERS = np.array(
    [0.1, -0.0, 1e-320, 1.7976931348623157e308, 2**53 + 2, 1 / 3, -5e-324, 12.0, 1e16]
)
SHARES = DRAWN.dirichlet([1, 1, 1], len(IDS))
ODD_TEXT = ('"late"', "back\\slash\ttab\nline", "Ærø %s :x")


def classes(labels: tuple[Any, ...], *, probabilities: bool = True) -> tuple[Signature, Answers]:
    chosen = np.array(labels, dtype=object if isinstance(labels[0], str) else None)
    prediction = chosen[np.arange(len(IDS)) % len(labels)]
    shares = SHARES[:, : len(labels)] if probabilities else None
    return Signature((), Task.CLASSIFICATION, labels, probabilities), Answers(prediction, shares)


CASES: dict[str, tuple[Signature, Answers]] = {
    "regression": (Signature((), Task.REGRESSION), Answers(NUMBERS)),
    "float32": (
        Signature((), Task.REGRESSION),
        Answers(NUMBERS[[0, 1, 4, 5, 7] * 2][:9].astype("f4")),
    ),
    "outliers": (
        Signature((), Task.OUTLIER, score=True),
        Answers(np.array([1, -1, 1] * 3), score=NUMBERS),
    ),
    "clusters": (Signature((), Task.CLUSTERING), Answers(np.arange(9))),
    "binary": classes((0, 1)),
    "booleans": classes((False, True)),
    "numbers": classes((1.5, 2.5, 1e300)),
    "large numbers": classes((2**53 - 1, -(2**53) + 1)),
    "several": classes(("EWR", "JFK", "LGA")),
    "odd text": classes(ODD_TEXT),
    "without probabilities": classes(ODD_TEXT, probabilities=False),
    "numbers as text": classes(("1", "2", "03")),
}


def bits(value: Any) -> Any:
    """A number's bits; SQLite keeps no -0.0, which is 0.0."""
    return struct.pack("d", value + 0.0) if isinstance(value, float | int) else value


def written(address: str, case: str, *, generic: bool = False) -> dict[str, Any]:
    """What a target holds after the answers were written to it, twice."""
    signature, answers = CASES[case]
    target = Target(Database(address, create=True))
    target.prepare()
    day = Day("m", "1", "nowhere", window(date(2013, 12, 31), ZoneInfo("UTC")))
    with target.day(day, AnswerColumns(signature), NOW) as writer:
        if generic:
            writer._upsert = writer._replace
        run = writer.begin(NOW)
        for _ in range(2):
            run = replace(run, rows_read=run.rows_read + len(IDS))
            writer.write(run, Chunk(IDS, answers, []), NOW)
    with target.reading() as connection:
        found = connection.execute(sa.select(predictions)).mappings()
        return {row["event_id"]: {**row, "run_id": None} for row in found}


def stream(case: str) -> dict[str, dict[str, Any]]:
    """What the stream says of the same answers."""
    signature, answers = CASES[case]
    count = [0] * len(IDS)
    encoded = PredictionEncoder(signature, "m", "1").encode(
        answers, IDS, topic="t", partitions=count, offsets=count, scored_at="2014-01-01T00:30:05Z"
    )
    return {said["id"]: said for said in map(json.loads, encoded)}


@pytest.mark.parametrize("case", CASES)
def test_every_writer_writes_what_the_stream_says(
    case: str, tmp_path: Any, postgres: "Postgres"
) -> None:
    """SQLite, PostgreSQL and the way for any other database: the same values, to the bit."""
    by_kind = [
        written(f"sqlite:///{tmp_path}/quick.db", case),
        written(f"sqlite:///{tmp_path}/generic.db", case, generic=True),
        written(postgres.url, case),
    ]

    for event_id, said in stream(case).items():
        label = said["prediction"] if CASES[case][0].task is Task.CLASSIFICATION else None
        is_text = isinstance(label, str)
        for found in by_kind:
            row = found[event_id]
            assert bits(row["prediction"]) == (None if is_text else bits(said["prediction"]))
            text = str(label).lower() if isinstance(label, bool) else str(label)
            assert row["label"] == (None if label is None else text)
            assert row["scored_at"] == NOW
            shares = said.get("probabilities")
            assert (row["probabilities"] is None) == (shares is None)
            for name, share in (shares or {}).items():
                assert bits(row["probabilities"][name]) == bits(share)
            assert bits(row["score"]) == bits(said.get("score"))
    assert all(sorted(found) == sorted(IDS) for found in by_kind)


def test_an_empty_share_of_a_chunk(tmp_path: Any) -> None:
    """Given a chunk of which nothing could be scored, then nothing is written."""
    target = Target(Database(f"sqlite:///{tmp_path}/target.db", create=True))
    target.prepare()
    day = Day("m", "1", "nowhere", window(date(2013, 12, 31), ZoneInfo("UTC")))
    with target.day(day, AnswerColumns(Signature((), Task.REGRESSION)), NOW) as writer:
        assert isinstance(writer, DayWriter)
        writer.write(writer.begin(NOW), Chunk([], None, []), NOW)
    with target.reading() as connection:
        assert connection.execute(sa.select(predictions)).all() == []
