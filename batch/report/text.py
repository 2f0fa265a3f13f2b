"""Numbers as people read them."""

from typing import Final

_UNITS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))
_SMALL: Final = 0.001


def compact(value: float) -> str:
    """A number for the axis of a picture: 1,200 is itself, 25,000 is 25k."""
    for size, unit in _UNITS:
        if abs(value) >= size:
            scale = 1e3 if unit == "k" else size
            return f"{value / scale:g}{unit}"
    return f"{value:,.6g}"


def percent(share: float) -> str:
    """A share in percent, with as many digits as it deserves."""
    if share == 0:
        return "0%"
    if abs(share) < _SMALL:
        return f"{share:.2%}"
    return f"{share:.1%}" if abs(share) < 0.1 else f"{share:.0%}"  # noqa: PLR2004 - two digits


def number(value: float | None) -> str:
    """A number in four digits, whole thousands apart; a dash where there is none."""
    if value is None:
        return "—"
    if abs(value) >= 1000:  # noqa: PLR2004 - four digits
        return f"{value:,.0f}"
    return f"{value:.4g}"


def figure(value: float | None) -> str:
    """A number in three digits, zeros too, for a column; a dash where there is none."""
    if value is None or abs(value) >= 1000:  # noqa: PLR2004 - as above
        return number(value)
    return f"{value:#.3g}".rstrip(".")


def seconds(value: float) -> str:
    """A duration: 40 ms, 1.4 s, 12 s, 3 min 20 s, 1 h 5 min."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 10:  # noqa: PLR2004 - one digit
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
