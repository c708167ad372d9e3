"""Where the strings of many JSON texts begin and end: the first pass over untrusted bytes.

The method is simdjson's (Langdale and Lemire, 2019) with numpy columns in place of registers: a
quote that no backslash escapes opens or closes a string, so an even number of them says for every
byte of a text whether it stands inside a string.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

import numpy as np
import pyarrow as pa

Ints = np.ndarray
"""One dimension of int64: positions in `Documents.data`, or row numbers."""


class Fault(IntEnum):
    """Why a text is no strict JSON; `REASONS` says it in words."""

    NONE = 0
    LENGTH = 1
    UTF8 = 2
    NUL = 3
    CONTROL = 4
    ESCAPE = 5
    SURROGATE = 6
    UNCLOSED = 7
    GRAMMAR = 8
    SCALAR = 9
    RANGE = 10
    DEPTH = 11
    ROOT = 12
    DUPLICATE = 13


DEPTH_LIMIT: Final = 200

REASONS: Final = {
    Fault.LENGTH: "record must not be longer than the limit",
    Fault.UTF8: "record must be valid UTF-8",
    Fault.NUL: "record must hold no NUL byte",
    Fault.CONTROL: "record must be valid JSON; got a control character inside a string",
    Fault.ESCAPE: "record must be valid JSON; got an unknown escape",
    Fault.SURROGATE: "record must be valid JSON; got a lone surrogate escape",
    Fault.UNCLOSED: "record must be valid JSON; got a string that is not closed",
    Fault.GRAMMAR: "record must be one valid JSON value",
    Fault.SCALAR: "record must be valid JSON; got a word that is no number, true, false or null",
    Fault.RANGE: "numbers must fit a double; got one beyond its range",
    Fault.DEPTH: f"record must not nest deeper than {DEPTH_LIMIT}",
    Fault.ROOT: "record must be a JSON object",
    Fault.DUPLICATE: "keys of an object must be distinct; got one twice",
}

_GROUP: Final = 16
_CACHED: Final = 1 << 17
_NOTHING: Final = np.empty(0, np.int64)
_QUOTE, _BACKSLASH, _U = b'"\\u'
_ESCAPES: Final = np.zeros(256, bool)
_ESCAPES[list(b'"\\/bfnrtu')] = True
_HEX: Final = np.full(256, -1, np.int64)
_HEX[list(b"0123456789")] = np.arange(10)
_HEX[list(b"abcdef")] = _HEX[list(b"ABCDEF")] = np.arange(10, 16)


@dataclass(frozen=True, eq=False)
class Documents:
    """JSON texts that lie in one buffer, in order, and the quotes of their strings.

    Attributes:
        data: uint8. Between two texts stands no quote and no backslash.
        starts: First byte of each text.
        ends: The byte after each text.
        fault: uint8 `Fault` of each text; NONE does not yet mean that it is valid.
        slashes: Positions of all backslashes.
        lows: Positions of all bytes below 0x20, but for those that are known to end a line.
        scanned: Whether quotes were looked for.
        quotes: Positions of the quotes that are not escaped, in the texts that were scanned.
        first: Index in `quotes` of each text's first one.
        count: How many quotes each text has; 0 where it was not scanned.
    """

    data: np.ndarray
    starts: Ints
    ends: Ints
    fault: np.ndarray
    slashes: Ints
    lows: Ints
    scanned: bool = False
    quotes: Ints = field(default_factory=lambda: _NOTHING)
    first: Ints = field(default_factory=lambda: _NOTHING)
    count: Ints = field(default_factory=lambda: _NOTHING)

    def __len__(self) -> int:
        return len(self.starts)

    def plain(self) -> np.ndarray:
        """Which texts hold no backslash and no byte below 0x20."""
        out = np.ones(len(self), bool)
        for at in (self.slashes, self.lows):
            if len(at):
                owner = np.searchsorted(self.ends, at, "right")
                out[owner[owner < len(out)]] = False
        return out


def texts_in(data: np.ndarray, starts: Ints, ends: Ints, lows: Ints | None = None) -> Documents:
    """Describe JSON texts; their strings are not looked for.

    Args:
        data: uint8, valid UTF-8 where `starts` and `ends` cut it (see `utf8_faults`).
        starts: First byte of each text, ascending.
        ends: The byte after it; texts do not overlap, and no quote or backslash stands outside.
        lows: See `Documents`; looked for if None.
    """
    fault = np.zeros(len(starts), np.uint8)
    lows = low_bytes(data) if lows is None else lows
    slashes = np.flatnonzero(data == _BACKSLASH) if _has_slash(data) else _NOTHING
    return Documents(data, starts, ends, fault, slashes, lows)


def low_bytes(data: np.ndarray) -> Ints:
    """Positions of bytes below 0x20."""
    held = np.empty(min(_CACHED, len(data)), bool)
    found = [
        np.flatnonzero(np.less(part := data[at : at + _CACHED], 0x20, out=held[: len(part)])) + at
        for at in range(0, len(data), _CACHED)
    ]
    return np.concatenate(found) if found else _NOTHING


def _has_slash(data: np.ndarray) -> bool:
    # A search of bytes is ten times as fast as a comparison, and most data has none.
    parts = (data[at : at + _CACHED].tobytes() for at in range(0, len(data), _CACHED))
    return any(b"\\" in part for part in parts)


def scan(docs: Documents, rows: Ints | None = None) -> Documents:
    """Find the strings of texts.

    Args:
        docs: The texts.
        rows: Which of them, ascending; None: all. The others may hold no backslash.

    Returns:
        The same with quotes, and with these faults found: NUL, CONTROL (inside a string), ESCAPE,
        SURROGATE, UNCLOSED, and GRAMMAR where a backslash stands outside of strings.
    """
    data, ends, fault = docs.data, docs.ends, docs.fault
    slashes, lows = docs.slashes, docs.lows
    if rows is None or 2 * len(rows) > len(docs):
        quotes = np.flatnonzero(data == _QUOTE)
    else:
        at = expand(docs.starts[rows], ends[rows] - docs.starts[rows])
        quotes = at[data[at] == _QUOTE]
        slashes, lows = (_within(docs, some, rows) for some in (slashes, lows))
    if len(slashes):
        quotes = _without_escaped(data, ends, slashes, quotes, fault)
    last = _counted(quotes, ends)
    first = np.concatenate(([0], last[:-1])) if len(last) else last
    docs = replace(
        docs,
        slashes=slashes,
        lows=lows,
        scanned=True,
        quotes=quotes,
        first=first,
        count=last - first,
    )
    _check_slashes(docs)
    if len(lows):
        _check_controls(docs, lows)
    note(fault, (docs.count & 1) == 1, Fault.UNCLOSED)
    return docs


def _within(docs: Documents, at: Ints, rows: Ints) -> Ints:
    """Positions that stand in some of the texts."""
    if not len(at):
        return at
    chosen = np.zeros(len(docs) + 1, bool)
    chosen[rows] = True
    return at[chosen[np.searchsorted(docs.ends, at, "right")]]


def expand(starts: Ints, lengths: Ints) -> Ints:
    """Concatenate the ranges [start, start + length)."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _counted(quotes: Ints, ends: Ints) -> Ints:
    """How many quotes stand before each end: np.searchsorted, quick where texts have alike many."""
    whole = len(ends) // _GROUP * _GROUP
    if whole < 8 * _GROUP:
        return np.searchsorted(quotes, ends)
    known = np.searchsorted(quotes, ends[_GROUP - 1 : whole : _GROUP])
    before = np.concatenate(([0], known[:-1]))
    usual = int(np.median(known - before)) // _GROUP
    guess = (before[:, None] + usual * np.arange(1, _GROUP + 1)).ravel()
    bounded = np.concatenate(([-1], quotes, [np.iinfo(np.int64).max]))
    guess = np.minimum(guess, len(quotes))
    wrong = np.flatnonzero((bounded[guess] >= ends[:whole]) | (bounded[guess + 1] < ends[:whole]))
    guess[wrong] = np.searchsorted(quotes, ends[wrong])
    return np.concatenate((guess, np.searchsorted(quotes, ends[whole:])))


def note(fault: np.ndarray, rows: np.ndarray, found: Fault) -> None:
    """Set the fault of rows (a mask or row numbers) that have none yet."""
    if rows.dtype == bool:
        fault[rows & (fault == 0)] = found
    else:
        fault[rows[fault[rows] == 0]] = found


def utf8_faults(data: np.ndarray, starts: Ints, ends: Ints) -> Ints:
    """Row numbers of texts that are not valid UTF-8; costs one pass if there are none."""
    if not len(starts):
        return np.empty(0, np.int64)
    found = _utf8(data, starts, ends, 0, len(starts))
    # Side by side, the two parts of a character that is cut in half would make it whole.
    filled = np.flatnonzero(ends > starts)
    cut = (data[starts[filled]] & 0xC0) == 0x80
    if not cut.any():
        return found
    before = np.unique(filled[np.maximum(np.flatnonzero(cut) - 1, 0)])
    halves = [_utf8(data, starts, ends, int(row), int(row) + 1) for row in before]
    return np.unique(np.concatenate([found, filled[cut], *halves]))


def _utf8(data: np.ndarray, starts: Ints, ends: Ints, low: int, high: int) -> Ints:
    begin, end = int(starts[low]), int(ends[high - 1])
    offsets = np.array([0, end - begin], np.int32)
    whole = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(data[begin:end]))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        if high - low == 1:
            return np.array([low])
        middle = (low + high) // 2
        halves = (_utf8(data, starts, ends, *at) for at in ((low, middle), (middle, high)))
        return np.concatenate(list(halves))
    return np.empty(0, np.int64)


def _without_escaped(
    data: np.ndarray, ends: Ints, slashes: Ints, quotes: Ints, fault: np.ndarray
) -> Ints:
    owner = np.searchsorted(ends, slashes, "right")
    new = np.ones(len(slashes), bool)
    new[1:] = (np.diff(slashes) != 1) | (np.diff(owner) != 0)
    order = np.arange(len(slashes))
    begins = ((order - np.maximum.accumulate(np.where(new, order, 0))) & 1) == 0
    at, owner = slashes[begins], owner[begins]
    inside = at + 1 < ends[owner]
    note(fault, owner[~inside], Fault.UNCLOSED)
    at, owner = at[inside], owner[inside]
    char = data[at + 1]
    note(fault, owner[~_ESCAPES[char]], Fault.ESCAPE)
    _unicode(data, ends, at[char == _U], owner[char == _U], fault)
    real = np.ones(len(quotes), bool)
    real[np.searchsorted(quotes, at[char == _QUOTE] + 1)] = False
    return quotes[real]


def _unicode(data: np.ndarray, ends: Ints, at: Ints, owner: Ints, fault: np.ndarray) -> None:
    whole = at + 6 <= ends[owner]
    note(fault, owner[~whole], Fault.ESCAPE)
    at, owner = at[whole], owner[whole]
    digits = _HEX[data[at[:, None] + np.arange(2, 6)]]
    note(fault, owner[(digits < 0).any(axis=1)], Fault.ESCAPE)
    code = digits @ np.array([4096, 256, 16, 1])
    high, low = (code & 0xFC00) == 0xD800, (code & 0xFC00) == 0xDC00
    pair = (np.diff(at) == 6) & high[:-1] & low[1:]
    paired = np.zeros(len(at), bool)
    paired[:-1] |= pair
    paired[1:] |= pair
    note(fault, owner[(high | low) & ~paired], Fault.SURROGATE)


def _inside(docs: Documents, at: Ints, owner: Ints) -> np.ndarray:
    """Which positions of texts stand inside a string."""
    return ((np.searchsorted(docs.quotes, at) - docs.first[owner]) & 1) == 1


def _check_slashes(docs: Documents) -> None:
    owner = np.searchsorted(docs.ends, docs.slashes, "right")
    note(docs.fault, owner[~_inside(docs, docs.slashes, owner)], Fault.GRAMMAR)


def _check_controls(docs: Documents, at: Ints) -> None:
    owner = np.searchsorted(docs.ends, at, "right")
    real = owner < len(docs)
    real[real] = docs.starts[owner[real]] <= at[real]
    at, owner = at[real], owner[real]
    note(docs.fault, owner[docs.data[at] == 0], Fault.NUL)
    note(docs.fault, owner[_inside(docs, at, owner)], Fault.CONTROL)
