"""Windowed aggregates as pure functions: rows to partials, partials to partials, partials to rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import PenstockError
from schemas.expressions import Expression, Place, check
from schemas.names import TIMESTAMP
from schemas.plan import Aggregate
from transforms.aggregate import measures
from transforms.aggregate.hyperloglog import estimate, packed
from transforms.aggregate.windows import Micros, ends, slices, windows_of
from transforms.expressions import EvaluationError, Evaluator

SLICE = "~slice"
ROWS = "~rows"


class SumTooLargeError(PenstockError):
    """A sum of integers leaves the type of its column."""


class Aggregator:
    """One aggregate of a plan; pickles, and may be called from several threads.

    A *partial* is a Polars frame with one line for each (slice, group): `~slice` (int64 us),
    the group's values, `~rows` and the accumulators of each measure (`measures`). It can be sent
    as a record batch and merged in any order and cut.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        """Check and keep the arguments of the measures."""
        self.aggregate = aggregate
        names = aggregate.input.names
        asked: dict[str, Expression] = {}
        self._plain: dict[int, str] = {}
        for i, measure in enumerate(aggregate.measures):
            if measure.argument is None:
                continue
            place = Place(Path(aggregate.name), 1)
            expression = check(measure.argument, aggregate.input, place=place)
            if len(expression.columns) == 1 and expression.sql.strip('"') in names:
                self._plain[i] = expression.columns[0]
            else:
                asked[measures.argument(i)] = expression
        self._evaluator = Evaluator(asked) if asked else None
        self._keys = [SLICE, *(f"~g{i}" for i in range(len(aggregate.group_by)))]

    def partial(self, rows: pa.RecordBatch | pa.Table) -> pl.DataFrame:
        """Aggregate rows by slice and group.

        Args:
            rows: With the columns of `aggregate.input` and the event time, without nulls in it.

        Raises:
            EvaluationError: The argument of a measure fails on a row.
        """
        a = self.aggregate
        times = _flat(rows[a.event_time]).cast(TIMESTAMP).cast(pa.int64()).to_numpy()
        columns = {SLICE: pl.Series(slices(times, a.window)), measures.TIME: pl.Series(times)}
        for key, name in zip(self._keys[1:], a.group_by, strict=True):
            columns[key] = _series(rows[name])
        for i, name in self._plain.items():
            columns[measures.argument(i)] = _series(rows[name])
        if self._evaluator is not None:
            columns |= self._evaluated(rows)
        for i, measure in enumerate(a.measures):
            if measure.function == "approx_count_distinct":
                name = measures.argument(i)
                columns[name] = packed(columns[name], a.hash_key)
        frame = pl.DataFrame(columns)
        adds = [
            e
            for i, m in enumerate(a.measures)
            for e in measures.add_rows(i, m, frame.schema.get(measures.argument(i)))
        ]
        return frame.group_by(self._keys).agg(pl.len().cast(pl.Int64).alias(ROWS), *adds)

    def _evaluated(self, rows: pa.RecordBatch | pa.Table) -> dict[str, pl.Series]:
        assert self._evaluator is not None  # noqa: S101
        out: dict[str, list[pa.Array]] = {}
        for batch in [rows] if isinstance(rows, pa.RecordBatch) else rows.to_batches():
            evaluated = self._evaluator.evaluate(batch)
            if len(evaluated.failed):
                msg = (
                    f"the arguments of {self.aggregate.name} must be computable on every row; "
                    f"got {len(evaluated.failed)} rows of a batch that fail; use TRY_CAST or CASE"
                )
                raise EvaluationError(msg)
            for name, values in evaluated.columns.items():
                out.setdefault(name, []).append(values)
        return {n: _series(pa.chunked_array(v)) for n, v in out.items()}

    def merge(self, partials: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """Merge partials to one line for each (slice, group)."""
        return self._merged(pl.concat(list(partials), how="vertical_relaxed"))

    def _merged(self, frame: pl.DataFrame) -> pl.DataFrame:
        merges = [e for i, m in enumerate(self.aggregate.measures) for e in measures.merge(i, m)]
        return frame.group_by(self._keys).agg(pl.col(ROWS).sum(), *merges)

    def by_window(self, partial: pl.DataFrame) -> pl.DataFrame:
        """Turn slices into windows: `~slice` of the result is a window's start."""
        starts = partial[SLICE].to_numpy()
        index, window = windows_of(starts, self.aggregate.window)
        if len(index) == len(starts) and (window == starts).all():
            return partial
        spread = partial[index.tolist()].with_columns(pl.Series(SLICE, window))
        return self._merged(spread)

    def finish(self, merged: pl.DataFrame, *, epoch: int, final: bool = True) -> pa.Table:
        """Return rows of the aggregate's table from partials whose `~slice` is a window start.

        Sorted by window start and group. `_epoch` and `_final` are as given; `_rows` counts the
        rows behind each row.

        Raises:
            SumTooLargeError: A sum does not fit the type of its column.
        """
        a = self.aggregate
        merged = merged.sort(self._keys)
        starts: Micros = merged[SLICE].to_numpy()
        values = merged.select(measures.result(i, m) for i, m in enumerate(a.measures))
        columns: dict[str, pa.Array] = {
            "window_start": pa.array(starts, TIMESTAMP),
            "window_end": pa.array(ends(starts, a.window), TIMESTAMP),
        }
        for key, name in zip(self._keys[1:], a.group_by, strict=True):
            columns[name] = _arrow(merged[key], a.input.field(name).type)
        for m in a.measures:
            series = values[m.name]
            if m.function == "approx_count_distinct":
                columns[m.name] = pa.array(estimate(series), pa.int64())
            else:
                columns[m.name] = _fitted(series, m.type, f"{a.name}.{m.name}")
        n = len(merged)
        columns["_epoch"] = pa.array(np.full(n, epoch, np.int64))
        columns["_rows"] = merged[ROWS].to_arrow()
        columns["_final"] = pa.repeat(pa.scalar(final), n)
        return pa.table(columns)

    def compute(
        self, rows: Iterable[pa.RecordBatch], starts: Micros | None, *, epoch: int
    ) -> pa.Table:
        """Return the finished rows of these windows (None: of all), from all of their rows."""
        partials = [self.partial(batch) for batch in rows if batch.num_rows]
        if not partials:
            partials = [self.partial(self._no_rows())]
        merged = self.by_window(self.merge(partials))
        if starts is not None:
            merged = merged.filter(pl.col(SLICE).is_in(pl.Series(starts).implode()))
        return self.finish(merged, epoch=epoch)

    def _no_rows(self) -> pa.RecordBatch:
        fields = [*self.aggregate.input]
        if self.aggregate.event_time not in self.aggregate.input.names:
            fields.append(pa.field(self.aggregate.event_time, TIMESTAMP))
        return pa.RecordBatch.from_pylist([], schema=pa.schema(fields))


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _series(column: pa.Array | pa.ChunkedArray) -> pl.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pl.Series(pl.from_arrow(column))


def _arrow(series: pl.Series, kind: pa.DataType) -> pa.Array:
    return _flat(series.to_arrow(compat_level=pl.CompatLevel.oldest())).cast(kind)


def _fitted(series: pl.Series, kind: pa.DataType, name: str) -> pa.Array:
    if series.dtype == pl.Int128:
        low, high = -(1 << 63), (1 << 63) - 1
        if series.len() and ((series.max() or 0) > high or (series.min() or 0) < low):
            msg = f"the sum {name} must fit 64 bits; got a greater one; sum CAST(x AS DOUBLE)"
            raise SumTooLargeError(msg)
        series = series.cast(pl.Int64)
    array = _flat(series.to_arrow(compat_level=pl.CompatLevel.oldest()))
    return array if array.type == kind else pc.cast(array, kind)
