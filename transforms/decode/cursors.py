"""Bytes of many messages read at once: a place in each, and all places move field by field.

What one message says (how long a text is, which branch follows) moves its place alone, so messages
of different shapes are read side by side. The cost is that of a few array operations a field,
whatever the number of messages.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_PAD: Final = 16
_MORE: Final = 0x80
_LAST_SHIFT: Final = 63


class Cut(NamedTuple):
    """Where the bytes of values stand; of length 0 in messages that are bad."""

    start: Ints
    length: Ints


class Cursors:
    """A place in each of many messages.

    Methods take `rows`, the numbers of the messages that have the field; each at most once. What
    cannot be read makes its message bad, whose place is then its end: it reads as zeros on.

    Attributes:
        at: Where the next byte of each message is.
        end: Where each message ends.
        bad: Which messages are not what they were read as.
    """

    def __init__(self, data: NDArray[np.uint8], start: Ints, end: Ints) -> None:
        """Begin at `start` of each message in `data`."""
        # Reading behind the last byte must find something, which no message may use.
        self._data = np.concatenate([data, np.zeros(_PAD, np.uint8)])
        self.at, self.end = start.copy(), end
        self.bad = np.zeros(len(start), np.bool_)

    def over(self, start: Ints, end: Ints) -> Cursors:
        """Return places in other stretches of the same bytes."""
        made = Cursors.__new__(Cursors)
        made._data, made.at, made.end = self._data, start.copy(), end  # noqa: SLF001 - its own
        made.bad = np.zeros(len(start), np.bool_)
        return made

    def gathered(self, cut: Cut, owner: Ints, count: int) -> Cursors:
        """Return places in what `count` owners have of a cut, put together in its order."""
        order = np.argsort(owner, kind="stable")
        own = Cut(cut.start[order], cut.length[order])
        data = np.frombuffer(self.binaries(own).buffers()[2] or b"", np.uint8)
        sizes = np.bincount(owner, weights=cut.length, minlength=count).astype(np.int64)
        ends = np.cumsum(sizes)
        return Cursors(data, ends - sizes, ends)

    def fail(self, rows: Ints) -> None:
        """Make messages bad."""
        self.bad[rows] = True
        self.at[rows] = self.end[rows]

    def left(self, rows: Ints) -> Ints:
        """Return how many bytes messages have left."""
        return self.end[rows] - self.at[rows]

    def varints(self, rows: Ints) -> NDArray[np.uint64]:
        """Read integers of 7 bits a byte, the lowest first; at most 64 bits."""
        at, end = self.at[rows], self.end[rows]
        first = self._data[at]
        good = at < end
        values = (first & 0x7F).astype(np.uint64)
        at += 1
        more = np.flatnonzero((first >= _MORE) & good)
        for shift in range(7, _LAST_SHIFT + 1, 7):
            if not len(more):
                break
            here = np.minimum(at[more], end[more])
            byte = self._data[here]
            fits = here < end[more]
            if shift == _LAST_SHIFT:
                fits &= byte <= 1
            values[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            at[more] += 1
            good[more[~fits]] = False
            more = more[fits & (byte >= _MORE)]
        self.at[rows] = np.minimum(at, end)
        self._settle(rows, good)
        values[~good] = 0
        return values

    def zigzags(self, rows: Ints) -> Ints:
        """Read signed integers whose sign is their lowest bit."""
        return zigzag(self.varints(rows))

    def cut(self, rows: Ints, length: Ints) -> Cut:
        """Pass over so many bytes of each message, and say where they are."""
        at = self.at[rows]
        good = (length >= 0) & (length <= self.end[rows] - at)
        length = np.where(good, length, 0)
        self.at[rows] = at + length
        self._settle(rows, good)
        return Cut(at, length)

    def words(self, rows: Ints, size: int) -> NDArray[np.uint8]:
        """Read `size` bytes (at most 16) of each message, as rows of a matrix."""
        found = self._data[self.at[rows][:, None] + np.arange(size)]
        self.cut(rows, np.full(len(rows), size))
        return found

    def binaries(self, cut: Cut) -> pa.Array:
        """Return the bytes of a cut as `pa.binary()`."""
        offsets = np.zeros(len(cut.length) + 1, np.int32)
        np.cumsum(cut.length, out=offsets[1:])
        shift = np.repeat(cut.start - offsets[:-1], cut.length)
        found = self._data[shift + np.arange(offsets[-1])]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(found)]
        return pa.Array.from_buffers(pa.binary(), len(cut.length), buffers)

    def _settle(self, rows: Ints, good: NDArray[np.bool_]) -> None:
        if not good.all():
            self.fail(rows[~good])


def zigzag(values: NDArray[np.uint64]) -> Ints:
    """Return signed integers whose sign is the lowest bit of `values`."""
    return (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)


def spread(values: pa.Array, there: NDArray[np.bool_]) -> pa.Array:
    """Return values for all rows, null where `there` is false; `values` are those of the others."""
    if len(values) == len(there):
        return values
    at = np.cumsum(there) - 1
    return values.take(pa.array(at, mask=~there))
