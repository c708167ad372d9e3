"""Dates and times as texts: which of the forms that people use all of them have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract_forms import strptime_forms
from transforms.decode.text_times import dates, form_pattern, times, timestamps

_TIMESTAMPS: Final = (
    "yyyy/MM/dd HH:mm[:ss]",
    "dd.MM.yyyy HH:mm[:ss]",
    "MM/dd/yyyy HH:mm[:ss]",
    "dd/MM/yyyy HH:mm[:ss]",
    "MM/dd/yyyy hh:mm[:ss] a",
    "dd/MM/yyyy hh:mm[:ss] a",
    "dd-MM-yyyy HH:mm[:ss]",
    "MM-dd-yyyy HH:mm[:ss]",
    "yyyy-MM-dd HH:mm:ss,SSS",
    "yyyy-MM-dd hh:mm[:ss] a",
    "yyyy-MM-dd HH:mm:ss XX",
    "MM/dd/yy HH:mm[:ss]",
    "dd.MM.yy HH:mm[:ss]",
    "dd/MMM/yyyy:HH:mm:ss XX",
    "EEE, dd MMM yyyy HH:mm:ss XX",
    "EEE, dd MMM yyyy HH:mm:ss 'GMT'",
    "EEE MMM dd HH:mm:ss XX yyyy",
    "dd MMM yyyy HH:mm[:ss]",
    "dd MMM yyyy HH:mm:ss XX",
    "MMM dd yyyy HH:mm[:ss]",
    "yyyyMMdd'T'HHmmss[XX]",
)
_DATES: Final = (
    "dd.MM.yyyy",
    "MM/dd/yyyy",
    "dd/MM/yyyy",
    "yyyy/MM/dd",
    "yyyy.MM.dd",
    "dd-MM-yyyy",
    "MM-dd-yyyy",
    "dd-MMM-yyyy",
    "dd MMM yyyy",
    "MMM dd yyyy",
    "MMM dd, yyyy",
    "MMMM dd, yyyy",
    "dd MMMM yyyy",
    "dd.MM.yy",
    "MM/dd/yy",
    "dd/MM/yy",
)
# Parts that are not padded: these read padded ones, too, so they are tried last.
_LOOSE_TIMESTAMPS: Final = (
    "M/d/yyyy H:mm[:ss]",
    "d/M/yyyy H:mm[:ss]",
    "d.M.yyyy H:mm[:ss]",
    "d.M.yy H:mm[:ss]",
    "M/d/yy H:mm[:ss]",
    "d/M/yy H:mm[:ss]",
    "M/d/yyyy h:mm[:ss] a",
    "d/M/yyyy h:mm[:ss] a",
    "yyyy-M-d H:mm[:ss]",
    "yyyy/M/d H:mm[:ss]",
    "d-M-yyyy H:mm[:ss]",
    "MMM d yyyy H:mm[:ss]",
    "d MMM yyyy H:mm[:ss]",
    "d MMM yyyy H:mm:ss XX",
)
_LOOSE_DATES: Final = (
    "M/d/yyyy",
    "d/M/yyyy",
    "d.M.yyyy",
    "yyyy/M/d",
    "yyyy-M-d",
    "d-M-yyyy",
    "M/d/yy",
    "d/M/yy",
    "d-MMM-yyyy",
    "d-MMM-yy",
    "d MMM yyyy",
    "d MMMM yyyy",
    "MMM d yyyy",
    "MMM d, yyyy",
    "MMMM d, yyyy",
    "EEE MMM d yyyy",
)
_TRIED: Final = (
    ("timestamp", ("", *_TIMESTAMPS)),
    ("date", ("", *_DATES)),
    ("time", ("", "hh:mm[:ss] a")),
    ("timestamp", _LOOSE_TIMESTAMPS),
    ("date", _LOOSE_DATES),
    ("time", ("h:mm[:ss] a",)),
)
_TIMELIKE: Final = r"^[A-Za-z]{0,4},? ?[A-Za-z0-9]{1,9}[-/.: ,].*[0-9]"
_HEAD: Final = 200
_NUMBER: Final = "[0-9]+([.,][0-9]+)?"
_CLOCK: Final = f"T({_NUMBER}[HMS])+"
_NO_TYPE: Final = (
    (
        f"^-?P(({_NUMBER}[YMWD])+({_CLOCK})?|{_CLOCK})$",
        "lengths of time (ISO 8601): text, since there is no type for these; seconds would add up",
    ),
    ("^[0-9]{4}-?W[0-9]{2}$", "weeks of a year: text, since a week is no day"),
    ("^([0-9]{4}[- ]?[QK][1-4]|[QK][1-4][- /]?[0-9]{4})$", "quarters: text, since one is no day"),
)


@dataclass(frozen=True)
class Form:
    """How texts are read as times.

    Attributes:
        logical: date, timestamp or time.
        pattern: The contract's `format`; empty: ISO 8601.
        other: Another pattern that reads all of them too: day and month the other way round.
        zoned: Whether texts name their zone.
    """

    logical: str
    pattern: str = ""
    other: str | None = None
    zoned: bool = False


def form_of(texts: pa.Array) -> Form | None:
    """Return how all of some texts (no nulls, at least one) are read as times, or None."""
    head = texts.slice(0, _HEAD)
    if not pc.all(pc.match_substring_regex(head, _TIMELIKE)).as_py():
        return None
    compact = r"([0-9]T[0-9]{4,6}|:[0-9]{2}).*(Z|[+-][0-9]{2}:?([0-9]{2})?)$"
    zoned = bool(pc.all(pc.match_substring_regex(texts, compact)).as_py())
    for logical, patterns in _TRIED:
        likely = [p for p in patterns if _may_read(head[0].as_py(), logical, p)]
        found = [p for p in likely if _reads(head, logical, p) and _reads(texts, logical, p)]
        if found:
            return Form(logical, found[0], other=_mirrored(found), zoned=zoned)
    return None


def is_compact_date(texts: pa.Array) -> bool:
    """Whether texts are days written as `20240131`."""
    eight = pc.match_substring_regex(texts, "^(19|20)[0-9]{6}$")
    return bool(pc.all(eight).as_py()) and _reads(texts, "date", "yyyyMMdd")


def is_month(texts: pa.Array) -> bool:
    """Whether all of some texts are months written as `2024-01`."""
    return _all(texts, "^[0-9]{4}-(0[1-9]|1[0-2])$")


def part_of_time(texts: pa.Array) -> str:
    """Say what texts tell of time that no type holds; empty: nothing."""
    if is_month(texts):
        return "months (yyyy-MM): text, since a month is no day"
    return next((said for form, said in _NO_TYPE if _all(texts, form)), "")


def _all(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _mirrored(found: list[str]) -> str | None:
    """Return a second pattern of the same parts as the first."""
    return next((p for p in found[1:] if found[0] and sorted(p) == sorted(found[0])), None)


def _may_read(text: str, logical: str, pattern: str) -> bool:
    """Whether a text has a pattern's form, which is cheap to ask."""
    return not pattern or any(form.match(text) for form in _forms(pattern, logical))


@cache
def _forms(pattern: str, logical: str) -> tuple[re.Pattern[str], ...]:
    forms = strptime_forms(pattern, logical)
    assert not isinstance(forms, str)  # noqa: S101  # the patterns above are good
    return tuple(re.compile(form_pattern(form)) for form in forms)


def _reads(texts: pa.Array, logical: str, pattern: str) -> bool:
    forms = strptime_forms(pattern, logical) if pattern else ()
    assert not isinstance(forms, str)  # noqa: S101  # the patterns above are good
    if logical == "timestamp":
        return bool(timestamps(texts, forms).null_count == 0)
    return bool((dates if logical == "date" else times)(texts, forms).null_count == 0)
