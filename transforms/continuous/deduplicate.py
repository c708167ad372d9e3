"""`AnswerIds`: the dedupe of a stream, as answers to parcels that wait."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
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
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp
from typing_extensions import override

from transforms.continuous.parcels import Answer
from transforms.continuous.seen import Seen, Stay, look, pack

_CACHED: Final = 64
_RANDOM: Final = 8


@dataclass(eq=False, kw_only=True)
class AnswerIds(beam.PTransform[PCollection[tuple[int, pa.RecordBatch]], PCollection]):
    """Answer for each parcel which of its rows repeat a row seen before.

    Input: ids by hash partition (`duplicates.ids_of`, placed; the chunk names token and shard), in
    the global window. Output: an encoded `Answer` for each element, by the parcel's shard, with the
    element's timestamp. Of equal ids within the horizon the first to arrive is kept.

    State, for each partition: 36 bytes a kept row, in packed arrays, read only when this process
    does not know them. Rows whose event time lies horizon and lateness behind the watermark are
    dropped, a quarter of that stretch at a time.

    Attributes:
        horizon_us: Microseconds of event time within which a second row is a duplicate.
        lateness_us: How long behind the watermark rows are still remembered beyond the horizon.
    """

    horizon_us: int
    lateness_us: int = 0

    @override
    @no_annotations
    def expand(self, ids: PCollection[tuple[int, pa.RecordBatch]]) -> PCollection:
        stay = Stay(horizon_us=self.horizon_us, lateness_us=self.lateness_us)
        return ids | "Answer" >> beam.ParDo(_AnswerIds(stay)).with_output_types(tuple[int, bytes])


class _Known:
    """What this process knows of the state of each partition, by the state's stamp."""

    def __init__(self) -> None:
        self.by_partition: OrderedDict[int, tuple[bytes, Seen]] = OrderedDict()


class _AnswerIds(beam.DoFn):
    IDS = BagStateSpec("ids", BytesCoder())
    STAMP = ReadModifyWriteStateSpec("stamp", BytesCoder())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def __init__(self, stay: Stay) -> None:
        self.stay = stay
        self._shared = Shared()

    @override
    def setup(self) -> None:
        # Threads of one worker share a partition's ids; the runner gives a key to one at a time.
        self._known = self._shared.acquire(_Known)

    @override
    def process(
        self,
        element: tuple[int, pa.RecordBatch],
        ids: Any = beam.DoFn.StateParam(IDS),
        stamp: Any = beam.DoFn.StateParam(STAMP),
        forget: Any = beam.DoFn.TimerParam(FORGET),
    ) -> Iterator[tuple[int, bytes]]:
        partition, batch = element
        token, shard = batch.schema.metadata[b"chunk"].split(b" ")
        seen, next_us = self._seen(partition, ids, stamp)
        found = look(batch, seen, self.stay.horizon_us)
        if len(found.kept):
            seen.add(found.kept)
            ids.add(pack(found.kept))
            end_us = self._end(int(found.kept["time"].min()))
            if end_us < next_us:
                forget.set(Timestamp(micros=end_us))
            self._stamped(partition, seen, min(end_us, next_us), stamp)
        yield int(shard), Answer(bytes.fromhex(token.decode()), found.rows, found.conflict).encode()

    @on_timer(FORGET)
    def forget(
        self,
        partition: Any = beam.DoFn.KeyParam,
        now: Timestamp = beam.DoFn.TimestampParam,
        ids: Any = beam.DoFn.StateParam(IDS),
        stamp: Any = beam.DoFn.StateParam(STAMP),
        forget: Any = beam.DoFn.TimerParam(FORGET),
    ) -> None:
        seen, _ = self._seen(partition, ids, stamp)
        stay = seen.since(self.stay.since_us(now.micros))
        ids.clear()
        if not len(stay):
            stamp.clear()
            self._known.by_partition.pop(partition, None)
            return
        ids.add(pack(stay))
        left = Seen()
        left.add(stay)
        # Rows far ahead of the timer say that event time leaps, as in a replay: then it is waited
        # for where it goes, not for each slice on the way, which would take longer than the rest.
        newest_us = min(int(stay["time"].max()), GlobalWindow().max_timestamp().micros)
        end_us = max(self._end(int(stay["time"].min())), newest_us)
        self._stamped(partition, left, end_us, stamp)
        forget.set(Timestamp(micros=end_us))

    def _seen(self, partition: int, ids: Any, stamp: Any) -> tuple[Seen, int]:
        """Return what the state holds, and when a part of it is to be dropped (us)."""
        written = stamp.read()
        if written is None:
            return Seen(), MAX_TIMESTAMP.micros
        next_us = int.from_bytes(written[_RANDOM:], "big", signed=True)
        known = self._known.by_partition.get(partition)
        if known is not None and known[0] == written:
            self._known.by_partition.move_to_end(partition)
            return known[1], next_us
        return Seen.of(ids.read()), next_us

    def _stamped(self, partition: int, seen: Seen, next_us: int, stamp: Any) -> None:
        # A stamp is random: a bundle that is tried again must not meet what its first try knew.
        new = os.urandom(_RANDOM) + next_us.to_bytes(8, "big", signed=True)
        stamp.write(new)
        self._known.by_partition[partition] = (new, seen)
        while len(self._known.by_partition) > _CACHED:
            self._known.by_partition.popitem(last=False)

    def _end(self, time_us: int) -> int:
        """Return when the slice of this event time is dropped."""
        return min(self.stay.end_us(time_us), GlobalWindow().max_timestamp().micros)
