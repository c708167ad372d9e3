"""Lengths of time as people write them: a whole number and a unit, `250ms`, `30s`, `10m`, `1d`."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_FORM: Final = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")

LONGEST: Final = 36_525 * _UNITS["d"]
"""A hundred years, in microseconds."""


def parse_duration(text: str) -> int:
    """Return microseconds.

    A day is 24 hours, whatever clocks do (Beam YAML's `1d` is 12).

    Raises:
        ValueError: `what must hold; got ...; what to do`.

    >>> parse_duration("90s")
    90000000
    """
    match = _FORM.fullmatch(text)
    if match is None:
        msg = (
            f"must be a whole number and a unit; got {text[:40]!r}; write 250ms, 30s, 10m, 2h or 1d"
        )
        raise ValueError(msg)
    length = int(match[1]) * _UNITS[match[2]]
    if length > LONGEST:
        msg = f"must be at most 100 years; got {text!r}; write a shorter one"
        raise ValueError(msg)
    return length


def format_duration(microseconds: int) -> str:
    """Write a length of whole milliseconds as shortly as it can be.

    >>> format_duration(7_200_000_000)
    '2h'
    """
    if microseconds == 0:
        return "0s"
    unit, size = next((u, s) for u, s in reversed(_UNITS.items()) if microseconds % s == 0)
    return f"{microseconds // size}{unit}"
