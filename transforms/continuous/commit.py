"""`CommitContinuously`: the one committer of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from typing_extensions import override

from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.land import Shipment
from transforms.continuous.rollup import ALWAYS, NEVER
from transforms.continuous.ticks import moment
from transforms.saved_state import dumped, loaded

COMMIT_ROWS: Final = 8 << 20
_SETTLE: Final = 10
_LEAPS: Final = 30
_SHIPMENT, _MEMORY = b"s", b"m"

MakeCommitter = Callable[[], StreamCommitter]
"""Opens the lake and makes the committer of a stream; pickles."""


@dataclass(eq=False, kw_only=True)
class CommitContinuously(beam.PTransform[PCollection[Shipment], PCollection[str]]):
    """Commit shipments: those of one tick together, about `every_us` apart, or when many wait.

    Input: shipments in the global window. Output: the id of each commit. One key, so one committer;
    its state is the shipments that wait. A replay after a crash between commit and checkpoint hands
    them in again: the committer asks which positions are done, and lands nothing twice. A process
    keeps its committer, which then reads only what is new in `_commits`.

    Attributes:
        make: Makes the committer.
        every_us: Microseconds between commits, about; 0: at the end of the input, or by `rows`.
        start: What the stream knows of the lake when it starts without a checkpoint.
        rows: Commit early when so many messages wait.
        delays: Whether a trigger's delay ends without a shipment, too. Of a bounded input the end
            writes everything, and prism would wait for the timer first.
    """

    make: MakeCommitter
    every_us: int
    start: Memory = field(default_factory=Memory)
    rows: int = COMMIT_ROWS
    delays: bool = True

    @override
    @no_annotations
    def expand(self, shipments: PCollection[Shipment]) -> PCollection[str]:
        return (
            shipments
            | "OneCommitter" >> beam.Map(_to_the_committer).with_output_types(tuple[int, bytes])
            | "Commit" >> beam.ParDo(_Commit(self)).with_output_types(str)
        )


def _to_the_committer(one: Shipment) -> TimestampedValue:
    # Prism hands a key its elements and timers of event time in one order: what is stamped later
    # than the next close would wait until the watermark has come there.
    return TimestampedValue((0, dumped(one, _SHIPMENT)), MIN_TIMESTAMP)


class _Commit(beam.DoFn):
    WAITING = BagStateSpec("waiting", BytesCoder())
    COUNT = ReadModifyWriteStateSpec("count", BytesCoder())
    MEMORY = ReadModifyWriteStateSpec("memory", BytesCoder())
    # FnApiRunner takes timers of one name in two transforms for the same.
    TICK = TimerSpec("commit-tick", TimeDomain.REAL_TIME)
    CLOSE = TimerSpec("commit-close", TimeDomain.WATERMARK)
    END = TimerSpec("commit-end", TimeDomain.WATERMARK)

    def __init__(self, options: CommitContinuously) -> None:
        self.make, self.every_us, self.rows = options.make, options.every_us, options.rows
        self.start, self.delays = options.start, options.delays and bool(options.every_us)
        self._shared = Shared()

    @override
    def setup(self) -> None:
        self._committer: StreamCommitter = self._shared.acquire(self.make)
        self._last_us = 0

    @override
    def process(
        self,
        element: tuple[int, bytes],
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
        memory: Any = beam.DoFn.StateParam(MEMORY),
        tick: Any = beam.DoFn.TimerParam(TICK),
        close: Any = beam.DoFn.TimerParam(CLOSE),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[str]:
        waiting.add(element[1])
        before = count.read()
        if before is None:
            if self.every_us:
                # The other shards hand in at the same tick: wait for them a moment.
                settled = time.time_ns() // 1000 + self.every_us // _SETTLE
                tick.set(moment(max(settled, self._last_us + self.every_us)))
            end.set(GlobalWindow().max_timestamp())
        rows = int.from_bytes(before or b"", "big") + loaded(element[1], _SHIPMENT).rows
        count.write(rows.to_bytes(8, "big"))
        if rows > self.rows:
            yield from self._commit(waiting, count, memory, tick, close)

    @on_timer(TICK)
    def ticked(
        self,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
        memory: Any = beam.DoFn.StateParam(MEMORY),
        tick: Any = beam.DoFn.TimerParam(TICK),
        close: Any = beam.DoFn.TimerParam(CLOSE),
    ) -> Iterator[str]:
        yield from self._commit(waiting, count, memory, tick, close)

    @on_timer(CLOSE)
    def closed(
        self,
        now: Timestamp = beam.DoFn.TimestampParam,
        memory: Any = beam.DoFn.StateParam(MEMORY),
        tick: Any = beam.DoFn.TimerParam(TICK),
        close: Any = beam.DoFn.TimerParam(CLOSE),
    ) -> None:
        # The next tick finishes all windows that are complete by then: when event time leaps, as in
        # a replay, a commit for each of them would take longer than all the rest.
        # Nor is each of them waited for then: ever more are skipped until the tick looks again.
        known = self._known(memory)
        if known.closed_us == ALWAYS:
            return  # Flink fires it after `ended` if both are in one bundle: no tick comes any more
        closed_us = max(known.closed_us, now.micros)
        known = replace(known, closed_us=closed_us, closes=min(known.closes + 1, _LEAPS))
        memory.write(dumped(known, _MEMORY))
        self._next_close(close, known)
        if self.every_us:
            tick.set(moment(max(time.time_ns() // 1000, self._last_us + self.every_us)))

    @on_timer(END)
    def ended(
        self,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
        memory: Any = beam.DoFn.StateParam(MEMORY),
        tick: Any = beam.DoFn.TimerParam(TICK),
        close: Any = beam.DoFn.TimerParam(CLOSE),
    ) -> Iterator[str]:
        yield from self._commit(waiting, count, memory, tick, close, ALWAYS)
        tick.clear()  # see Gather: it would keep Flink from ending

    def _commit(
        self,
        waiting: Any,
        count: Any,
        memory: Any,
        tick: Any,
        close: Any,
        closed_us: int = NEVER,
    ) -> Iterator[str]:
        known = self._known(memory)
        known = replace(known, closed_us=max(known.closed_us, closed_us))
        shipments = [loaded(one, _SHIPMENT) for one in waiting.read()]
        waiting.clear()
        count.clear()
        committed, known = self._committer.commit(shipments, known)
        memory.write(dumped(known, _MEMORY))
        self._next_close(close, known)
        fire_us = self._committer.next_fire_us() if self.delays else None
        if fire_us is not None:
            tick.set(moment(max(fire_us, time.time_ns() // 1000 + self.every_us)))
        if committed is not None:
            self._last_us = time.time_ns() // 1000
            yield committed.commit_id

    def _known(self, memory: Any) -> Memory:
        written = memory.read()
        return self.start if written is None else loaded(written, _MEMORY)

    def _next_close(self, close: Any, known: Memory) -> None:
        at_us = self._committer.next_close_us(known.closed_us, 2**known.closes - 1)
        if at_us is not None and at_us <= GlobalWindow().max_timestamp().micros:
            close.set(moment(at_us))
