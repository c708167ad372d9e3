"""Take duplicates out of batch input in two passes; only ids cross the shuffle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsMultiMap, PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.names import POSITION, REMOVED, SEQUENCE, SOURCE, TIMESTAMP, Destiny
from transforms.duplicates import LAKE, Ids, chunk_name, duplicates, sorted_ids
from transforms.parallel import ThreadedDoFn
from transforms.spill import Spill

Held = Callable[[int, int], Iterator[pa.RecordBatch]]
"""(first event time, last event time), both in us UTC and included -> rows the lake holds there."""

_DUPLICATES = pa.schema([("row", pa.uint32()), ("conflict", pa.bool_())])


class Deduplicated(NamedTuple):
    """Every input row, on exactly one of two sides."""

    rows: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]


@dataclass(eq=False)
class Deduplicate(beam.PTransform[PCollection[pa.RecordBatch], Deduplicated]):
    """Keep the first row of each id within the horizon (see `transforms.duplicates`).

    Input: batches in the global window, each of one `_source`, in position order, with the position
    columns. Output: `rows` with the same columns, in as many batches; `removed` (schemas.names
    REMOVED) with destiny `duplicate` and rule `duplicate`, or `conflict` where the content differs
    from the row that won. Bounded input only: all ids meet in one shuffle.

    Attributes:
        step: Id of the step, written into `removed`.
        by: Columns that make a row itself.
        horizon_us: Microseconds of event time within which a second row is a duplicate.
        event_time: Column of type timestamp[us, UTC] without nulls.
        key: Two secret seeds, made anew for each run.
        partitions: Hash partitions of the id shuffle.
        spill: Where rows and ids wait between the passes, so that only their names cross the
            shuffle; None sends them through the PCollections.
        held: Rows of the lake near the run's event times; None if there are none.
        threads: Threads of each DoFn (1 on clusters).
    """

    step: str
    by: tuple[str, ...]
    horizon_us: int
    event_time: str
    key: tuple[int, int]
    partitions: int = 8
    spill: Spill | None = None
    held: Held | None = None
    threads: int = 1

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> Deduplicated:
        kept_type = tuple[str, str] if self.spill else tuple[str, pa.RecordBatch]
        ids_type = tuple[int, tuple[str, int, int]] if self.spill else tuple[int, pa.RecordBatch]
        first = rows | "Hold" >> beam.ParDo(_Hold(self)).with_output_types(
            kept_type, ids=ids_type, times=tuple[int, int]
        ).with_outputs("ids", "times", main="held")
        ids = [first.ids]
        if self.held is not None:
            times = first.times | "Times" >> beam.CombineGlobally(_Span()).without_defaults()
            ids.append(times | "Lake" >> beam.ParDo(_LakeIds(self)).with_output_types(ids_type))
        found = (
            tuple(ids)
            | "Ids" >> beam.Flatten()
            | "ById" >> beam.GroupByKey()
            | "Find" >> beam.ParDo(_Find(self)).with_output_types(tuple[str, pa.RecordBatch])
        )
        last = first.held | "Drop" >> beam.ParDo(_Drop(self), AsMultiMap(found)).with_output_types(
            pa.RecordBatch, removed=pa.RecordBatch
        ).with_outputs("removed", main="rows")
        return Deduplicated(last.rows, last.removed)


class _Hold(ThreadedDoFn):
    def __init__(self, options: Deduplicate) -> None:
        super().__init__(options.threads)
        self.by, self.event_time, self.key = options.by, options.event_time, options.key
        self.partitions, self.spill = options.partitions, options.spill
        self.wants_times = options.held is not None

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield from self.submit(self.kernel, batch)

    def kernel(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if not batch.num_rows:
            return
        chunk = _chunk_of(batch)
        yield chunk, self.spill.write(batch) if self.spill else batch
        by, at, n, placed = self.by, self.event_time, self.partitions, self.wants_times
        ids = sorted_ids(batch, by, at, self.key, chunk, n, placed=placed)
        for part in _parts(ids, self.spill):
            yield TaggedOutput("ids", part)
        if self.wants_times:
            times = batch[self.event_time].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
            yield TaggedOutput("times", (int(times.min()), int(times.max())))


class _Span(beam.CombineFn):
    """Smallest and greatest event time of the run."""

    @override
    def create_accumulator(self) -> tuple[int, int]:
        return (1 << 62, -(1 << 62))

    @override
    def add_input(self, accumulator: tuple[int, int], element: tuple[int, int]) -> tuple[int, int]:
        return min(accumulator[0], element[0]), max(accumulator[1], element[1])

    @override
    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        lows, highs = zip(*accumulators, strict=True)
        return min(lows), max(highs)

    @override
    def extract_output(self, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator


class _LakeIds(beam.DoFn):
    def __init__(self, options: Deduplicate) -> None:
        self.options = options

    @override
    def process(self, times: tuple[int, int]) -> Iterator[tuple[int, Any]]:
        o = self.options
        if o.held is None:
            return
        for batch in o.held(times[0] - o.horizon_us, times[1] + o.horizon_us):
            if batch.num_rows:
                made = sorted_ids(batch, o.by, o.event_time, o.key, LAKE, o.partitions, placed=True)
                yield from _parts(made, o.spill)


def _parts(ids: Ids, spill: Spill | None) -> Iterator[tuple[int, Any]]:
    """Yield each partition with its ids, or with where they lie."""
    if spill is None:
        yield from ((p, ids.batch.slice(a, b - a)) for p, a, b in ids.cuts)
    elif ids.cuts:
        name = spill.write(ids.batch)
        yield from ((p, (name, a, b)) for p, a, b in ids.cuts)


class _Find(ThreadedDoFn):
    def __init__(self, options: Deduplicate) -> None:
        super().__init__(options.threads)
        self.horizon_us, self.spill = options.horizon_us, options.spill

    @override
    def process(self, partition: tuple[int, Iterable[Any]]) -> Iterator[Any]:
        yield from self.submit(self.kernel, list(partition[1]))

    def kernel(self, parts: list[Any]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for chunk, rows, conflict in duplicates(map(self._ids, parts), self.horizon_us):
            yield chunk, pa.RecordBatch.from_arrays([rows, conflict], schema=_DUPLICATES)

    def _ids(self, part: Any) -> pa.RecordBatch:
        if self.spill is None:
            return part
        name, start, end = part
        return self.spill.read(name).slice(start, end - start)


class _Drop(ThreadedDoFn):
    def __init__(self, options: Deduplicate) -> None:
        super().__init__(options.threads)
        self.step, self.spill = options.step, options.spill

    @override
    def process(self, held: tuple[str, Any], found: Any) -> Iterator[Any]:
        yield from self.submit(self.kernel, held[1], list(found[held[0]]))

    def kernel(self, held: Any, found: list[pa.RecordBatch]) -> Iterator[Any]:
        batch = self.spill.read(held) if self.spill else held
        if not found:
            yield batch
            return
        rows = np.concatenate([f["row"].to_numpy() for f in found])
        conflict = np.concatenate([f["conflict"].to_numpy(zero_copy_only=False) for f in found])
        order = np.argsort(rows, kind="stable")
        keep = np.ones(batch.num_rows, bool)
        keep[rows] = False
        yield TaggedOutput("removed", _removed(batch, rows[order], conflict[order], self.step))
        yield batch.filter(pa.array(keep))


def _removed(
    batch: pa.RecordBatch, rows: np.ndarray, conflict: np.ndarray, step: str
) -> pa.RecordBatch:
    places = batch.select([SOURCE, POSITION, SEQUENCE]).take(pa.array(rows))
    rule = pa.array(np.where(conflict, "conflict", "duplicate").tolist(), pa.string())
    constant = [pa.repeat(text, len(rows)) for text in (Destiny.DUPLICATE.value, step)]
    return pa.RecordBatch.from_arrays([*places.columns, *constant, rule], schema=REMOVED)


def _chunk_of(batch: pa.RecordBatch) -> str:
    source = batch[SOURCE]
    indices = source.indices.to_numpy()
    if (indices != indices[0]).any():
        msg = "a batch to deduplicate must hold rows of one _source; got several; cut it by _source"
        raise ValueError(msg)
    return chunk_name(source.dictionary[indices[0]].as_py(), batch[POSITION][0].as_py())
