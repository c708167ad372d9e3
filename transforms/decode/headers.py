"""Find the contract's columns among the names that a file gives its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import count
from typing import Final

from schemas.contract import Contract, OnChange
from schemas.errors import SourceError

_BY_ROW: Final = (OnChange.QUARANTINE, OnChange.DISCARD_ROW)
"""What takes the rows of a file out that lacks a required column."""
CONVERT: Final = "convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
"""What to do with text in another encoding."""
_CSV_HEADER: Final = "its header, the contract, or source.batch.files.csv.delimiter"


def csv_names(header: bytes, delimiter: str, source: str) -> list[str]:
    """Return the names in a CSV header.

    Raises:
        SourceError: If it is not UTF-8 or no CSV record.
    """
    try:
        text = header.decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        wrong = isinstance(error, csv.Error)
        got, remedy = (error, "correct it") if wrong else ("other bytes", CONVERT)
        msg = f"a CSV header must be one record of UTF-8 text; got {got} in {source}; {remedy}"
        raise SourceError(msg) from None
    return rows[0] if rows else []


def numbered(names: Sequence[str]) -> Iterator[str]:
    """Yield names apart: of several columns of one name all but the first get a free number.

    >>> list(numbered(["a", "b", "a", "", "", "a", "a_2"]))
    ['a', 'b', 'a_3', '', '', 'a_4', 'a_2']
    """
    taken = set(names)
    further: dict[str, Iterator[str]] = {}
    for name in names:
        if name not in further:
            further[name] = (f"{name}_{number}" for number in count(2))
            yield name
        else:
            own = next(n for n in further[name] if n not in taken) if name else name
            taken.add(own)
            yield own


def find_columns(
    contract: Contract, names: Sequence[str], source: str, *, in_header: bool = False
) -> dict[str, int]:
    """Return where each column that the contract reads is in a file, by its name in tables.

    Optional ones may be absent. A property may be read from the first column without a name, and
    from a further one of the same name by its number: see `numbered`.

    Args:
        contract: What columns there must be.
        names: What the file calls its own, in order.
        source: The file.
        in_header: Whether they stand in a CSV header, which may be cut in the wrong places.

    Raises:
        SourceError: If a name is there twice and the contract does not read the latter by its
            number, or a required column is not there.
    """
    places: dict[str, int] = {}
    read = {c.key for c in contract.columns if c.read}
    for i, (name, own) in enumerate(zip(names, numbered(names), strict=True)):
        if own != name and own not in read:
            # By number: in a file without a header the names are values, perhaps personal ones.
            msg = (
                f"columns of a file must have different names; got the same for columns "
                f"{places[name] + 1} and {i + 1} of {source}; rename one, give it a header, or let "
                f"the contract read the latter by its name and {own.removeprefix(name)!r} behind it"
            )
            raise SourceError(msg)
        places.setdefault(own, i)
    if keys := missing(contract, places):
        told = "; ".join(_hint(name, list(places)) for name in keys)
        msg = (
            f"a file must have every required column; got {source} without {told}; correct "
            f"{_CSV_HEADER if in_header else 'the file or the contract'}"
        )
        raise SourceError(msg)
    return {c.name: places[c.key] for c in contract.columns if c.read and c.key in places}


def missing(contract: Contract, there: Container[str]) -> list[str]:
    """Return the keys that a file must have and does not, where no mode takes its rows out."""
    return [
        c.key
        for c in contract.columns
        if c.read and c.required and c.key not in there and contract.met(c) not in _BY_ROW
    ]


def undeclared(contract: Contract, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a file's columns that the contract does not declare."""
    known = {c.key for c in contract.columns}
    return tuple(name for name in names if name and name not in known)


def lacking(contract: Contract, places: Mapping[str, int]) -> tuple[str, ...]:
    """Return the columns that the contract reads and a file does not have."""
    return tuple(c.name for c in contract.columns if c.read and c.name not in places)


def _hint(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1) or get_close_matches(
        name.casefold(),
        [n for n in names if n.strip().casefold() == name.casefold()],
        n=1,
        cutoff=0,
    )
    return f"{name!r} (is it {near[0]!r}?)" if near else repr(name)
