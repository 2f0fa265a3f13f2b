"""The filter language: what it accepts, how it decides, and that no text can do harm."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.errors import WrongUsage
from runtime.expression_text import DEEPEST, LONGEST
from runtime.expressions import parse_condition
from subscriber.prediction import FIELDS

FLIGHT: dict[str, object] = {
    "id": "UA-1545",
    "prediction": 62.5,
    "model": "flight-delay",
    "version": "3",
    "source": {"topic": "flights", "partition": 2, "offset": 8812},
    "scored_at": "2013-12-01T10:15:00.123456Z",
    "probabilities": None,
    "score": None,
    "key": "UA-1545",
}
CLASSIFIED = FLIGHT | {"prediction": "late", "probabilities": {"late": 0.9, "on time": 0.1}}


def holds(text: str, fields: dict[str, object] = FLIGHT) -> bool:
    return parse_condition(text, FIELDS).holds(fields)


@pytest.mark.parametrize(
    "text",
    [
        "prediction > 60",
        "60 < prediction <= 62.5",
        "prediction > 60 and model == 'flight-delay'",
        "prediction < 0 or source.partition == 2",
        'source["offset"] >= 8812',
        "not prediction < 60",
        "(prediction - 2.5) / 2 == 30",
        "-prediction < -60",
        "source.partition % 2 == 0",
        "source.partition in (0, 2)",
        "source.partition not in [0, 1]",
        "version in ('2', '3')",
        "model != 'other'",
        "score is None",
        "None == score",
        "id is not None and 0 < source.offset < 9_000",
        "max(prediction, 100) == 100 and min(1, 2, 3) == 1",
        "abs(-2) == 2 and round(prediction) == 62 and round(2.345, 1) == 2.3",
        "len(id) == 7",
        "scored_at > '2013-12-01'",
        "prediction",
        "True and not False",
        "  prediction\n > 60  ",
        "id == 'ÜA' or id == 'UA-1545'",
    ],
)
def test_an_expression_of_the_language_decides_as_python_would(text: str) -> None:
    """Each documented part of the language works on a prediction that has the fields."""
    assert holds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('probabilities["late"] > 0.8', True),
        ("probabilities.late > 0.8", True),
        ('probabilities["on time"] > 0.8', False),
        ('probabilities["cancelled"] > 0.8', False),
        ("prediction == 'late'", True),
        ("prediction > 60", False),
        ("not prediction > 60", False),
        ("probabilities", False),
        ("probabilities is not None", True),
    ],
)
def test_nested_fields_are_reached_by_dots_and_by_names_in_brackets(
    text: str,
    expected: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Both spellings reach a probability; a label that is not there decides nothing."""
    assert holds(text, CLASSIFIED) is expected


@pytest.mark.parametrize(
    "text",
    [
        "score > 0.5",
        "not score > 0.5",
        "score != 0.5",
        "score",
        "not score",
        "score in (1, 2)",
        "score not in (1, 2)",
        "prediction == 'late'",
        "prediction != 'late'",
        "prediction > 'late'",
        "prediction in ('late', 'early')",
        "prediction not in ('late', 'early')",
        "id + 1 > 0",
        "-id < 0",
        "abs(id) > 0",
        "round(id) > 0",
        "len(prediction) > 0",
        "min(id, 1) == 1",
        "source == source",
        "prediction / 0 > 1",
        "prediction % 0 > 1",
        "1e308 * 10 - 1e308 * 10 == 0",
        "round(1e308 * 10) > 0",
        "probabilities.late > 0",
    ],
)
def test_what_cannot_be_compared_makes_a_condition_not_hold(text: str) -> None:
    """A field that is missing, null or of another type never matches and never raises."""
    assert not holds(text)


def test_and_and_or_decide_by_the_side_that_is_known() -> None:
    """A missing field spoils neither an `or` that is true without it nor the order of the sides."""
    assert holds("score > 1 or prediction > 60")
    assert holds("prediction > 60 or score > 1")
    assert not holds("score > 1 or prediction > 90")
    assert not holds("score > 1 and prediction > 60")
    assert holds("not (score > 1 and prediction > 90)")


def test_a_field_that_is_not_there_at_all_counts_as_null() -> None:
    """Fields come from other teams' JSON: none of them is taken for granted."""
    assert not holds("prediction > 60", {})
    assert not holds("source.offset > 60", {"source": 7})
    assert holds("prediction is None", {})


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("predicton > 60", 1, "did you mean prediction?"),
        ("prediction > 60 and modle == 'x'", 21, "did you mean model?"),
        ("source.partion == 2", 1, "did you mean partition?"),
        ("source['ofset'] == 2", 1, "did you mean offset?"),
        ("prediction == null", 15, "did you mean None?"),
        ("prediction == true", 15, "did you mean True?"),
        ("zzzzzzzz > 1", 1, "there are id, prediction, model"),
        ("id.upper == 'X'", 1, "'id' is a single value"),
        ("source.topic.upper == 'X'", 1, "one level deep"),
        ("prediction ** 2 > 1", 1, "only + - * / %"),
        ("prediction // 2 > 1", 1, "only + - * / %"),
        ("'ab' * 3 == 'ababab'", 1, "for numbers"),
        ("-'ab' == 1", 2, "for numbers"),
        ("prediction = 60", 12, "to compare, write =="),
        ("prediction > ", 13, "missing here"),
        ("prediction > 60)", 16, "unmatched"),
        ("ü == 'ä' and prediction >> 1", 1, "no field"),
        ("id == 'ä' and prediction >> 1", 15, "only + - * / %"),
        ("  prediction << 1", 3, "only + - * / %"),
        ("__import__('os').system('true')", 1, "this is no part"),
        ("open('x')", 1, "the only calls are"),
        ("id.__class__ == 1", 1, "'id' is a single value"),
        ("(lambda: 1)()", 1, "this is no part"),
        ("[1 for _ in (1,)]", 1, "this is no part"),
        ("f'{id}' == 'x'", 1, "this is no part"),
        ("(id := 1)", 2, "this is no part"),
        ("1 if id else 2", 1, "this is no part"),
        ("id[0] == 'U'", 1, "in brackets stands a name"),
        ("probabilities[late] > 1", 1, "in brackets stands a name"),
        ("id == b'x'", 7, "can be written out"),
        ("prediction > 1j", 14, "can be written out"),
        ("id == ...", 7, "can be written out"),
        ("prediction > None", 14, "None can only be compared"),
        ("None", 1, "None can only be compared"),
        ("id is 'x'", 7, "`is` is for None alone"),
        ("id in 'xyz'", 7, "after `in` stands a list"),
        ("id in ('x', id)", 13, "a list after `in` holds"),
        ("id in ()", 7, "is not empty"),
        ("id in ('x',) == 1", 7, "nothing can be compared with a list"),
        ("id == ('x', 'y')", 7, "a list can only stand after `in`"),
        ("round(prediction, 99) == 1", 1, "the only calls are"),
        ("round(prediction, -9) == 1", 1, "the only calls are"),
        ("max(prediction) == 1", 1, "the only calls are"),
        ("max(*id) == 1", 1, "the only calls are"),
        ("round(number=prediction) == 1", 1, "the only calls are"),
        ("round(*id, 1) == 1", 1, "the only calls are"),
    ],
)
def test_a_wrong_expression_is_refused_where_it_stands(text: str, column: int, reason: str) -> None:
    """The message names the column, points at it, and the hint says what is allowed."""
    with pytest.raises(WrongUsage) as caught:
        parse_condition(text, FIELDS)

    message, shown, caret = str(caught.value).split("\n")
    assert f"column {column}:" in message
    assert reason in message
    assert caret.index("^") - (len(shown) - len(shown.lstrip())) + 1 == column or text[0] == " "
    assert "allowed are" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_filter_is_refused(text: str) -> None:
    """An empty filter is a mistake (an unset variable), not a match of everything."""
    with pytest.raises(WrongUsage, match="empty"):
        parse_condition(text, FIELDS)


def test_length_and_depth_are_bounded() -> None:
    """Neither a long nor a deeply nested text gets as far as being evaluated."""
    with pytest.raises(WrongUsage, match="at most 1,000"):
        parse_condition("1" * (LONGEST + 1), FIELDS)
    for text in (
        "not " * 200 + "id",
        "(" * 400 + "1" + ")" * 400,
        "-" * 900 + "1",
        "1" + "+1" * 400,
    ):
        with pytest.raises(WrongUsage):
            parse_condition(text, FIELDS)

    assert holds("not " * (DEEPEST - 2) + "prediction > 60")
    with pytest.raises(WrongUsage, match="nested deeper"):
        parse_condition("not " * DEEPEST + "prediction > 60", FIELDS)


def test_nested_chains_are_computed_once_each() -> None:
    """A chain within a chain within a chain takes a step per operand, not two to their power."""
    text = "prediction"
    for _ in range(40):
        text = f"0<=({text})<9"

    assert holds(text)


def test_a_large_error_shows_the_place_and_not_the_whole_text() -> None:
    """A message stays readable on a line of the terminal."""
    with pytest.raises(WrongUsage) as caught:
        parse_condition("prediction > 1 and " * 40 + "wrong > 1", FIELDS)

    assert all(len(line) <= 200 for line in str(caught.value).split("\n"))
    assert "wrong > 1" in str(caught.value)


# Separated by blanks, since some of them are other white space.
_WORDS = (
    "prediction id score source .partition probabilities ['late'] > < >= <= == != + - * / % ** // "
    "( ) [ ] { } , . : := = and or not in is None True False if else for lambda abs( round( max( "
    "len( 'a' \"b\" 1 2.5 1e9 1e400 0x1F 1_000 b'x' f'{id}' ... @ ~ & | ^ << >> \\ # ; \n \t \x00 "
    "ü \ud800 await yield print( __class__ \\d 'x\\d' 1if 0or"
)
WORDS = st.sampled_from(_WORDS.split(" "))


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(WORDS, max_size=25).map(" ".join),
        st.text("-(n ot", max_size=1001),
    )
)
@example("'\ud800' == id")
@example("\x00")
@example("'\\N{DIGIT ONE}' == id")
@example("(" * 1000)
@example("-" * 1000)
@example("\\")
@settings(max_examples=400, deadline=None)
def test_no_text_raises_anything_but_wrong_usage(text: str) -> None:
    """Whatever a user types is refused with WrongUsage or decides on every prediction."""
    try:
        condition = parse_condition(text, FIELDS)
    except WrongUsage:
        return
    for fields in (FLIGHT, CLASSIFIED, {}):
        assert condition.holds(fields) in (True, False)


OPERATORS = ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or"]
BUILTINS: dict[str, object] = {"__builtins__": {"abs": abs, "max": max, "round": round}}
NUMBERS: dict[str, object] = {"prediction": 12.5, "score": -3, "version": True, "id": 0}
LEAF = st.one_of(
    st.sampled_from(sorted(NUMBERS)),
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e308, allow_nan=False).map(repr),
    st.sampled_from(["True", "False"]),
)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(
        inner,
        st.lists(
            st.tuples(st.sampled_from(OPERATORS), inner),
            min_size=1,
            max_size=3,
        ),
    ).map(lambda parts: parts[0] + "".join(f" {op} {right}" for op, right in parts[1]))
    return st.one_of(
        joined,
        joined.map("({})".format),
        inner.map("(not ({}))".format),
        inner.map("-({})".format),
        inner.map("abs({})".format),
        inner.map("round({}, 2)".format),
        st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
        st.tuples(inner, LEAF).map(lambda pair: f"(({pair[0]}) in (1, 2.5, True))"),
    )


@given(st.recursive(LEAF, _combined, max_leaves=12))
@example("1 / 0 == 1")
@example("1e308 * 10 > 1e308")
@example("prediction < 1 or 2 and 3")
@settings(max_examples=400, deadline=None)
def test_it_agrees_with_python_on_numbers(text: str) -> None:
    """On numbers and truth values a condition holds exactly when Python calls the text true."""
    try:
        value = eval(text, BUILTINS, dict(NUMBERS))  # noqa: S307 - the reference, on our own texts
    except (ArithmeticError, ValueError, TypeError):  # unknown to us: checked not to raise
        parse_condition(text, FIELDS).holds(NUMBERS)
        return
    if len(text) <= LONGEST:
        assert parse_condition(text, FIELDS).holds(NUMBERS) is bool(value)


TEXTS: dict[str, object] = {"id": "b", "model": "abc", "version": ""}


@given(
    st.sampled_from(sorted(TEXTS)),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.text(max_size=3),
)
def test_it_agrees_with_python_on_texts(name: str, op: str, text: str) -> None:
    """Texts compare by code point, as Python's do."""
    expression = f"{name} {op} {text!r}"
    expected = eval(expression, BUILTINS, dict(TEXTS))  # noqa: S307 - as above

    assert parse_condition(expression, FIELDS).holds(TEXTS) is expected


@given(st.lists(st.sampled_from(["prediction", "9" * 60, "score"]), min_size=2, max_size=45))
def test_products_stay_bounded(factors: list[str]) -> None:
    """However large a field is, a product of products takes bounded time and memory."""
    fields: dict[str, object] = {"prediction": 10**4000, "score": math.inf}
    text = " * ".join(factors)
    if len(text) <= LONGEST and not re.search(r"9{200}", text):
        parse_condition(f"({text}) > 1", FIELDS).holds(fields)
