"""Windowed aggregation through Beam's own windowing, on record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindow,
    GlobalWindows,
    SlidingWindows,
    TimestampedValue,
)
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Duration, Timestamp
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import override

from schemas.plan import Aggregate, Window
from transforms.aggregate.compute import SLICE, Aggregator
from transforms.aggregate.windows import GLOBAL_START
from transforms.batches import one_batch
from transforms.parallel import ThreadedDoFn

_MOST_LINES = 1_000_000
_GLOBAL = GlobalWindow()


@dataclass(eq=False)
class AggregateWindows(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Aggregate bounded batches by event-time window and group.

    Input: batches with the columns of `aggregate.input` and the event time (whatever Beam's
    timestamps are). Rows are pre-aggregated in each bundle; partials, one element for each slice
    and hash partition, carry the slice's start as timestamp, go through `WindowInto` with the
    default trigger and one GroupByKey, and are merged. Output: rows of the aggregate's table, in
    the global window, a batch for each bundle.

    Attributes:
        aggregate: What to compute.
        partitions: Hash partitions of the groups in one window (1 where one process merges).
        threads: Threads of the first DoFn (1 on clusters).
        epoch: `_epoch` of the rows.
    """

    aggregate: Aggregate
    partitions: int = 1
    threads: int = 1
    epoch: int = 0

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        keyed = tuple[int, pa.RecordBatch]
        return (
            rows
            | "Partial" >> beam.ParDo(_Partial(self)).with_output_types(keyed)
            | "Window" >> beam.WindowInto(window_fn(self.aggregate.window))
            | "ByWindow" >> beam.GroupByKey()
            | "Merge" >> beam.ParDo(_Merge(self)).with_output_types(pa.RecordBatch)
            | "Global" >> beam.WindowInto(GlobalWindows())
            | "Finish" >> beam.ParDo(_Finish(self)).with_output_types(pa.RecordBatch)
        )


def window_fn(window: Window) -> Any:
    """Return Beam's window function for a window of a plan."""
    if window.type == "fixed":
        return FixedWindows(_duration(window.size_us), offset=_duration(window.offset_us))
    if window.type == "sliding":
        return SlidingWindows(
            _duration(window.size_us),
            _duration(window.period_us),
            offset=_duration(window.offset_us),
        )
    return GlobalWindows()


def _duration(us: int) -> Duration:
    return Duration(micros=us)


class _Partial(ThreadedDoFn):
    """Pre-aggregates a bundle; memory is bounded by distinct (slice, group)."""

    def __init__(self, options: AggregateWindows) -> None:
        super().__init__(options.threads)
        self.aggregator = Aggregator(options.aggregate)
        self.partitions = options.partitions

    @override
    def start_bundle(self) -> None:
        super().start_bundle()
        self._partials: list[pl.DataFrame] = []
        self._lines = 0

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if batch.num_rows:
            yield from self.submit(self.kernel, batch)
        if self._lines > _MOST_LINES:
            for value in self._elements():
                yield value

    def kernel(self, batch: pa.RecordBatch) -> tuple[()]:
        partial = self.aggregator.partial(batch)
        self._partials.append(partial)
        self._lines += len(partial)
        return ()

    @override
    def finish_bundle(self) -> Iterator[Any]:
        yield from super().finish_bundle()
        for value in self._elements():
            yield WindowedValue(value.value, value.timestamp, (_GLOBAL,))

    def _elements(self) -> Iterator[TimestampedValue]:
        partials, self._partials, self._lines = self._partials, [], 0
        if not partials:
            return
        merged = self.aggregator.merge(partials)
        groups = [n for n in merged.columns if n.startswith("~g")]
        part = (
            (merged.select(groups).hash_rows(1) % self.partitions).cast(pl.Int64)
            if groups and self.partitions > 1
            else pl.repeat(0, len(merged), dtype=pl.Int64, eager=True)
        )
        merged = merged.with_columns(part.alias("~part")).sort("~part", SLICE)
        part_of, start = merged["~part"].to_numpy(), merged[SLICE].to_numpy()
        merged = merged.drop("~part")
        table = merged.to_arrow(compat_level=pl.CompatLevel.oldest())
        whole = one_batch(table)
        cuts = np.flatnonzero((np.diff(part_of) != 0) | (np.diff(start) != 0)) + 1
        lists = any(pa.types.is_large_list(f.type) for f in whole.schema)
        for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(merged)], strict=True):
            # A sliced list column would carry its whole child through IPC.
            rows = pa.array(np.arange(low, high))
            piece = whole.take(rows) if lists else whole.slice(low, high - low)
            at = Timestamp(micros=int(start[low]))
            yield TimestampedValue((int(part_of[low]), piece), at)


class _Merge(beam.DoFn):
    """Merges the partials of one window and partition; the window comes from Beam."""

    def __init__(self, options: AggregateWindows) -> None:
        self.aggregator = Aggregator(options.aggregate)
        self.is_global = options.aggregate.window.type == "global"

    @override
    def process(
        self,
        element: tuple[int, Iterable[pa.RecordBatch]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[pa.RecordBatch]:
        batches = list(element[1])
        start = GLOBAL_START if self.is_global else window.start.micros
        if len(batches) == 1 and batches[0][SLICE][0].as_py() == start:
            one = batches[0]
            if one.num_rows == 1 or pa.compute.count_distinct(one[SLICE]).as_py() == 1:
                yield one
                return
        frames = [pl.DataFrame(pl.from_arrow(b)).with_columns(pl.lit(start).alias(SLICE)) for b in batches]
        merged = self.aggregator.merge(frames)
        yield one_batch(merged.to_arrow(compat_level=pl.CompatLevel.oldest()))


class _Finish(beam.DoFn):
    """Finishes many windows at once: an element each would cost more than the work."""

    def __init__(self, options: AggregateWindows) -> None:
        self.aggregator = Aggregator(options.aggregate)
        self.epoch = options.epoch

    @override
    def start_bundle(self) -> None:
        self._merged: list[pa.RecordBatch] = []

    @override
    def process(self, batch: pa.RecordBatch) -> None:
        self._merged.append(batch)

    @override
    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._merged:
            merged = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(self._merged)))
            table = self.aggregator.finish(merged, epoch=self.epoch)
            yield WindowedValue(one_batch(table), _GLOBAL.max_timestamp(), (_GLOBAL,))
