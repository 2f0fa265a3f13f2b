"""Predictions as bytes: the contract, whatever stands in names, ids and labels."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.engines import Answers
from model.prediction import PredictionEncoder
from model.signature import Label, Signature, Task

NOW = "2013-12-01T10:15:00.123456Z"
REGRESSION = Signature((), Task.REGRESSION)


def encode(  # noqa: PLR0913 - the names of the contract
    signature: Signature,
    answers: Answers,
    ids: list[str],
    *,
    name: str = "flight-delay",
    version: str = "3",
    topic: str = "flights",
) -> list[bytes]:
    count = len(ids)
    return PredictionEncoder(signature, name, version).encode(
        answers,
        ids,
        topic=topic,
        partitions=[2] * count,
        offsets=list(range(8812, 8812 + count)),
        scored_at=NOW,
    )


def test_a_prediction_has_the_fields_of_the_contract() -> None:
    """A prediction is the example of the contract, to the byte but for blanks."""
    (value,) = encode(REGRESSION, Answers(np.array([12.4])), ["UA-1545-EWR-2013-12-01"])

    assert value == (
        b'{"id":"UA-1545-EWR-2013-12-01","prediction":12.4,"model":"flight-delay","version":"3",'
        b'"source":{"topic":"flights","partition":2,"offset":8812},'
        b'"scored_at":"2013-12-01T10:15:00.123456Z"}'
    )


def test_a_classifier_gives_label_and_probabilities() -> None:
    """The prediction is the label itself, and every label has its probability in order."""
    signature = Signature((), Task.CLASSIFICATION, labels=("late", "on time"), probabilities=True)
    answers = Answers(np.array(["on time", "late"]), np.array([[0.25, 0.75], [1.0, 0.0]]))

    first, second = map(orjson.loads, encode(signature, answers, ["a", "b"]))

    assert first["prediction"] == "on time"
    assert first["probabilities"] == {"late": 0.25, "on time": 0.75}
    assert second["prediction"] == "late"
    assert second["probabilities"] == {"late": 1.0, "on time": 0.0}


def test_an_outlier_detector_gives_its_score() -> None:
    """An outlier is -1, an inlier 1, and the score says how much."""
    signature = Signature((), Task.OUTLIER, score=True)
    answers = Answers(np.array([-1, 1]), score=np.array([-0.25, 0.5]))

    written = list(map(orjson.loads, encode(signature, answers, ["a", "b"])))

    assert [(one["prediction"], one["score"]) for one in written] == [(-1, -0.25), (1, 0.5)]
    assert "probabilities" not in written[0]


text = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "%",
        "%s",
        "%%b",
        '"',
        "\\",
        '","x":"',
        "{}",
        "\0",
        "\x1f",
        "\u2028",
        "😀",
        "%(id)s",
        "\\u00e9",
    ]
)


@settings(deadline=None)
@given(
    st.lists(text, min_size=1, max_size=5),
    text,
    text,
    text,
    st.lists(text, min_size=2, max_size=4, unique=True),
    st.data(),
)
def test_any_text_comes_back(  # noqa: PLR0913, PLR0917 - one for each text of the contract
    ids: list[str], name: str, version: str, topic: str, labels: list[str], data: st.DataObject
) -> None:
    """Ids, names, topics and labels with quotes, percent signs or any letters read back as such."""
    signature = Signature((), Task.CLASSIFICATION, labels=tuple(labels), probabilities=True)
    shares = st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels))
    chosen = [data.draw(st.sampled_from(labels)) for _ in ids]
    probabilities = [data.draw(shares) for _ in ids]
    answers = Answers(np.array(chosen, dtype=object), np.array(probabilities))

    written = encode(signature, answers, ids, name=name, version=version, topic=topic)

    assert [orjson.loads(value) for value in written] == [
        {
            "id": event_id,
            "prediction": label,
            "probabilities": dict(zip(labels, given, strict=True)),
            "model": name,
            "version": version,
            "source": {"topic": topic, "partition": 2, "offset": 8812 + row},
            "scored_at": NOW,
        }
        for row, (event_id, label, given) in enumerate(zip(ids, chosen, probabilities, strict=True))
    ]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_any_finite_number_comes_back_exactly(numbers: list[float]) -> None:
    """A prediction reads back as the very number, to the last bit and the sign of zero."""
    written = encode(REGRESSION, Answers(np.array(numbers)), ["x"] * len(numbers))

    for value, number in zip(written, numbers, strict=True):
        for read in (json.loads(value)["prediction"], orjson.loads(value)["prediction"]):
            assert isinstance(read, float)
            assert (read, math.copysign(1, read)) == (number, math.copysign(1, number))


@pytest.mark.parametrize(
    ("labels", "keys"),
    [
        (("a", "b"), ["a", "b"]),
        ((0, 1), ["0", "1"]),
        ((-1, 2**40), ["-1", str(2**40)]),
        ((0.5, 1.0), ["0.5", "1.0"]),
        ((False, True), ["false", "true"]),
    ],
)
def test_labels_keep_their_type(labels: tuple[Label, ...], keys: list[str]) -> None:
    """A label is written as the JSON value that it is, and its text is its key."""
    signature = Signature((), Task.CLASSIFICATION, labels=labels, probabilities=True)
    answers = Answers(np.array(labels), np.eye(2))

    written = list(map(orjson.loads, encode(signature, answers, ["a", "b"])))

    assert [one["prediction"] for one in written] == list(labels)
    assert [type(one["prediction"]) for one in written] == [type(label) for label in labels]
    assert list(written[0]["probabilities"]) == keys


@pytest.mark.parametrize(
    ("signature", "answers"),
    [
        (REGRESSION, Answers(np.arange(6.0)[::2])),
        (REGRESSION, Answers(np.arange(6.0).reshape(3, 2)[:, 1])),
        (Signature((), Task.CLUSTERING), Answers(np.array([1, 2, 3], dtype=np.int64)[::-1])),
        (
            Signature((), Task.CLASSIFICATION, labels=(0, 1), probabilities=True),
            Answers(np.array([0, 1, 1]), np.asfortranarray([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])),
        ),
    ],
)
def test_answers_may_be_views(signature: Signature, answers: Answers) -> None:
    """Arrays that are strided, reversed or transposed are written row by row all the same."""
    written = list(map(orjson.loads, encode(signature, answers, ["a", "b", "c"])))

    assert [one["prediction"] for one in written] == answers.prediction.tolist()
    if answers.probabilities is not None:
        given: list[Any] = [list(one["probabilities"].values()) for one in written]
        assert given == answers.probabilities.tolist()


@pytest.mark.parametrize(
    ("signature", "answers"),
    [
        (REGRESSION, Answers(np.empty(0))),
        (Signature((), Task.OUTLIER, score=True), Answers(np.empty(0), score=np.empty(0))),
        (
            Signature((), Task.CLASSIFICATION, labels=("a", "b"), probabilities=True),
            Answers(np.empty(0, dtype=object), np.empty((0, 2))),
        ),
    ],
)
def test_no_answers_are_no_predictions(signature: Signature, answers: Answers) -> None:
    """An empty batch is encoded as nothing."""
    assert encode(signature, answers, []) == []


def test_every_id_needs_an_answer() -> None:
    """Ids and answers that differ in number are an error, never shifted against each other."""
    with pytest.raises(ValueError, match="rows"):
        encode(REGRESSION, Answers(np.array([1.0, 2.0])), ["a"])
