"""Where CSV records begin and end: RFC 4180, and what to make of text that breaks it.

A quote opens a quoted field only at the field's start; elsewhere in an unquoted field it is a
character (`5" pipe`). In a quoted field newlines and delimiters are text, and `""` is a quote. Text
between a closing quote and the next delimiter belongs to the field. This is the grammar of Arrow's
reader, which reads the values.

A quote that never closes would make one record of the rest of the source; then only the line it
stands on is taken for the record, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError
from transforms.sources.lines import Bytes, Skipper, first_line

_QUOTE, _NEWLINE, _RETURN = 34, 10, 13
_PATIENCE = 32


def delimiter_byte(delimiter: str) -> int:
    """Return a delimiter as the byte it is.

    Raises:
        UsageError: If it is not one ASCII character that fields can be told by.
    """
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        msg = (
            "a CSV delimiter must be one ASCII character, no quote and no line end; "
            f"got {delimiter!r}; set source.batch.files.csv.delimiter"
        )
        raise UsageError(msg)
    return ord(delimiter)


def header_line(names: Sequence[str], delimiter: str) -> bytes:
    """Return the line that names fields, without its end; of no names nothing."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(names)
    return out.getvalue().encode()


@cache
def _record(delimiter: int) -> re.Pattern[bytes]:
    """Return the pattern of one record with its newline, or one that the data ends in."""
    d = re.escape(bytes([delimiter]))
    quoted = rb'"(?:[^"]++|"")*+"[^%b\n]*+' % d
    plain = rb'(?!")[^%b\n]*+' % d
    one = rb"(?>%b|%b)" % (quoted, plain)
    return re.compile(rb"%b(?:%b%b)*+(?:\n|\Z)" % (one, d, one))


@dataclass(frozen=True)
class Records:
    """Ends of the records of some CSV bytes that begin with a record.

    Attributes:
        ends: Index after each record that has its newline, ascending.
        open: Whether what follows the last end is a record with an open quote.
        odd: Starts of records with a quote where RFC 4180 has none, and maybe of some others.
    """

    ends: NDArray[np.int64]
    open: bool
    odd: tuple[int, ...] = ()


def records(data: Bytes, delimiter: int = 44) -> Records:
    """Find the records of CSV bytes that begin with a record.

    Vectorised where quotes stand as RFC 4180 has them; only records in which one does not are
    looked at one by one.
    """
    newlines = np.flatnonzero(data == _NEWLINE)
    quotes = np.flatnonzero(data == _QUOTE)
    if not len(quotes):
        return Records(newlines + 1, open=False)
    done: list[NDArray[np.int64]] = []
    odd: list[int] = []
    start = 0
    for attempt in range(_PATIENCE + 1):
        newlines = newlines[np.searchsorted(newlines, start) :]
        quotes = quotes[np.searchsorted(quotes, start) :]
        wrong = _first_misplaced(data, quotes, start, delimiter)
        inside = np.searchsorted(quotes, newlines) & 1
        ends = newlines[inside == 0] + 1
        if wrong < 0:
            done.append(ends)
            tail = int(ends[-1]) if len(ends) else start
            is_open = bool((len(quotes) - np.searchsorted(quotes, tail)) & 1)
            return Records(np.concatenate(done), open=is_open, odd=tuple(odd))
        ends = ends[ends <= wrong]
        done.append(ends)
        start = int(ends[-1]) if len(ends) else start
        if attempt == _PATIENCE:
            break
        end, is_open = _one(data, start, delimiter)
        odd.append(start)
        if not end:
            return Records(np.concatenate(done), open=is_open, odd=tuple(odd))
        done.append(np.array([end]))
        start = end
    rest, is_open = _one_by_one(data, start, delimiter)
    every = np.concatenate([*done, np.array(rest, np.int64)])
    return Records(every, open=is_open, odd=(*odd, start, *rest))


def _first_misplaced(data: Bytes, quotes: NDArray[np.int64], start: int, delimiter: int) -> int:
    """Return the first quote that stands where RFC 4180 has none, -1 if all are in place.

    Up to it, quotes at even places open (or are the second of `""`), those at odd places close.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    before = data[np.maximum(opening - 1, 0)]
    fine = (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE) | (opening == start)
    bad = opening[~fine][:1].tolist()
    last = len(data) - 1
    after = data[np.minimum(closing + 1, last)]
    fine = (after == delimiter) | (after == _NEWLINE) | (after == _QUOTE) | (closing == last)
    crlf = (after == _RETURN) & (data[np.minimum(closing + 2, last)] == _NEWLINE)
    bad += closing[~(fine | crlf)][:1].tolist()
    return min(bad, default=-1)


def _one(data: Bytes, start: int, delimiter: int) -> tuple[int, bool]:
    """Return the end of the record at `start` and False; or 0 and whether its quote is open."""
    found = _record(delimiter).match(data.data, start)
    if found is None:
        return 0, True
    end = found.end()
    return (end, False) if int(data[end - 1]) == _NEWLINE and end > start else (0, False)


def _one_by_one(data: Bytes, start: int, delimiter: int) -> tuple[list[int], bool]:
    """Return the ends of all records from `start` on, and whether what follows is open."""
    ends: list[int] = []
    end, is_open = _one(data, start, delimiter)
    while end:
        ends.append(end)
        end, is_open = _one(data, end, delimiter) if end < len(data) else (0, False)
    return ends, is_open


@dataclass(frozen=True)
class CsvGrammar:
    """The framer's view of CSV records."""

    delimiter: int = 44

    def last_end(self, data: Bytes) -> int:
        """Return the index after the last whole record, 0 if there is none."""
        ends = records(data, self.delimiter).ends
        return int(ends[-1]) if len(ends) else 0

    def ends(self, data: Bytes) -> NDArray[np.int64]:
        """Return the index after each whole record."""
        return records(data, self.delimiter).ends

    def broken(self, data: Bytes) -> int:
        """Return the length of the first line if a quote in `data` never closes, else 0."""
        return (first_line(data) or len(data)) if records(data, self.delimiter).open else 0

    def skipper(self) -> Skipper:
        """Return a state machine, for records of any length."""
        return _Machine(bytes([self.delimiter]))


@dataclass
class _Machine:
    """Walks from token to token through a record whose bytes come in pieces."""

    delimiter: bytes
    state: str = "start"

    @property
    def open(self) -> bool:
        """Whether it is within quotes."""
        return self.state == "quoted"

    def end(self, data: Bytes) -> int:
        """Return the index after the record's end in the next piece, 0 if it goes on."""
        text, at, newline = data.tobytes(), 0, -1
        while at < len(text):
            if self.state == "start":
                quoted = text[at] == _QUOTE
                self.state, at = ("quoted", at + 1) if quoted else ("text", at)
            elif self.state == "quoted":
                found = text.find(b'"', at)
                if found < 0:
                    return 0
                self.state, at = "quote", found + 1
            elif self.state == "quote":
                doubled = text[at] == _QUOTE
                self.state, at = ("quoted", at + 1) if doubled else ("text", at)
            else:
                if newline < at:
                    newline = text.find(b"\n", at)
                    newline = len(text) if newline < 0 else newline
                found = text.find(self.delimiter, at, newline)
                if found < 0:
                    return newline + 1 if newline < len(text) else 0
                self.state, at = "start", found + 1
        return 0
