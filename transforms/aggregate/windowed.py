"""`AggregateWindows`: rows to the finished rows of an aggregate, through Beam's own windowing.

A Beam window costs about 0.3 ms of CPU on the local runner, and a year has 8,760 hours. So in batch
one Beam window spans many windows of the aggregate (`_BATCH_SPAN`); the rows inside say which slice
of time they are of. In streams, where panes must fire as time goes on, it spans exactly one. The
window function is the same, and so is the result (docs/decisions/0003-aggregates.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindow,
    GlobalWindows,
    SlidingWindows,
    TimestampedValue,
    WindowFn,
)
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Duration, Timestamp
from apache_beam.utils.windowed_value import PaneInfo, WindowedValue
from typing_extensions import override

from schemas.plan import Aggregate
from transforms.aggregate.partials import SLICE, finish, merge, partial
from transforms.aggregate.partition import partitions
from transforms.aggregate.sessions import START
from transforms.aggregate.triggers import streaming_options
from transforms.aggregate.windows import AggregateError, Micros, Windows, micros
from transforms.batches import BatchCoder, one_batch
from transforms.parallel import ThreadedDoFn

Keyed = tuple[int, pa.RecordBatch]

_BATCH_SPAN: Final = 100 * 86_400_000_000
_FLUSH_BYTES: Final = 64 << 20
_ELEMENT_BYTES: Final = 4 << 20


@dataclass(eq=False)
class AggregateWindows(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Aggregate rows by window and group.

    Input: batches of rows with `partials.input_columns(aggregate)`, in the global window; their
    order, cut and timestamps do not matter. Output: batches with `aggregate.schema`,
    few and large, in the global window, in no order. In batch there is one row per
    window and group, `_final`. In streams each firing gives the rows of a pane, which accumulate:
    of equal window and group the row with the greater `_rows` counts. Sessions are for batches: in
    streams they are merged where they are committed (`transforms.continuous.sessions`), as panes of
    sessions that grow together could not take back those that they replace.

    Rows without event time fail the run, as do rows on which a measure's expression fails. Rows
    that are late for a window (`windows.late`) do not count in it and are not reported here.

    Each worker holds the partial aggregates of a bundle, at most about 64 MB.

        rows | AggregateWindows(aggregate, hash_partitions=4)

    Attributes:
        aggregate: What to compute.
        hash_partitions: By hash of the group: how many keys a window has, so the most workers that
            share one. One or two are enough while groups are few.
        streaming: Whether panes fire by the window's trigger, within its allowed lateness.
        epoch: `_epoch` of all rows.
        threads: Threads of the DoFn that reads rows (1 on clusters).
    """

    aggregate: Aggregate
    hash_partitions: int = 1
    streaming: bool = False
    epoch: int = 0
    threads: int = 1

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        if rows.windowing.windowfn != GlobalWindows():
            msg = (
                f"input of AggregateWindows must be in the global window; got "
                f"{rows.windowing.windowfn}; take windows out before: they come from event times"
            )
            raise AggregateError(msg)
        span = Span.of(self.aggregate, streaming=self.streaming)
        count = self.hash_partitions if self.aggregate.group_by else 1
        options = streaming_options(self.aggregate.window) if self.streaming else {}
        return (
            rows
            | "Partials"
            >> beam.ParDo(_Partials(self.aggregate, self.threads)).with_output_types(pa.RecordBatch)
            | "Cut" >> beam.ParDo(_Cut(self.aggregate, span, count)).with_output_types(Keyed)
            | "Windows" >> beam.WindowInto(span.beam(), **options)
            | "Merge" >> beam.CombinePerKey(_Merge(self.aggregate)).with_output_types(Keyed)
            | "Finish" >> beam.ParDo(_Finish(self, span)).with_output_types(pa.RecordBatch)
            | "Global" >> beam.WindowInto(GlobalWindows())
            | "Gather" >> beam.ParDo(_Gather()).with_output_types(pa.RecordBatch)
        )


@dataclass(frozen=True)
class Span:
    """The Beam windows that carry an aggregate's windows.

    Beam window i holds the aggregate's windows that start in [i width, (i + 1) width), so that it
    reaches `reach` beyond its width to hold all rows of the last of them.

    Attributes:
        windows: The aggregate's; one that holds everything for sessions.
        width: Microseconds, a multiple of the period; 0 for the global window and sessions.
    """

    windows: Windows
    width: int

    @classmethod
    def of(cls, aggregate: Aggregate, *, streaming: bool) -> Span:
        """Choose the width: one window in streams, about a hundred days of them in batch.

        Raises:
            AggregateError: For sessions in a stream.
        """
        if aggregate.sessions:
            if streaming:
                msg = (
                    f"windows of {aggregate.name} must be fixed, sliding or global in a stream of "
                    "panes; got sessions; run the pipeline with --stream, which commits them"
                )
                raise AggregateError(msg)
            return cls(Windows(0, 0, 0, 0), 0)
        windows = Windows.of(aggregate)
        if windows.everything:
            return cls(windows, 0)
        many = 1 if streaming else max(1, _BATCH_SPAN // windows.period)
        return cls(windows, windows.period * many)

    @property
    def _carriers(self) -> Windows:
        own = self.windows
        return Windows(self.width + own.size - own.period, self.width, own.offset, own.lateness)

    def beam(self) -> WindowFn:
        """Return Beam's window function."""
        if not self.width:
            return GlobalWindows()
        carriers = self._carriers
        size, period = Duration(micros=carriers.size), Duration(micros=carriers.period)
        offset = Timestamp(micros=carriers.offset)
        if size == period:
            return FixedWindows(size, offset)
        return SlidingWindows(size, period, offset)

    def sets(self, slices: Micros) -> tuple[Micros, Micros]:
        """Return first and last Beam window of each slice: slices of equal ones travel together."""
        if not self.width:
            return np.zeros_like(slices), np.zeros_like(slices)
        return self._carriers.first(slices), self._carriers.last(slices)

    def starts(self, window: Any) -> tuple[int, int] | None:
        """Return the half open range of the window starts that a Beam window holds; None: all."""
        if not self.width:
            return None
        start = window.start.micros
        return start, start + self.width


class _Partials(ThreadedDoFn):
    """Partial aggregates of a bundle, merged."""

    def __init__(self, aggregate: Aggregate, threads: int) -> None:
        super().__init__(threads)
        self.aggregate = aggregate

    @override
    def start_bundle(self) -> None:
        super().start_bundle()
        self._lock = Lock()
        self._held: list[pa.RecordBatch] = []
        self._room = _FLUSH_BYTES

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield from self.submit(self.kernel, batch)

    def kernel(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        made = partial(batch, self.aggregate)
        if made is None:
            return ()
        with self._lock:
            self._held.append(made)
            self._room -= made.nbytes
            if self._room > 0:
                return ()
            merged = self._merged()
            if merged.nbytes > _FLUSH_BYTES // 2:
                self._held, self._room = [], _FLUSH_BYTES
                return (merged,)
            self._held, self._room = [merged], _FLUSH_BYTES - merged.nbytes
            return ()

    @override
    def flush(self) -> Iterable[pa.RecordBatch]:
        return (self._merged(),) if self._held else ()

    def _merged(self) -> pa.RecordBatch:
        return _merge_batches(self._held, self.aggregate)


class _Cut(beam.DoFn):
    """Partial aggregates cut so that all rows of an element share partition and Beam windows."""

    def __init__(self, aggregate: Aggregate, span: Span, count: int) -> None:
        self.aggregate, self.span, self.count = aggregate, span, count

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[TimestampedValue]:
        slices = micros(batch[START if self.aggregate.sessions else SLICE])
        parts = partitions([batch[n] for n in self.aggregate.group_names], self.count, len(slices))
        first, last = self.span.sets(slices)
        order = np.lexsort((slices, first, last, parts))
        batch = batch.take(pa.array(order))
        changes = [np.diff(key[order]) != 0 for key in (parts, first, last)]
        begins = [0, *(np.flatnonzero(np.logical_or.reduce(changes)) + 1).tolist()]
        rows = max(1, _ELEMENT_BYTES * len(order) // max(batch.nbytes, 1))
        for begin, end in zip(begins, [*begins[1:], len(order)], strict=True):
            for at in range(begin, end, rows):
                piece = batch.slice(at, min(rows, end - at))
                moment = Timestamp(micros=int(slices[order[at]]))
                yield TimestampedValue((int(parts[order[at]]), piece), moment)


class _Merge(beam.CombineFn):
    """Merges partial aggregates; the accumulator is a list of them, merged when it grows."""

    def __init__(self, aggregate: Aggregate) -> None:
        self.aggregate = aggregate

    @override
    def default_type_hints(self) -> Any:
        hints = super().default_type_hints() or beam.typehints.decorators.IOTypeHints.empty()
        return hints.with_input_types(pa.RecordBatch).with_output_types(pa.RecordBatch)

    @override
    def get_accumulator_coder(self) -> beam.coders.Coder:
        return beam.coders.ListCoder(BatchCoder())

    @override
    def create_accumulator(self) -> list[pa.RecordBatch]:
        return []

    @override
    def add_input(
        self, accumulator: list[pa.RecordBatch], element: pa.RecordBatch
    ) -> list[pa.RecordBatch]:
        return self._compacted([*accumulator, element])

    @override
    def merge_accumulators(
        self, accumulators: Iterable[list[pa.RecordBatch]]
    ) -> list[pa.RecordBatch]:
        return self._compacted([batch for held in accumulators for batch in held])

    @override
    def compact(self, accumulator: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        return [_merge_batches(accumulator, self.aggregate)] if accumulator else []

    @override
    def extract_output(self, accumulator: list[pa.RecordBatch]) -> pa.RecordBatch:
        return _merge_batches(accumulator, self.aggregate)

    def _compacted(self, held: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        # Doubling keeps the work linear in what is merged.
        added = sum(batch.num_rows for batch in held[1:])
        full = len(held) > 16 and added > held[0].num_rows
        return self.compact(held) if full else held


class _Finish(beam.DoFn):
    """A pane's partial aggregates to finished rows."""

    def __init__(self, options: AggregateWindows, span: Span) -> None:
        self.aggregate, self.span = options.aggregate, span
        self.epoch, self.streaming = options.epoch, options.streaming

    @override
    def process(
        self,
        element: Keyed,
        window: Any = beam.DoFn.WindowParam,
        pane: PaneInfo = beam.DoFn.PaneInfoParam,
    ) -> Iterator[pa.RecordBatch]:
        table = finish(
            pa.Table.from_batches([element[1]]),
            self.aggregate,
            epoch=self.epoch,
            # The local runner calls no pane of a batch the last, which each of them is.
            final=not self.streaming or pane.is_last,
            starts_in=self.span.starts(window),
        )
        if table.num_rows:
            yield one_batch(table)


class _Gather(beam.DoFn):
    """Many small batches of a bundle to few of some MiB."""

    @override
    def start_bundle(self) -> None:
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0
        self._moment = Timestamp.of(0)

    @override
    def process(
        self, batch: pa.RecordBatch, moment: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[pa.RecordBatch]:
        self._moment = min(self._moment, moment) if self._held else moment
        self._held.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _ELEMENT_BYTES:
            yield self._together()

    @override
    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._held:
            moment = self._moment
            yield WindowedValue(self._together(), moment, (GlobalWindow(),))

    def _together(self) -> pa.RecordBatch:
        batch = one_batch(pa.Table.from_batches(self._held))
        self._held, self._bytes = [], 0
        return batch


def _merge_batches(batches: list[pa.RecordBatch], aggregate: Aggregate) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return one_batch(merge(pa.Table.from_batches(batches), aggregate))
