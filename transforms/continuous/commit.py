"""`CommitContinuously`: the one committer of a stream."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared
from typing_extensions import override

from transforms.commit.committer import Committed, Committer
from transforms.continuous.land import Shipment
from transforms.continuous.ticks import moment

COMMIT_ROWS: Final = 8 << 20
_SETTLE: Final = 10

MakeCommitter = Callable[[], Committer]
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
        every_us: Microseconds between commits, about.
        rows: Commit early when so many messages wait.
    """

    make: MakeCommitter
    every_us: int
    rows: int = COMMIT_ROWS

    @override
    @no_annotations
    def expand(self, shipments: PCollection[Shipment]) -> PCollection[str]:
        return (
            shipments
            | "OneCommitter"
            >> beam.Map(lambda one: (0, pickle.dumps(one))).with_output_types(tuple[int, bytes])
            | "Commit" >> beam.ParDo(_Commit(self)).with_output_types(str)
        )


class _Commit(beam.DoFn):
    WAITING = BagStateSpec("waiting", BytesCoder())
    COUNT = ReadModifyWriteStateSpec("count", BytesCoder())
    TICK = TimerSpec("tick", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, options: CommitContinuously) -> None:
        self.make, self.every_us, self.rows = options.make, options.every_us, options.rows
        self._shared = Shared()

    @override
    def setup(self) -> None:
        self._committer: Committer = self._shared.acquire(self.make)
        self._last_us = 0

    @override
    def process(
        self,
        element: tuple[int, bytes],
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
        tick: Any = beam.DoFn.TimerParam(TICK),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[str]:
        waiting.add(element[1])
        before = count.read()
        if before is None:
            now = time.time_ns() // 1000
            # The other shards hand in at the same tick: wait for them a moment.
            settled = now + self.every_us // _SETTLE
            tick.set(moment(max(settled, self._last_us + self.every_us)))
            end.set(GlobalWindow().max_timestamp())
        rows = int.from_bytes(before or b"", "big") + pickle.loads(element[1]).rows  # noqa: S301
        count.write(rows.to_bytes(8, "big"))
        if rows > self.rows:
            yield from self._commit(waiting, count)

    @on_timer(TICK)
    def ticked(
        self,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
    ) -> Iterator[str]:
        yield from self._commit(waiting, count)

    @on_timer(END)
    def ended(
        self,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
    ) -> Iterator[str]:
        yield from self._commit(waiting, count)

    def _commit(self, waiting: Any, count: Any) -> Iterator[str]:
        shipments = [pickle.loads(one) for one in waiting.read()]  # noqa: S301 - our own state
        waiting.clear()
        count.clear()
        if not shipments:
            return
        committed = commit(self._committer, shipments)
        self._last_us = time.time_ns() // 1000
        if committed is not None:
            yield committed.commit_id


def commit(committer: Committer, shipments: list[Shipment]) -> Committed | None:
    """Land shipments, as far as they are new."""
    panes: dict[str, pa.Table] = {}
    return committer.commit([one.landed for one in shipments], panes)
