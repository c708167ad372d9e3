"""`Gather`: parcels and answers, by shard, to shipments at each tick of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from transforms.continuous.in_process import InProcess, kept_size
from transforms.continuous.land import Landing, Shipment
from transforms.continuous.parcels import Parcel, is_answer, whole_parcels
from transforms.continuous.ticks import moment, next_tick

BUFFER_BYTES: Final = 64 << 20


@dataclass(eq=False, kw_only=True)
class Gather(beam.PTransform[PCollection[tuple[int, bytes]], PCollection[Shipment]]):
    """Hold parcels until they are answered and a tick comes, then write their rows to files.

    Input: encoded parcels and answers by shard, in the global window. Output: one `Shipment` a
    shard and tick, or earlier when `buffer_bytes` are held; parcels that still lack an answer wait
    for the next one. State: the bytes held, at most about `buffer_bytes` a shard. At the end of a
    bounded input everything leaves.

    Attributes:
        landing: Writes files.
        every_us: Microseconds from tick to tick; 0: no ticks, for bounded input on a runner that
            does not wait for timers of the clock (FnApiRunner).
        buffer_bytes: How much a shard holds back.
        here: Where the parcels are, if not in their bytes.
    """

    landing: Landing
    every_us: int
    buffer_bytes: int = BUFFER_BYTES
    here: InProcess | None = None

    @override
    @no_annotations
    def expand(self, held: PCollection[tuple[int, bytes]]) -> PCollection[Shipment]:
        return held | "Gather" >> beam.ParDo(_Gather(self)).with_output_types(Shipment)


class _Gather(beam.DoFn):
    PARCELS = BagStateSpec("parcels", BytesCoder())
    ANSWERS = BagStateSpec("answers", BytesCoder())
    HELD = ReadModifyWriteStateSpec("held", BytesCoder())
    # FnApiRunner takes timers of one name in two transforms for the same.
    TICK = TimerSpec("gather-tick", TimeDomain.REAL_TIME)
    END = TimerSpec("gather-end", TimeDomain.WATERMARK)

    def __init__(self, options: Gather) -> None:
        self.landing, self.every_us = options.landing, options.every_us
        self.buffer_bytes = options.buffer_bytes
        self.take = Parcel.decode if options.here is None else options.here.take

    @override
    def process(
        self,
        element: tuple[int, bytes],
        parcels: Any = beam.DoFn.StateParam(PARCELS),
        answers: Any = beam.DoFn.StateParam(ANSWERS),
        held: Any = beam.DoFn.StateParam(HELD),
        tick: Any = beam.DoFn.TimerParam(TICK),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Shipment]:
        encoded = element[1]
        (answers if is_answer(encoded) else parcels).add(encoded)
        before = held.read()
        if before is None:
            self._next(tick)
            end.set(GlobalWindow().max_timestamp())
        size = int.from_bytes(before or b"", "big") + kept_size(encoded)
        held.write(size.to_bytes(8, "big"))
        if size > self.buffer_bytes:
            yield from self._leave(parcels, answers, held, tick)

    @on_timer(TICK)
    def ticked(
        self,
        parcels: Any = beam.DoFn.StateParam(PARCELS),
        answers: Any = beam.DoFn.StateParam(ANSWERS),
        held: Any = beam.DoFn.StateParam(HELD),
        tick: Any = beam.DoFn.TimerParam(TICK),
    ) -> Iterator[Shipment]:
        yield from self._leave(parcels, answers, held, tick)

    @on_timer(END)
    def ended(
        self,
        parcels: Any = beam.DoFn.StateParam(PARCELS),
        answers: Any = beam.DoFn.StateParam(ANSWERS),
        held: Any = beam.DoFn.StateParam(HELD),
        tick: Any = beam.DoFn.TimerParam(TICK),
    ) -> Iterator[Shipment]:
        yield from self._leave(parcels, answers, held, tick)
        # Flink's last loop waits for the watermark, which a timer of the clock holds, and does not
        # fire such timers any more: it would spin for ever.
        tick.clear()

    def _leave(self, parcels: Any, answers: Any, held: Any, tick: Any) -> Iterator[Shipment]:
        ready, waiting, early = whole_parcels(parcels.read(), answers.read(), self.take)
        parcels.clear()
        answers.clear()
        for bag, rest in ((parcels, waiting), (answers, early)):
            for encoded in rest:
                bag.add(encoded)
        if waiting or early:
            held.write(bytes(8))  # what waits is not looked at for every element that comes
            self._next(tick)
        else:
            held.clear()
        if ready:
            yield self.landing(ready)

    def _next(self, tick: Any) -> None:
        if self.every_us:
            tick.set(moment(next_tick(self.every_us)))
