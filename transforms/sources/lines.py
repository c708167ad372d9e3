"""Cut decompressed bytes into blocks of whole records, at any block size the same records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from transforms.sources.compression import Stream

Bytes = NDArray[np.uint8]

_NEWLINE = 10
_WINDOW = 1 << 14


class Grammar(Protocol):
    """Where records end in bytes that begin with a record."""

    def last_end(self, data: Bytes) -> int:
        """Return the index after the last record that ends in `data`, 0 if none does."""
        ...

    def ends(self, data: Bytes) -> NDArray[np.int64]:
        """Return the index after each record that ends in `data`."""
        ...

    def broken(self, data: Bytes) -> int:
        """Return how many bytes of `data`, the last in its source, one broken record takes.

        0 if `data` is one record that only lacks its newline.
        """
        ...

    def skipper(self) -> Skipper:
        """Return what finds the end of a record that is too long to be held."""
        ...


class Skipper(Protocol):
    """Finds the end of one record whose bytes come in pieces."""

    @property
    def open(self) -> bool:
        """Whether a quote is open, so that a newline would not end the record."""
        ...

    def end(self, data: Bytes) -> int:
        """Return the index after the record's end in the next piece, 0 if it goes on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """Whole records that lie side by side: `data` starts at position `start`."""

    start: int
    data: Bytes


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """A record longer than the limit: where it is and what it hashes to, instead of its bytes.

    Attributes:
        start: Position.
        length: Bytes, with its line end.
        sha256: Of these bytes, hex.
        limit: What it exceeds.
        open: Whether the source ended within its quotes.
    """

    start: int
    length: int
    sha256: str
    limit: int
    open: bool


class Lines:
    """A record is what stands before a newline."""

    open = False

    def last_end(self, data: Bytes) -> int:
        """Return the index after the last newline, 0 if there is none."""
        stop, window = len(data), _WINDOW
        while stop:
            start = max(stop - window, 0)
            found = np.flatnonzero(data[start:stop] == _NEWLINE)
            if len(found):
                return start + int(found[-1]) + 1
            stop, window = start, window * 4
        return 0

    def ends(self, data: Bytes) -> NDArray[np.int64]:
        """Return the index after each newline."""
        return np.flatnonzero(data == _NEWLINE) + 1

    def broken(self, data: Bytes) -> int:  # noqa: ARG002  # any bytes are a line
        """Return 0: every line ends at the end of its source."""
        return 0

    def skipper(self) -> Skipper:
        """Return one that looks for a newline."""
        return self

    def end(self, data: Bytes) -> int:
        """Return the index after the first newline, 0 if there is none."""
        return first_line(data)


def first_line(data: Bytes, start: int = 0) -> int:
    """Return the index after the first newline at or after `start`, 0 if there is none."""
    window = _WINDOW
    while start < len(data):
        found = np.flatnonzero(data[start : start + window] == _NEWLINE)
        if len(found):
            return start + int(found[0]) + 1
        start, window = start + window, window * 4
    return 0


@dataclass
class Framer:
    """Yields runs of whole records from a stream.

    After `runs` is exhausted `position` is where the next record would start, `at_end` whether
    the stream ended, and `terminated` whether its last record had its newline.

    Args:
        stream: Decompressed bytes.
        grammar: Where records end.
        position: Position of the stream's first byte.
        stop: Records that start at or after it are left out; None for the whole stream. Only for
            grammars in which each newline ends a record.
        block_bytes: About how long a run is.
        max_record: Longer records (without line end) come as TooLong. Memory is bounded by
            about twice this and `block_bytes`.
    """

    stream: Stream
    grammar: Grammar
    position: int
    stop: int | None
    block_bytes: int
    max_record: int
    at_end: bool = False
    terminated: bool = True

    def __post_init__(self) -> None:
        """Start with nothing in hand."""
        self._hand: Bytes = np.empty(0, np.uint8)
        self._broke = False

    def peek(self, size: int) -> bytes:
        """Return up to `size` bytes that come next, without taking them."""
        while len(self._hand) < size and not self.at_end:
            self._more(size - len(self._hand))
        return self._hand[:size].tobytes()

    def skip(self, size: int) -> None:
        """Drop `size` bytes that were peeked at."""
        self._hand = self._hand[size:]
        self.position += size

    def skip_line(self, before: int) -> None:
        """Drop everything up to the next newline, or up to position `before` if none comes."""
        while self.position < before:
            end = first_line(self._hand)
            if end:
                self.skip(end)
                return
            self.skip(len(self._hand))
            if self.at_end:
                return
            self._more(self.block_bytes)

    def record(self) -> Bytes | None:
        """Take the next record alone; None at the end or if it is too long."""
        while not (end := self._first(self._hand)) and not self.at_end:
            if len(self._hand) > self.max_record:
                return None
            self._more(max(_WINDOW, len(self._hand)))
        end = end or len(self._hand)
        if not end:
            return None
        data = self._hand[:end]
        self.skip(end)
        return data

    def _first(self, data: Bytes) -> int:
        ends = self.grammar.ends(data)
        return int(ends[0]) if len(ends) else 0

    def runs(self) -> Iterator[Run | TooLong]:
        """Yield all records from here on, in order, each in one run or as one TooLong."""
        more = len(self._hand) < self.block_bytes  # looking for the first record may have read one
        while self.stop is None or self.position < self.stop:
            if not self.at_end and more:
                self._more(self._wanted())
            more = True
            data = self._hand
            last = self._beyond(data)
            cut = last or self.grammar.last_end(data)
            if not cut and self.at_end:
                broken = self.grammar.broken(data)
                if broken and len(data) > self.max_record:
                    yield from self._skip_long()
                    return
                self._broke = self._broke or bool(broken)
                cut = broken or len(data)
            if cut:
                self.terminated = int(data[cut - 1]) == _NEWLINE and not self._broke
                yield from self._split(data[:cut])
                self.skip(cut)
            elif self.at_end:
                return
            elif len(data) > self.max_record:
                yield from self._skip_long()
            if last:
                return

    def _wanted(self) -> int:
        """Return how much to read: a block, or all up to `stop` where that is not much more."""
        if self.stop is not None:
            rest = self.stop - self.position - len(self._hand)
            if 0 < rest < 1.5 * self.block_bytes:
                return rest + _WINDOW
        return max(self.block_bytes, len(self._hand))

    def _beyond(self, data: Bytes) -> int:
        """Return the end of the last record that starts before `stop`, 0 if not known yet."""
        if self.stop is None or self.position + len(data) < self.stop:
            return 0
        return first_line(data, self.stop - self.position - 1)

    def _split(self, data: Bytes) -> Iterator[Run | TooLong]:
        """Yield whole records as one run, unless some are too long."""
        if len(data) <= self.max_record:
            yield Run(start=self.position, data=data)
            return
        ends = self.grammar.ends(data)
        if not len(ends) or ends[-1] != len(data):
            ends = np.append(ends, len(data))
        starts = np.concatenate(([0], ends[:-1]))
        begin = 0
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if _content(data[start:end]) <= self.max_record:
                continue
            if start > begin:
                yield Run(start=self.position + begin, data=data[begin:start])
            yield self._too_long(start, data[start:end])
            begin = end
        if begin < len(data):
            yield Run(start=self.position + begin, data=data[begin:])

    def _too_long(self, start: int, data: Bytes) -> TooLong:
        return TooLong(
            start=self.position + start,
            length=len(data),
            sha256=hashlib.sha256(data.data).hexdigest(),
            limit=self.max_record,
            open=False,
        )

    def _skip_long(self) -> Iterator[TooLong]:
        """Pass over a record whose end is not in hand, holding none of it."""
        digest, skipper = hashlib.sha256(), self.grammar.skipper()
        start = self.position
        while True:
            end = skipper.end(self._hand)
            digest.update(self._hand[: end or None].data)
            closed = bool(end)
            self.skip(end or len(self._hand))
            if closed or self.at_end:
                break
            self._more(self.block_bytes)
        self.terminated = closed
        yield TooLong(
            start=start,
            length=self.position - start,
            sha256=digest.hexdigest(),
            limit=self.max_record,
            open=not closed and skipper.open,
        )

    def _more(self, size: int) -> None:
        """Read up to `size` more bytes into a new buffer behind those in hand."""
        held = len(self._hand)
        buffer = np.empty(held + size, np.uint8)
        buffer[:held] = self._hand
        view = buffer.data
        while held < len(buffer):
            n = self.stream.readinto(view[held:])
            if not n:
                self.at_end = True
                break
            held += n
        self._hand = buffer[:held]


def _content(record: Bytes) -> int:
    """Return the length of a record without its line end."""
    return len(record) - (len(record) > 0 and record[-1] == _NEWLINE)
