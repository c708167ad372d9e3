"""How dates and times are written: the standard's patterns, and ISO 8601 for limits."""

from __future__ import annotations

import datetime as dt
import re
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.located import quoted

_LETTERS: Final = {
    "yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "uu": "%y", "MM": "%m", "MMM": "%b", "MMMM": "%B",
    "dd": "%d", "DDD": "%j", "EEE": "%a", "EEEE": "%A", "HH": "%H", "hh": "%I", "mm": "%M",
    "ss": "%S", "a": "%p", "M": "%-m", "d": "%-d", "H": "%-H", "h": "%-I",
    "X": "%z", "XX": "%z", "XXX": "%z", "Z": "%z", "xxx": "%z", "xx": "%z",
    **{"S" * digits: "%f" for digits in range(1, 7)},
}  # fmt: skip
_RUN_ON: Final = re.compile(r"%-[a-zA-Z]%-?[YymdjHIMSf]")
_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|([a-zA-Z])\1*|.", re.DOTALL)
_NEEDED: Final = {
    "date": (("%Y", "%y"), ("%m", "%-m", "%b", "%B", "%j"), ("%d", "%-d", "%j")),
    "timestamp": (("%Y", "%y"), ("%m", "%-m", "%b", "%B", "%j"), ("%d", "%-d", "%j")),
    "time": (("%H", "%-H", "%I", "%-I"),),
}


def strptime_forms(pattern: str, logical: str) -> tuple[str, ...] | str:
    """Turn a DateTimeFormatter pattern, the standard's, into strptime forms.

    `[...]` is an optional part: the longer forms come first. `S` (any number up to six) is `%f`,
    a fraction of one to six digits. `M`, `d`, `H` and `h` alone are one digit or two: `%-m` ...

    Args:
        pattern: For example `yyyy-MM-dd'T'HH:mm:ss[.SSS]XXX`.
        logical: date, timestamp or time.

    Returns:
        The forms to try in order, or what is wrong: `what must hold; got ...; what to do`.
    """
    if pattern.count("[") != pattern.count("]") or re.search(r"\[[^\]]*\[", pattern):
        return f"format must close each [ once; got {quoted(pattern)}; correct it"
    if pattern.count("[") > 3 or len(pattern) > 100:
        return f"format must have at most 3 optional parts; got {quoted(pattern)}; shorten it"
    parts = re.split(r"(\[[^\]]*\])", pattern)
    choices = [(part[1:-1], "") if part.startswith("[") else (part,) for part in parts]
    forms: list[str] = []
    for choice in product(*choices):
        form = _form("".join(choice))
        if form is None:
            return (
                "format must be a DateTimeFormatter pattern of yyyy MM dd HH hh mm ss S a XXX; "
                f"got {quoted(pattern)}; put other letters in single quotes"
            )
        if _RUN_ON.search(form):
            return (
                "format must have a mark behind a part that may be one digit or two; "
                f"got {quoted(pattern)}; write MM, dd, HH or hh"
            )
        forms.append(form)
    if all(any(code in forms[0] for code in codes) for codes in _NEEDED[logical]):
        return tuple(dict.fromkeys(forms))
    need = "an hour" if logical == "time" else "year, month and day"
    return f"format of a {logical} must name {need}; got {quoted(pattern)}; add them"


def _form(pattern: str) -> str | None:
    out = ""
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text.startswith("'") and len(text) > 1:
            out += (text[1:-1] or "'").replace("''", "'").replace("%", "%%")
        elif text[0].isalpha():
            if text not in _LETTERS:
                return None
            out += _LETTERS[text]
        elif text in "'{}#":  # an open quote, and what the standard reserves
            return None
        else:
            out += text.replace("%", "%%")
    return out


def names_zone(form: str) -> bool:
    """Whether a strptime form reads an offset from the text."""
    return "%z" in form


def zone(name: str) -> ZoneInfo | None:
    """Return the time zone of an IANA name, or None if there is none.

    Names that mean another zone on another machine (`localtime`) are none.
    """
    if name.startswith(("localtime", "posix", "right/")):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def iso(value: object, logical: str, timezone: str = "UTC") -> str | None:
    """Read an ISO 8601 text of the contract and write it in one form; None if it is not one.

    Dates become `2026-01-31`, times `09:30:00[.ffffff]`, timestamps UTC
    (`2026-01-31T08:30:00+00:00`; text without an offset is in `timezone`).
    """
    if not isinstance(value, str):
        return None
    try:
        if logical == "date":
            return dt.date.fromisoformat(value).isoformat()
        if logical == "time":
            time = dt.time.fromisoformat(value)
            return None if time.tzinfo else time.isoformat()
        at = dt.datetime.fromisoformat(value)
        return (
            (at if at.tzinfo else at.replace(tzinfo=zone(timezone))).astimezone(dt.UTC).isoformat()
        )
    except (ValueError, OverflowError):
        return None
