"""Whether columns fit: ids, times and a model's features, before anything is read.

Knows the types that databases declare. SQLite keeps times as text, so that there a look at what is
stored is needed as well.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause, and_, column, func, select
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType, TypeEngine

from batch.day import Window
from model.errors import SourceUnfit
from model.signature import Feature, Kind, Signature

Types = Mapping[str, TypeEngine[Any]]

_NUMBERS: Final = (sa.Integer, sa.Numeric, sa.Float)
_FITTING: Final[dict[Kind, tuple[type[TypeEngine[Any]], ...]]] = {
    Kind.NUMBER: _NUMBERS,
    Kind.INTEGER: _NUMBERS,
    Kind.BOOLEAN: (sa.Boolean,),
    Kind.STRING: (sa.String, sa.Uuid),
}
_WITHOUT_BOOLEANS: Final = frozenset({"sqlite", "mysql", "mariadb", "oracle"})
_A_DAY: Final = "[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]"  # for SQLite's GLOB
_A_MINUTE: Final = "[0-2][0-9]:[0-5][0-9]"
_STORED: Final = re.compile(
    r"\d{4}-\d\d-\d\d((?P<separator>[ T])\d\d:\d\d(:\d\d([.]\d+)?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
)
_UTC_SUFFIXES: Final = frozenset({"Z", "+00:00", "+0000"})


def feature_columns(where: str, signature: Signature, columns: Sequence[str]) -> list[str]:
    """The column of each feature: of its name, or of its dotted path. Raises SourceUnfit."""
    return [_feature_column(where, feature, columns) for feature in signature.features]


def nearest(name: str, columns: Sequence[str]) -> str:
    """A hint: what was probably meant."""
    near = difflib.get_close_matches(name, columns, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(columns) or 'none'}"


def require_types(
    where: str, signature: Signature, columns: Sequence[str], types: Types, dialect: str
) -> None:
    """Refuse columns that cannot hold what the model takes. Raises SourceUnfit, naming them all."""
    wrong = [
        f"{column!r} is {_called(types[column])} where the model takes {feature.kind.value}"
        for feature, column in zip(signature.features, columns, strict=True)
        if not _fits(feature.kind, types[column], dialect)
    ]
    if wrong:
        hint = "name another column, or convert them in a SELECT: see --query"
        raise SourceUnfit(f"columns of {where} do not fit: {'; '.join(wrong)}", hint=hint)


def require_id(name: str, kind: TypeEngine[Any]) -> None:
    """Refuse a column whose values do not name a row for certain. Raises SourceUnfit."""
    usable = isinstance(kind, sa.String | sa.Integer | sa.Uuid | sa.Numeric | NullType)
    if not usable or isinstance(kind, sa.Float):
        msg = f"the id column {name!r} is {_called(kind)}"
        raise SourceUnfit(msg, hint="an id is text, a whole number or a UUID")


def within(
    name: str, kind: TypeEngine[Any], window: Window, stored: ZoneInfo
) -> ColumnElement[bool]:
    """The condition that a time lies in a window. Raises SourceUnfit for what is no time.

    `stored` is the zone of times without one; dates are taken as they are.
    """
    at: ColumnElement[Any] = column(name, kind)
    start: Any
    end: Any
    if isinstance(kind, sa.Date) and not isinstance(kind, sa.DateTime):
        start, end = window.day, window.day + timedelta(days=1)
    elif isinstance(kind, sa.DateTime | NullType):
        start, end = window.start, window.end
        if not getattr(kind, "timezone", False):
            start, end = (each.astimezone(stored).replace(tzinfo=None) for each in (start, end))
    else:
        msg = f"the time column {name!r} is {_called(kind)}"
        raise SourceUnfit(msg, hint="it is to be a timestamp or a date; a --query can convert it")
    return and_(at >= start, at < end)


def within_stored_text(
    connection: Connection, rows: FromClause, name: str, window: Window, stored: ZoneInfo
) -> ColumnElement[bool]:
    """The same for SQLite, where times are text: a look at what is stored tells how it is written.

    Raises SourceUnfit where it is no ISO 8601, or has other offsets than UTC's.
    """
    at: ColumnElement[Any] = column(name)
    filled = select(at).select_from(rows).where(at.is_not(None)).limit(1)
    value = connection.execute(filled).scalar_one_or_none()
    match = _STORED.fullmatch("2013-12-31 23:59" if value is None else str(value))
    if match is None:
        raise _no_time(name, "it does not hold times written as 2013-12-31 23:59:59")
    offset, separator = match["zone"], match["separator"]
    if offset is not None and offset not in _UTC_SUFFIXES:
        raise _no_time(name, f"it holds times with the offset {offset}")
    alike = _alike(at, separator, zoned=offset is not None)
    odd = select(func.count()).select_from(rows).where(at.is_not(None), sa.not_(alike))
    if count := connection.execute(odd).scalar_one():
        raise _no_time(name, f"{count} of its values are not written as the first one is")
    if separator is None:  # dates alone are taken as they are
        return and_(at >= str(window.day), at < str(window.day + timedelta(days=1)))
    kept_in = stored if offset is None else UTC
    start, end = (
        _written(each.astimezone(kept_in), separator) for each in (window.start, window.end)
    )
    return and_(at >= start, at < end)


def _alike(at: ColumnElement[Any], separator: str | None, *, zoned: bool) -> ColumnElement[bool]:
    """The condition that a text is written so that it compares with others as its time does."""
    if separator is None:
        return at.op("GLOB")(_A_DAY)
    rest = func.substr(at, len("2013-12-31 23:59") + 1)  # seconds, a fraction, an offset
    in_utc = [rest.op("GLOB")(f"*{suffix}") for suffix in sorted(_UTC_SUFFIXES)]
    ended = sa.or_(*in_utc) if zoned else sa.not_(rest.op("GLOB")("*[^0-9:.]*"))
    return and_(at.op("GLOB")(f"{_A_DAY}{separator}{_A_MINUTE}*"), ended)


def _written(at: datetime, separator: str) -> str:
    """As short as it can be, so that it stands before whatever is stored of the same minute."""
    midnight = (at.hour, at.minute) == (0, 0)
    return f"{at:%Y-%m-%d}" if midnight else f"{at:%Y-%m-%d}{separator}{at:%H:%M}"


def _no_time(name: str, why: str) -> SourceUnfit:
    hint = "a --query can convert it: strftime('%Y-%m-%d %H:%M:%S', …)"
    return SourceUnfit(f"the time column {name!r} cannot be used: {why}", hint=hint)


def _feature_column(where: str, feature: Feature, columns: Sequence[str]) -> str:
    for name in (feature.name, ".".join(feature.path)):
        if name in columns:
            return name
    msg = f"{where} has no column for the feature {feature.name!r}"
    raise SourceUnfit(msg, hint=nearest(feature.name, columns))


def _fits(kind: Kind, given: TypeEngine[Any], dialect: str) -> bool:
    if isinstance(given, NullType):
        return True  # nothing is declared: the values tell
    if kind is Kind.BOOLEAN and dialect in _WITHOUT_BOOLEANS and isinstance(given, _NUMBERS):
        return True
    return isinstance(given, _FITTING[kind])


def _called(kind: TypeEngine[Any]) -> str:
    return str(kind).split("(")[0].lower()
