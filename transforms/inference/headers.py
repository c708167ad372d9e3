"""Whether the first record of a CSV file names its columns, or is data like those after it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_NUMBER: Final = re.compile(r"\s*[$€£]?\s?-?[0-9]*[.,]?[0-9]+([eE][+-]?[0-9]+)?\s?%?\s*")
_TIME: Final = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([T ].*)?|[0-9]{1,2}:[0-9]{2}(:.*)?"
    r"|[0-9]{1,2}[ -][A-Za-z]{3,9}[ -][0-9]{2,4}( .*)?|[A-Za-z]{3,9} [0-9]{1,2},? [0-9]{4}( .*)?"
)
_WHOLE: Final = re.compile("[0-9]+")
_PLAIN: Final = re.compile(r"[0-9]*\.?[0-9]+")
_STEPS, _MANY, _EVEN = 2, 5, 1e-6
"""Of a scale: how many at least, how many are many, by which share of the greatest they differ."""
_NONE: Final = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "?", "-")
_ENOUGH: Final = 20
_FIRST_YEAR, _LAST_YEAR = 1800, 2100


def names_of(records: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return names for the columns of a file that has none; nothing if its first record does.

    A first record is data if it has numbers and times where all others have them, and these do not
    count something (`2019`, `2020`, ... of a wide table are names); or words that stand in the
    same columns further down.

    Args:
        records: The first ones of the file, as texts; those of other lengths are passed over.
    """
    if len(records) < 2:  # nothing to compare with
        return ()
    first = [cell.strip() for cell in records[0]]
    others = [row for row in records[1:] if len(row) == len(first) and [*row] != [*records[0]]]
    columns = [
        [cell.strip() for cell in column if cell.strip() not in _NONE]
        for column in zip(*others, strict=True)
    ]
    if not any(columns) or not _is_data(first, columns):
        return ()
    return tuple(f"c{number}" for number in range(1, len(first) + 1))


def _is_data(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    typed = alike = repeated = texts = 0
    numbers: list[str] = []
    below: list[str] = []
    for cell, values in zip(first, columns, strict=True):
        kind = next((k for k in (_NUMBER, _TIME) if _all(k, values)), None)
        if kind is None:
            texts += bool(values)
            repeated += cell in values
        elif cell not in _NONE:
            typed += 1
            alike += bool(kind.fullmatch(cell))
            if _PLAIN.fullmatch(cell):
                numbers.append(cell)
                below.append(values[0])
    if alike and len(numbers) == alike and not repeated and _counts(numbers):
        return False
    if len(numbers) == alike and not repeated and _is_scale(numbers, below, named=alike < typed):
        return False
    if typed:
        return alike * 2 >= typed and (alike > 1 or bool(repeated) or _is_no_name(first))
    return min(map(len, columns)) >= _ENOUGH and repeated > 1 and repeated * 2 >= texts


def _all(kind: re.Pattern[str], values: Sequence[str]) -> bool:
    return bool(values) and all(map(kind.fullmatch, values))


def _counts(cells: Sequence[str]) -> bool:
    """Whether whole numbers are names: one alone, years, or each greater than the last."""
    if not all(map(_WHOLE.fullmatch, cells)):
        return False
    numbers = [int(cell) for cell in cells]
    years = all(_FIRST_YEAR <= number <= _LAST_YEAR for number in numbers)
    return years or all(a < b for a, b in pairwise(numbers))


def _is_scale(cells: Sequence[str], below: Sequence[str], *, named: bool) -> bool:
    """Whether fractions are names: each greater than the last, and not so in the next record.

    They must be even steps, or many, or stand beside a name.
    """
    steps = _steps(cells)
    if len(steps) < _STEPS or min(steps) <= 0:
        return False
    if max(steps) - min(steps) < _EVEN * max(steps):
        return True
    next_steps = _steps(below) if all(map(_PLAIN.fullmatch, below)) else [0.0]
    return min(next_steps) <= 0 and (named or len(steps) >= _MANY)


def _steps(cells: Sequence[str]) -> list[float]:
    return [b - a for a, b in pairwise(map(float, cells))]


def is_typed(cell: str) -> bool:
    """Whether a cell is a number or a time, as names of columns are not."""
    return bool(_NUMBER.fullmatch(cell) or _TIME.fullmatch(cell.strip()))


def _is_no_name(first: Sequence[str]) -> bool:
    """Whether a time or a fraction, which nobody calls a column, is among some cells."""
    numbers = (c for c in first if _NUMBER.fullmatch(c))
    return any(map(_TIME.fullmatch, first)) or not all(map(_WHOLE.fullmatch, numbers))
