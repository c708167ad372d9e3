"""How a CSV file is laid out: what stands before its header, what cuts its lines, who names fields.

Programs put titles, days and blank lines above a table, and Excel a line `sep=;`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from transforms.inference.headers import is_typed, names_of

_DELIMITERS: Final = ",;\t|"
_LINES: Final = 50
_COMPARED: Final = 200
_MOST_LEADING: Final = 25
_ALIKE: Final = 0.9
_SEPARATOR: Final = re.compile(r'"?sep=([\t -!#-~])"?', re.IGNORECASE)


class Layout(NamedTuple):
    """How to read a CSV file.

    Attributes:
        delimiter: Between fields.
        names: Made for columns that the file does not name.
        skip: Lines before the header, or before the first record.
    """

    delimiter: str = ","
    names: tuple[str, ...] = ()
    skip: int = 0


def layout_of(text: str) -> Layout:
    r"""Return the layout of a CSV file by its first whole lines.

    >>> layout_of("sep=;\na;b\n1;2\n").skip, layout_of("Sales\n\na,b,c\n1,2,3\n4,5,6\n").skip
    (1, 2)
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if lines and (said := _SEPARATOR.fullmatch(lines[0].strip(" \r"))):
        return Layout(said[1], _names(lines[1:], said[1]), 1)
    plain = [line.rstrip("\r") for line in lines]
    skip = _leading(plain[: _LINES + _MOST_LEADING])
    delimiter = _delimiter(plain[skip : skip + _LINES])
    return Layout(delimiter, _names(lines[skip:], delimiter), skip)


def _names(lines: Sequence[str], delimiter: str) -> tuple[str, ...]:
    ended = [f"{line}\n" for line in lines[:_COMPARED]]
    return names_of(_cut(ended, delimiter))


def _cut(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cut lines into fields; none if they are no CSV, as a return alone in a line is none."""
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return []


def _leading(lines: Sequence[str]) -> int:
    """Return how many lines stand before a table of at least two lines that are cut alike."""
    cut = [_cut(lines, delimiter) for delimiter in _DELIMITERS]
    cut = [rows for rows in cut if len(rows) == len(lines)]
    for skip in range(min(_MOST_LEADING, len(lines) - 2) + 1):
        if any(_begins(rows, skip) for rows in cut):
            return skip
    return 0


def _begins(rows: Sequence[Sequence[str]], skip: int) -> bool:
    """Whether a table begins behind some rows, which are titles."""
    first, *others = rows[skip:]
    sizes = Counter(len(row) for row in others[:_LINES] if row)
    size, count = sizes.most_common(1)[0] if sizes else (0, 0)
    if len(first) != size or size < 2 or count < _ALIKE * sizes.total():
        return False
    if _is_title(first, size) or not all(_is_title(row, size) for row in rows[:skip]):
        return False
    # One line above two fields may name the one column of a file with commas in its texts.
    parted = any(not any(row) for row in rows[:skip])
    named = all(cell.strip() and not is_typed(cell) for cell in first)
    return not skip or size > 2 or (parted and named)


def _is_title(row: Sequence[str], size: int) -> bool:
    """Whether a row is no part of a table of some size: short, or padded with empty fields."""
    filled = sum(1 for cell in row if cell.strip())
    if len(row) == size:
        return size > 2 and filled <= 1 and (not filled or bool(row[0].strip()))
    return len(row) * 2 <= size


def _delimiter(lines: Sequence[str]) -> str:
    """Return the character that cuts lines into the most fields, as many in each, the first too.

    Commas stand in numbers and texts, too: another that does so in all lines is meant.
    """
    found: dict[str, int] = {}
    like_first: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        sizes = [len(row) for row in _cut(lines, delimiter) if row]
        size, count = Counter(sizes).most_common(1)[0] if sizes else (0, 0)
        if size > 1 and count >= 0.9 * len(sizes):
            found[delimiter] = size
            like_first |= {delimiter: size} if sizes[0] == size else {}
    if not found:
        return " " if _is_spaced(lines) else ","
    found = like_first or found
    others = {delimiter: size for delimiter, size in found.items() if delimiter != ","} or found
    return max(others, key=others.__getitem__)


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether lines are as many numbers each with single spaces between, under a header."""
    header, *rows = [line.split(" ") for line in lines if line] or [[]]
    numbers = all(re.fullmatch(r"-?[0-9.eE+-]*[0-9]\.?", field) for row in rows for field in row)
    return len(header) > 1 and {len(row) for row in rows} == {len(header)} and numbers
