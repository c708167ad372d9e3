"""A reader that stays open between the calls of a DoFn, and what it knows beside its positions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from transforms.sources.streams.clock import Clock, Quiet
from transforms.sources.streams.event_times import EventTimes, Seen
from transforms.sources.streams.interface import StreamReader
from transforms.sources.streams.permit import Permit
from transforms.sources.streams.raw import spans_of, with_watermark
from transforms.sources.streams.vector import Vector
from transforms.sources.streams.watermark import Pace, Progress, watermark


class Step(NamedTuple):
    """What one poll gave.

    Attributes:
        batch: Raw; None if nothing came.
        seen: Its event times.
        vector: Where reading stands after it.
    """

    batch: pa.RecordBatch | None
    seen: Seen
    vector: Vector


class Live:
    """An open reader of one restriction; one thread at a time."""

    def __init__(
        self,
        reader: StreamReader,
        vector: Vector,
        times: EventTimes,
        pace: Pace,
        permit: Permit,
        clock: Clock,
    ) -> None:
        """Go on with a reader that was opened at `vector`."""
        self.reader, self.vector = reader, vector
        self._times, self._pace, self._permit, self._clock = times, pace, permit, clock
        self._quiet = Quiet(clock.steady())
        self._left: Step | None = None

    def next(self, max_ms: int, max_bytes: int) -> Step | None:
        """Poll once, or return what was given back; None while the permit is used up."""
        if (acknowledged := self._permit.ask()) is not None:
            self.reader.ack(acknowledged)
        if self._left is not None:
            step, self._left = self._left, None
            return step
        if not self._permit.allows():
            return None
        batch = self.reader.poll(max_ms, max_bytes)
        seen = Seen(None, {})
        if batch is not None:
            seen = self._times(batch, self._clock.wall())
            spans = spans_of(batch)
            self._quiet.heard((s.source for s in spans if s.rows), self._clock.steady())
        vector = self.vector.moved(self.reader.positions(), seen.high)
        return Step(batch, seen, vector.labelled(self.reader.labels()))

    def give_back(self, step: Step) -> None:
        """Keep what could not be claimed: whoever goes on at this vector begins with it."""
        self._left = step

    def taken(self, step: Step, before: int | None) -> pa.RecordBatch | None:
        """Note that a step was claimed; return its batch with `_watermark`, None if it has none."""
        self.vector = step.vector
        if step.batch is None:
            return None
        self._permit.sent(spans_of(step.batch))
        return with_watermark(step.batch, before)

    def watermark(self, before: int | None) -> int | None:
        """Return the watermark at the vector that was claimed."""
        steady = self._clock.steady()
        quiet = {s: self._quiet.lasts(s, steady) for s in self.vector.places}
        idle = self._pace.idle_us
        # Whether a partition is at its end costs a question: only where it matters.
        asked = idle is not None and any(lasts >= idle for lasts in quiet.values())
        ended = self.reader.caught_up() if asked else frozenset()
        partitions = [
            Progress(place.high_us, quiet[source] if source in ended else None)
            for source, place in self.vector.places.items()
            if not place.finished
        ]
        return watermark(before, partitions, self._clock.wall(), self._pace)


class Pool:
    """Readers of one process that wait for their restriction's next call.

    A runner may hand a restriction from one instance of the DoFn to another; a reader that is found
    anywhere else than where the restriction stands is of no use and is closed.
    """

    def __init__(self) -> None:
        """Begin without readers."""
        self._waiting: dict[int, Live] = {}
        self._lock = threading.Lock()
        self._users = 0

    def use(self) -> None:
        """Count a DoFn that may take readers."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Count one less; the last one closes what waits."""
        with self._lock:
            self._users -= 1
            left = [] if self._users else list(self._waiting.values())
            if left:
                self._waiting.clear()
        for live in left:
            live.reader.close()

    def take(self, share: int, vector: Vector, make: Callable[[], Live]) -> Live:
        """Return a reader that stands at `vector`, a new one if none does."""
        with self._lock:
            found = self._waiting.pop(share, None)
        if found is not None:
            if found.vector == vector:
                return found
            found.reader.close()
        return make()

    def drop(self, share: int) -> None:
        """Close the reader that waits, if one does."""
        with self._lock:
            found = self._waiting.pop(share, None)
        if found is not None:
            found.reader.close()

    def put(self, share: int, live: Live) -> None:
        """Let a reader wait."""
        with self._lock:
            other = self._waiting.pop(share, None)
            self._waiting[share] = live
        if other is not None:
            other.reader.close()
