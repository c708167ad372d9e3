"""How far reading may be ahead of what has landed, and what may be acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from transforms.commit.ranges import Ranges
from transforms.sources.streams.clock import Clock
from transforms.sources.streams.raw import Span

ASK_EVERY_US = 1_000_000


class DonePositions(Protocol):
    """Says which positions have landed for good, every destiny included; pickles.

    The result is by source, half-open ranges, merged (`transforms.commit.ranges`). It is asked at
    most once a second, from the thread that reads: an answer should take milliseconds.
    """

    def __call__(self) -> Ranges:
        """Return the done positions."""
        ...


class InFlight:
    """Spans that were handed on and have not landed yet."""

    def __init__(self) -> None:
        """Begin with nothing in flight."""
        self._waiting: dict[str, deque[Span]] = {}
        self._ends: dict[str, int] = {}
        self.rows = 0

    def sent(self, spans: Iterable[Span]) -> None:
        """Note spans that were handed on; those of a source in the order of their positions."""
        for span in spans:
            self._waiting.setdefault(span.source, deque()).append(span)
            self._ends[span.source] = span.end
            self.rows += span.rows

    def landed(self, done: Ranges) -> None:
        """Forget the spans that lie wholly within `done`; spans without rows need no landing."""
        for source, waiting in self._waiting.items():
            ranges = done.get(source, [])
            left = deque(span for span in waiting if not _within(span, ranges))
            self.rows -= sum(span.rows for span in waiting) - sum(span.rows for span in left)
            self._waiting[source] = left

    def landed_up_to(self) -> dict[str, int]:
        """Return for each source the position before which nothing is in flight."""
        return {
            source: waiting[0].start if waiting else self._ends[source]
            for source, waiting in self._waiting.items()
        }


def _within(span: Span, ranges: list[tuple[int, int]]) -> bool:
    return span.rows == 0 or any(start <= span.start and span.end <= end for start, end in ranges)


class Permit:
    """Allows reading while at most so many rows are in flight; asks at most once a second."""

    def __init__(self, done: DonePositions | None, most_rows: int, clock: Clock) -> None:
        """Allow everything if there is nobody to ask.

        Args:
            done: Who is asked.
            most_rows: Rows that may be in flight when the next poll begins.
            clock: Tells when a second has passed.
        """
        self.in_flight = InFlight()
        self._done, self._most, self._clock = done, most_rows, clock
        self._asked: int | None = None

    def sent(self, spans: Iterable[Span]) -> None:
        """Note what was handed on."""
        if self._done is not None:
            self.in_flight.sent(spans)

    def ask(self) -> dict[str, int] | None:
        """Ask what has landed, if a second has passed; return positions to acknowledge, or None."""
        now = self._clock.steady()
        if self._done is None or (self._asked is not None and now < self._asked + ASK_EVERY_US):
            return None
        self._asked = now
        self.in_flight.landed(self._done())
        return self.in_flight.landed_up_to()

    def allows(self) -> bool:
        """Return whether more may be read."""
        return self._done is None or self.in_flight.rows < self._most
