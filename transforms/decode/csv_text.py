"""CSV bytes to columns of text: set aside the records that break the format, Arrow reads others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from schemas.errors import SourceError
from transforms.batches import one_batch
from transforms.sources.csv_records import records
from transforms.sources.lines import Bytes

_NEWLINE, _RETURN, _NUL = 10, 13, 0
_BOM: Final = b"\xef\xbb\xbf"
_PARTS: Final = 16


@dataclass(frozen=True)
class Framed:
    """The records of a block; empty lines are none.

    Attributes:
        starts: Index of the first byte of each.
        ends: Index after its line end.
        broken: Of records that break the format, the reason; by record number.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    broken: dict[int, str]


@cache
def _strict(delimiter: int) -> re.Pattern[bytes]:
    """Return the pattern of a record with nothing behind its closing quotes."""
    d = re.escape(bytes([delimiter]))
    one = rb'(?:"(?:[^"]++|"")*+"|(?!")[^%b\n]*+)' % d
    return re.compile(rb"%b(?:%b%b)*\r?\n?" % (one, d, one))


@cache
def _without_returns(delimiter: int) -> re.Pattern[bytes]:
    """Return the pattern of a record with carriage returns only in quotes and at its end."""
    d = re.escape(bytes([delimiter]))
    one = rb'(?:"(?:[^"]++|"")*+"|(?!"))[^%b\r\n]*+' % d
    return re.compile(rb"%b(?:%b%b)*(?:\r?\n)?" % (one, d, one))


def frame(data: Bytes, delimiter: int) -> Framed:
    """Find the records of a block of whole records, and those that break the format.

    Vectorised, but for records that have a quote, a carriage return or a byte out of place.
    """
    found = records(data, delimiter)
    ends = found.ends
    tail = len(data) > 0 and (not len(ends) or int(ends[-1]) < len(data))
    if tail:
        ends = np.append(ends, len(data))
    starts = np.concatenate((np.zeros(min(len(ends), 1), np.int64), ends[:-1]))
    full = ~_empty(data, starts, ends)
    starts, ends = starts[full], ends[full]
    broken: dict[int, str] = {}
    for check in (_not_text, _null_bytes):
        broken.update(check(data, starts, ends))
    for i in _at(starts, _lone_returns(data)):
        if not _without_returns(delimiter).fullmatch(data.data, int(starts[i]), int(ends[i])):
            broken[i] = "record must end in LF or CRLF, and have CR alone only in quotes"
    for at in found.odd:
        i = int(np.searchsorted(starts, at))
        end = int(ends[i]) if i < len(starts) and int(starts[i]) == at else at
        if not _strict(delimiter).fullmatch(data.data, at, end) and end > at:
            broken[i] = "record must have a delimiter behind each closing quote; see RFC 4180"
    if tail and found.open:
        broken[len(starts) - 1] = "record must close each quote that opens a field; see RFC 4180"
    return Framed(starts, ends, broken)


def _empty(data: Bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ends):
        return np.zeros(0, np.bool_)
    length = ends - starts - (data[ends - 1] == _NEWLINE)
    empty: NDArray[np.bool_] = (length == 0) | ((length == 1) & (data[starts] == _RETURN))
    return empty


Broken = Iterator[tuple[int, str]]


def _null_bytes(data: Bytes, starts: NDArray[np.int64], _: NDArray[np.int64]) -> Broken:
    for i in _at(starts, np.flatnonzero(data == _NUL)):
        yield i, "record must not have NUL bytes; the file may be UTF-16 or damaged"


def _lone_returns(data: Bytes) -> NDArray[np.int64]:
    """Return where carriage returns are that no newline follows."""
    returns = np.flatnonzero(data == _RETURN)
    last = len(data) - 1
    return returns[(returns == last) | (data[np.minimum(returns + 1, last)] != _NEWLINE)]


def _not_text(data: Bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Broken:
    if not len(starts) or _is_text(data, np.array([0, len(data)])):
        return
    bounds = np.append(starts, ends[-1])
    parts = [(0, len(starts))]
    while parts:
        first, stop = parts.pop()
        if _is_text(data, bounds[[first, stop]]):
            continue
        if stop - first == 1:
            yield first, "record must be UTF-8 text; convert the file"
            continue
        cuts = np.linspace(first, stop, min(stop - first, _PARTS) + 1).astype(np.int64).tolist()
        parts += pairwise(cuts)


def _is_text(data: Bytes, bounds: NDArray[np.int64]) -> bool:
    offsets = pa.py_buffer(bounds.astype(np.int32))
    text = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(data))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _at(starts: NDArray[np.int64], places: NDArray[np.int64]) -> list[int]:
    """Return the records that stand at or before some places in the block."""
    numbers = np.unique(np.searchsorted(starts, places, side="right") - 1)
    return numbers[numbers >= 0].tolist()


@dataclass(frozen=True)
class Layout:
    """How the fields of a file are laid out.

    Attributes:
        fields: How many each record must have.
        wanted: Numbers of the fields to read.
        nulls: Texts that mean null when they stand without quotes.
        delimiter: As a byte.
    """

    fields: int
    wanted: tuple[int, ...]
    nulls: tuple[str, ...]
    delimiter: int


class Texts(NamedTuple):
    """Fields of a block as text.

    Attributes:
        columns: Of each wanted field the texts (`pa.string()`).
        kept: Numbers of the records they are of.
        broken: Of all records that break the format, the reason; by record number.
    """

    columns: list[pa.Array]
    kept: NDArray[np.int64]
    broken: dict[int, str]


def read_texts(data: Bytes, framed: Framed, layout: Layout) -> Texts:
    """Read fields of the records that keep the format as text."""
    broken = dict(framed.broken)
    good = np.ones(len(framed.starts), np.bool_)
    if broken:
        data = data.copy()
        for i in broken:
            good[i] = False
            data[framed.starts[i] : framed.ends[i]] = _NEWLINE  # Arrow passes over empty lines
    kept = np.flatnonzero(good)
    if not len(kept):
        return Texts([pa.array([], pa.string()) for _ in layout.wanted], kept, broken)
    if data[:3].tobytes() == _BOM:  # Arrow would drop it, though it is no mark here
        data = np.concatenate((np.array([_NEWLINE], np.uint8), data))
    ragged: list[tuple[int, int]] = []
    table = _read(data, layout, _collect(ragged))
    for number, count in ragged:
        broken[int(kept[number])] = f"record must have {layout.fields} fields; got {count}"
    if ragged:
        kept = np.delete(kept, [number for number, _ in ragged])
    if table.num_rows != len(kept):
        msg = (
            f"CSV records must be found alike by both readers; got {table.num_rows} rows for "
            f"{len(kept)} records; this is a fault of Penstock: please report it"
        )
        raise SourceError(msg)
    rows = one_batch(table)
    return Texts([rows.column(str(i)) for i in layout.wanted], kept, broken)


def _read(data: Bytes, layout: Layout, handler: Callable[[Any], str]) -> pa.Table:
    names = [str(i) for i in range(layout.fields)]
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(data)),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(data) + 64, column_names=names
        ),
        parse_options=csv.ParseOptions(
            delimiter=chr(layout.delimiter), newlines_in_values=True, invalid_row_handler=handler
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,  # all of the block has been checked
            include_columns=[names[i] for i in layout.wanted] or names[:1],
            column_types=dict.fromkeys(names, pa.string()),
            null_values=list(layout.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _collect(ragged: list[tuple[int, int]]) -> Callable[[Any], str]:
    def handle(row: Any) -> str:
        ragged.append((row.number - 1, row.actual_columns))
        return "skip"

    return handle
