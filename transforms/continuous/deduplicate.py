"""`AnswerIds`: the dedupe of a stream, as answers to parcels that wait."""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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
from transforms.continuous.seen import NEVER, Seen, Stay, look, pack
from transforms.saved_state import MARK_BYTES, check, prefix

_CACHED: Final = 64
_RANDOM: Final = 8
_MARK: Final = struct.Struct(">qqq")
_STAMP: Final = b"i"


@dataclass(eq=False, kw_only=True)
class AnswerIds(beam.PTransform[PCollection[tuple[int, pa.RecordBatch]], PCollection]):
    """Answer for each parcel which of its rows repeat a row seen before.

    Input: ids by hash partition (`duplicates.ids_of`, placed; the chunk names token and shard), in
    the global window. Output: an encoded `Answer` for each element, by the parcel's shard, with the
    element's timestamp. Of equal ids within the horizon the first to arrive is kept.

    State, for each partition: 36 bytes a kept row, in packed arrays, read only when this process
    does not know them. Rows whose event time lies horizon and lateness behind the watermark, and
    behind the newest row, are dropped, a quarter of that stretch at a time; an answer about a row
    whose like may be among them is `unsure`.

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


class _Mark(NamedTuple):
    """How far the state of a partition is, in microseconds of event time.

    Attributes:
        end_us: When its oldest rows may be dropped.
        newest_us: Of its newest row.
        forgot_us: What was the time when some were dropped last.
    """

    end_us: int = MAX_TIMESTAMP.micros
    newest_us: int = NEVER
    forgot_us: int = NEVER


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
        seen, mark = self._seen(partition, ids, stamp)
        found = look(batch, seen, self.stay.horizon_us)
        unsure = self.stay.unsure(found.kept, self.stay.since_us(mark.forgot_us))
        if len(found.kept):
            seen.add(found.kept)
            ids.add(pack(found.kept))
            times = found.kept["time"]
            end_us = min(mark.end_us, self.stay.end_us(int(times.min())))
            newest_us = max(mark.newest_us, int(times.max()))
            mark = mark._replace(end_us=end_us, newest_us=newest_us)
            self._wait(mark, forget)
            self._stamped(partition, seen, mark, stamp)
        name = bytes.fromhex(token.decode())
        answer = Answer(name, found.rows, found.conflict, found.moved, unsure)
        yield int(shard), answer.encode()

    @on_timer(FORGET)
    def forget(
        self,
        partition: Any = beam.DoFn.KeyParam,
        now: Timestamp = beam.DoFn.TimestampParam,
        ids: Any = beam.DoFn.StateParam(IDS),
        stamp: Any = beam.DoFn.StateParam(STAMP),
        forget: Any = beam.DoFn.TimerParam(FORGET),
    ) -> None:
        seen, mark = self._seen(partition, ids, stamp)
        at_us = max(mark.forgot_us, min(now.micros, mark.newest_us))
        stay = seen.since(self.stay.since_us(at_us))
        if not len(stay):
            return
        if len(stay) < len(seen):
            ids.clear()
            ids.add(pack(stay))
            seen = Seen()
            seen.add(stay)
        end_us = self.stay.end_us(int(stay["time"].min()))
        mark = _Mark(end_us, mark.newest_us, at_us)
        self._wait(mark, forget)
        self._stamped(partition, seen, mark, stamp)

    def _wait(self, mark: _Mark, forget: Any) -> None:
        """Wait for the time when something may be dropped, if rows have come that are as new.

        That may be long past: when event time leaps, as in a replay, or the clock of an idle source
        is ahead of all rows. Then it is waited for where event time goes, not for each slice on the
        way, which would take longer than the rest; and rows that come late stay until then, too.
        """
        if mark.end_us <= mark.newest_us:
            at_us = min(mark.newest_us, GlobalWindow().max_timestamp().micros)
            forget.set(Timestamp(micros=at_us))

    def _seen(self, partition: int, ids: Any, stamp: Any) -> tuple[Seen, _Mark]:
        """Return what the state holds, and how far it is."""
        written = stamp.read()
        if written is None:
            return Seen(), _Mark()
        check(written, _STAMP)  # says it of the ids, too, whose 36 bytes a row have no room
        mark = _Mark(*_MARK.unpack(written[MARK_BYTES + _RANDOM :]))
        known = self._known.by_partition.get(partition)
        if known is not None and known[0] == written:
            self._known.by_partition.move_to_end(partition)
            return known[1], mark
        return Seen.of(ids.read()), mark

    def _stamped(self, partition: int, seen: Seen, mark: _Mark, stamp: Any) -> None:
        # A stamp is random: a bundle that is tried again must not meet what its first try knew.
        new = prefix(_STAMP) + os.urandom(_RANDOM) + _MARK.pack(*mark)
        stamp.write(new)
        self._known.by_partition[partition] = (new, seen)
        while len(self._known.by_partition) > _CACHED:
            self._known.by_partition.popitem(last=False)
