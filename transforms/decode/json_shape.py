"""Texts that differ in their values alone: a shape learned from one is checked on all at once.

Records of one producer have the same keys in the same order. A text has a shape if all of its
bytes outside of values are those of the text that the shape was learned from, so its grammar, its
keys and their distinctness need no second look. What remains free is: what stands inside a string
that is a value, and which number, word, or array of those a value is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.decode.json_scan import Documents, Ints
from transforms.decode.json_tokens import (
    NUMBER_FORM,
    OPEN_ARRAY,
    OPEN_OBJECT,
    SCALAR,
    STRING,
    Path,
    cut,
    finite,
    mask,
)

ABSENT, NULL, TEXT, NUMBER, TRUE, FALSE, OBJECT, ARRAY = range(8)
"""Kinds of values."""

_WORDS: Final = {b"true": TRUE, b"false": FALSE, b"null": NULL}
_NUMBER: Final = f"^{NUMBER_FORM}$"
# Arrays of numbers and words; exponents and long numbers might not fit a double.
_ELEMENT: Final = r"(?:-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?|true|false|null)"
_FLAT: Final = rf"^\[[ \t]*(?:{_ELEMENT}(?:[ \t]*,[ \t]*{_ELEMENT})*[ \t]*)?\]$"
_WIDE: Final = 16
_AT_ONCE: Final = 1 << 16
_WINDOWS: Final = 64  # strings of more than so many loads are left to the quotes
_ONE: Final = np.uint64(1)
_ONES: Final = np.uint64(0x0101010101010101)
_HIGHS: Final = np.uint64(0x8080808080808080)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_QUOTES: Final = np.uint64(0x2222222222222222)


class Values(NamedTuple):
    """One value a text, or none: `kind` is uint8; text values are [start, end) without quotes."""

    kind: np.ndarray
    start: Ints
    end: Ints


def rows_of(values: Values, rows: np.ndarray) -> Values:
    """Return the values of some rows (numbers or a mask)."""
    return Values(*(x[rows] for x in values))


class Segment(NamedTuple):
    """Bytes that all texts of a shape share.

    `quote` is the ordinal of the text's quote that stands at `offset`; -1 if it has none: then it
    ends the text.
    """

    text: bytes
    quote: int
    offset: int


class Place(NamedTuple):
    """Where a value is: from a byte of a segment to a byte of another.

    `kind` SCALAR may turn out to be any value without a string or an object.
    """

    kind: int
    first: int
    first_offset: int
    last: int
    last_offset: int


@dataclass(frozen=True, eq=False)
class Shape:
    """What texts that look alike share.

    Attributes:
        segments: In order; between two of them lies one value.
        quotes: How many quotes such a text has.
        places: Of the values at the paths that were asked for.
        scalars: Segments that a value without quotes follows.
        undeclared: Paths of keys of such a text that nobody has declared.
    """

    segments: tuple[Segment, ...]
    quotes: int
    places: dict[Path, Place]
    scalars: tuple[int, ...]
    undeclared: tuple[Path, ...] = ()

    def match(self, docs: Documents, rows: Ints) -> tuple[Ints, dict[Path, Values]]:
        """Find the texts that have this shape.

        Args:
            docs: The texts.
            rows: Which of them to try: without faults, with as many quotes as the shape.

        Returns:
            The rows that match, which are valid JSON with distinct keys, and their values.
        """
        # Loads are 16 bytes wide, and what does not fit is followed for a while: leave out the
        # texts that end too near to the buffer's end.
        reach = len(docs.data) - self.least - _WIDE * (len(self.segments) + 1)
        rows = rows[: np.searchsorted(docs.ends[rows], reach, "right")]
        rows = rows[docs.ends[rows] - docs.starts[rows] >= self.least]
        if not len(rows):
            return rows, {}
        wide = (len(docs.data) - _WIDE + 1,)
        words: np.ndarray = np.ndarray(wide, f"V{_WIDE}", docs.data, 0, (1,))
        begins: np.ndarray = np.empty((len(self.segments), len(rows)), np.int64)
        fits = np.ones(len(rows), bool)
        # Fewer would stay in the processor's cache, but threads would wait for the GIL more often
        # than they compute: with two, 4,096 texts at once take half as long again.
        for low in range(0, len(rows), _AT_ONCE):
            some = slice(low, low + _AT_ONCE)
            found = self._begins if docs.scanned else self._sought
            found(docs, rows[some], words, begins[:, some], fits[some])
        if not fits.all():
            rows, begins = rows[fits], begins[:, fits]
        kinds = {}
        fits = np.ones(len(rows), bool)
        for at in self.scalars:
            start, end = begins[at] + len(self.segments[at].text), begins[at + 1]
            kinds[at] = _scalar_kinds(docs.data, start, end)
            fits &= kinds[at] != ABSENT
        values = {path: _value(place, begins, kinds) for path, place in self.places.items()}
        if not fits.all():
            rows = rows[fits]
            values = {path: rows_of(found, fits) for path, found in values.items()}
        return rows, values

    @cached_property
    def least(self) -> int:
        """Bytes that such a text has at least."""
        return sum(len(segment.text) for segment in self.segments)

    def _sought(
        self, docs: Documents, rows: Ints, words: np.ndarray, begins: np.ndarray, fits: np.ndarray
    ) -> None:
        """Find where each segment begins, and the texts that hold them all, without `quotes`.

        The texts hold no backslash and no control character. What begins after a value does so
        at the first quote from there on: so no string value has a quote inside.
        """
        at, ends = docs.starts[rows], docs.ends[rows]
        for number, segment in enumerate(self.segments):
            begin = begins[number]
            if number == 0:
                begin[:] = at
            elif segment.quote < 0:
                np.subtract(ends, len(segment.text), out=begin)
            else:
                np.subtract(_next_quote(words, at, ends), segment.offset, out=begin)
            if number - 1 in self.scalars:  # elsewhere a quote follows a quote
                fits &= begin > at
            fits &= _holds(words, begin, segment.text)
            at = begin + len(segment.text)
        # Places only move on, or to the end of the text, where they are too late: so all are right.
        fits &= at == ends

    def _begins(
        self, docs: Documents, rows: Ints, words: np.ndarray, begins: np.ndarray, fits: np.ndarray
    ) -> None:
        """Find where each segment begins, and the texts that hold them all, by their quotes."""
        starts, ends = docs.starts[rows], docs.ends[rows]
        quotes = self._quotes(docs, rows)
        for number, segment in enumerate(self.segments):
            if segment.quote < 0:
                begins[number] = ends - len(segment.text)
            else:
                begins[number] = quotes[:, segment.quote] - segment.offset
        fits &= begins[0] == starts
        fits &= begins[-1] + len(self.segments[-1].text) == ends
        for at in self.scalars:  # elsewhere a quote follows a quote
            fits &= begins[at] + len(self.segments[at].text) < begins[at + 1]
        if not fits.all():
            begins[:] = np.where(fits, begins, starts)
        for begin, segment in zip(begins, self.segments, strict=True):
            fits &= _holds(words, begin, segment.text)

    def _quotes(self, docs: Documents, rows: Ints) -> Ints:
        """Positions of the quotes of texts, a text a row of the matrix."""
        first = docs.first[rows]
        cuts = np.flatnonzero(np.diff(first) != self.quotes) + 1
        if len(cuts) * 8 > len(rows):
            return docs.quotes[first[:, None] + np.arange(self.quotes)]
        # Texts of this shape come in runs: their quotes can be taken as they lie.
        low = first[np.concatenate(([0], cuts))].tolist()
        high = first[np.concatenate((cuts - 1, [len(rows) - 1]))] + self.quotes
        runs = [docs.quotes[a:b] for a, b in zip(low, high.tolist(), strict=True)]
        return np.concatenate(runs).reshape(-1, self.quotes)


def _next_quote(words: np.ndarray, at: Ints, ends: Ints) -> Ints:
    """First quote at or after each position; the text's end where there is none, or it is far."""
    step = _quote_in(words[at])
    at = at + step
    far: Ints = np.empty(0, np.int64)
    for _ in range(_WINDOWS):
        if step.max() < _WIDE:
            return at
        np.minimum(at, ends, out=at)
        far = np.flatnonzero(step == _WIDE)
        if 4 * len(far) < len(at):
            break
        # Where a quote was found, the next look finds it again, at no distance.
        step = _quote_in(words[at])
        at += step
    for _ in range(_WINDOWS):
        step = _quote_in(words[at[far]])
        at[far] = np.minimum(at[far] + step, ends[far])
        far = far[step == _WIDE]
        if not len(far):
            break
    at[far] = ends[far]
    return at


def _quote_in(window: np.ndarray) -> np.ndarray:
    """Index of the first quote in 16 bytes; 16 if there is none.

    The lowest set bit of `x - 0x01..01 & ~x & 0x80..80` marks the first zero byte of x (Mycroft).
    """
    x = window.view(np.uint64)
    x = x ^ _QUOTES
    marks = x - _ONES
    np.invert(x, out=x)
    marks &= x
    marks &= _HIGHS
    below = np.subtract(marks, _ONE, out=x)
    np.invert(marks, out=marks)
    below &= marks
    index = np.bitwise_count(below)
    index >>= 3
    low, high = index[0::2], index[1::2]
    return np.where(low < _WIDE // 2, low, high + np.uint8(_WIDE // 2))


def _holds(words: np.ndarray, begin: Ints, text: bytes) -> np.ndarray:
    """Whether `text` stands at each place."""
    if len(text) > _WIDE:
        found = _holds(words, begin, text[:_WIDE])
        at = min(_WIDE, len(text) - _WIDE)
        return found & _holds(words, begin + at, text[at:])
    pair = words[begin].view(np.uint64)
    want = np.frombuffer(text.ljust(_WIDE, b"\0"), np.uint64)
    care = np.frombuffer((b"\xff" * len(text)).ljust(_WIDE, b"\0"), np.uint64)
    found = _same(pair[0::2], want[0], care[0])
    return found & _same(pair[1::2], want[1], care[1]) if care[1] else found


def _same(words: np.ndarray, want: np.uint64, care: np.uint64) -> np.ndarray:
    return (words if care == _ALL else words & care) == want


def _scalar_kinds(data: np.ndarray, starts: Ints, ends: Ints) -> np.ndarray:
    """Kinds of slices that hold no string; ABSENT if it is no scalar and no array of scalars."""
    texts = cut(data, starts, ends)
    kinds = np.zeros(len(texts), np.uint8)
    number = mask(pc.match_substring_regex(texts, _NUMBER))
    if number.all():
        number = finite(texts)
    else:
        number[number] = finite(texts.filter(pa.array(number)))
        for word, kind in _WORDS.items():
            kinds[mask(pc.equal(texts, pa.scalar(word, pa.binary())))] = kind
        kinds[mask(pc.match_substring_regex(texts, _FLAT))] = ARRAY
    kinds[number] = NUMBER
    return kinds


def _value(place: Place, begins: np.ndarray, kinds: dict[int, np.ndarray]) -> Values:
    start = begins[place.first] + place.first_offset
    end = begins[place.last] + place.last_offset
    if place.kind == SCALAR:
        return Values(kinds[place.first], start, end)
    kind = {STRING: TEXT, OPEN_OBJECT: OBJECT, OPEN_ARRAY: ARRAY}[place.kind]
    return Values(np.full(len(start), kind, np.uint8), start, end)
