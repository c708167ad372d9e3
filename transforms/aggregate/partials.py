"""Rows to partial aggregates, partial aggregates to finished rows: pure functions.

    partial(batch) -> one row per slice of time and group, with accumulators instead of values
    merge(partials) -> the same, merged; any cut of the rows in any order gives equal accumulators
    finish(merged) -> the rows of the aggregate's table, one per window and group

`compute` is all three, over rows read back from the lake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.names import WATERMARK
from schemas.plan import Aggregate
from transforms.aggregate import sums
from transforms.aggregate.arguments import arguments
from transforms.aggregate.groups import Groups, group, plain
from transforms.aggregate.measures import Columns, Values, kinds
from transforms.aggregate.windows import (
    Micros,
    Windows,
    event_times,
    micros,
    opens,
    timestamps,
)
from transforms.batches import one_batch

SLICE: Final = "_slice"
"""Start of a slice of time (us): see `windows`."""
FIRST: Final = "_first"
"""Start of the first window that these rows count in (us): rows may be late for earlier ones."""
ROWS: Final = "_rows"

_COMPACT: Final = 1 << 20


def input_columns(aggregate: Aggregate) -> list[str]:
    """Names of the columns that `partial`, `compute` and `touched` read of rows.

    `_watermark` is the last; rows that lack it (or have null there) are late for no window.
    """
    return list(dict.fromkeys([aggregate.event_time, *aggregate.input.names, WATERMARK]))


def partial(batch: pa.RecordBatch, aggregate: Aggregate) -> pa.RecordBatch | None:
    """Aggregate the rows of one batch by slice of time and group.

    Args:
        batch: Rows with `input_columns(aggregate)`.
        aggregate: What to compute.

    Returns:
        `_slice`, `_first`, group columns (named as in the aggregate's table), `_rows`, and for each
        measure its accumulators. None if no row counts in any window.

    Raises:
        AggregateError: A row has no event time, or the argument of a measure fails on it.
    """
    if batch.num_rows > sums.ROWS:
        pieces = [batch.slice(at, sums.ROWS) for at in range(0, batch.num_rows, sums.ROWS)]
        merged = merge_all((partial(piece, aggregate) for piece in pieces), aggregate)
        return None if merged is None else one_batch(merged)
    windows = Windows.of(aggregate)
    times = event_times(batch, aggregate)
    slices = windows.slices(times)
    first = opens(batch, windows)
    if first is not None:
        first = np.maximum(first, windows.first(slices))
        counts = first <= windows.last(slices)
        batch = batch.filter(pa.array(counts))
        times, slices, first = times[counts], slices[counts], first[counts]
    if not batch.num_rows:
        return None
    keys = [plain(batch.column(name)) for name in aggregate.group_by]
    groups = group([*_ordinals(windows, slices, first), *keys], batch.num_rows)
    made: Columns = {}
    for kind, values in zip(kinds(aggregate), arguments(batch, aggregate), strict=True):
        for part, column in kind.start(Values.of(groups, values, times)).items():
            made[_part(kind.measure.name, part)] = column
    slices = slices[groups.rows]
    first = windows.first(slices) if first is None else first[groups.rows]
    when = {SLICE: timestamps(slices), FIRST: timestamps(first)}
    named = dict(zip(aggregate.group_names, _taken(keys, groups), strict=True))
    return pa.record_batch({**when, **named, ROWS: pa.array(groups.sizes()), **made})


def merge(partials: pa.Table, aggregate: Aggregate) -> pa.Table:
    """Merge partial aggregates of equal slice and group into one row each."""
    windows = Windows.of(aggregate)
    batch = one_batch(partials)
    when = _ordinals(windows, micros(batch[SLICE]), micros(batch[FIRST]))
    return pa.Table.from_batches([_merged(batch, when, aggregate)])


def finish(
    merged: pa.Table,
    aggregate: Aggregate,
    *,
    epoch: int,
    final: bool,
    window_starts: pa.Array | None = None,
    starts_in: tuple[int, int] | None = None,
) -> pa.Table:
    """Turn merged accumulators into rows of the aggregate's table, one per window and group.

    Args:
        merged: What `merge` gave.
        aggregate: What to compute.
        epoch: `_epoch` of all rows.
        final: `_final` of all rows.
        window_starts: Give only these windows; None: all that hold a row.
        starts_in: Give only windows whose start (us) is in this half open range; None: all.

    Returns:
        `aggregate.schema`, ordered by window and group.

    Raises:
        AggregateError: A sum does not fit its type.
    """
    windows = Windows.of(aggregate)
    batch = one_batch(merged)
    owners, starts = windows.expand(micros(batch[SLICE]), micros(batch[FIRST]))
    wanted = np.ones(len(starts), bool)
    if window_starts is not None:
        wanted &= np.isin(starts, micros(window_starts))
    if starts_in is not None:
        wanted &= (starts >= starts_in[0]) & (starts < starts_in[1])
    owners, starts = owners[wanted], starts[wanted]
    if len(owners) != batch.num_rows or windows.slice != windows.size:
        batch = batch.take(pa.array(owners)).set_column(0, SLICE, timestamps(starts))
    if windows.slice != windows.size:
        batch = _merged(batch, [starts // windows.period], aggregate)
    return _finished(batch, windows, aggregate, epoch=epoch, final=final)


def compute(
    rows: pa.Table | Iterable[pa.RecordBatch],
    aggregate: Aggregate,
    epoch: int,
    window_starts: pa.Array | None = None,
) -> pa.Table:
    """Compute finished rows from rows, as read back from the lake.

    Args:
        rows: A table, or batches (of which only the partial aggregates are held), with
            `input_columns(aggregate)`, in any order.
        aggregate: What to compute.
        epoch: `_epoch` of all rows.
        window_starts: Give only these windows. `rows` must hold all rows of them; rows of other
            windows do no harm.

    Returns:
        `aggregate.schema`, `_final` true, ordered by window and group.
    """
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    merged = merge_all((partial(batch, aggregate) for batch in batches), aggregate)
    if merged is None:
        return aggregate.schema.empty_table()
    return finish(merged, aggregate, epoch=epoch, final=True, window_starts=window_starts)


def merge_all(partials: Iterable[pa.RecordBatch | None], aggregate: Aggregate) -> pa.Table | None:
    """Merge partial aggregates as they come, so that no more than a few are held at once."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in partials:
        if batch is None:
            continue
        held.append(batch)
        rows += batch.num_rows
        if rows > max(_COMPACT, 2 * held[0].num_rows):
            held = [one_batch(merge(pa.Table.from_batches(held), aggregate))]
            rows = held[0].num_rows
    return merge(pa.Table.from_batches(held), aggregate) if held else None


def _ordinals(windows: Windows, slices: Micros, first: Micros | None) -> list[Micros]:
    """Return small numbers that differ where slice or first window do: they need no hashing."""
    step = max(windows.slice, 1)
    numbers = [slices // step]
    return numbers if first is None else [*numbers, (slices - first) // step]


def _merged(batch: pa.RecordBatch, when: list[Micros], aggregate: Aggregate) -> pa.RecordBatch:
    groups = group([*when, *(batch[name] for name in aggregate.group_names)], batch.num_rows)
    made: Columns = {}
    for kind in kinds(aggregate):
        name = kind.measure.name
        parts = {part: batch[_part(name, part)] for part in kind.parts}
        for part, column in kind.merge(groups, parts).items():
            made[_part(name, part)] = column
    rows = pa.array(groups.sum(batch[ROWS].to_numpy()))
    names = [SLICE, FIRST, *aggregate.group_names]
    keys = dict(zip(names, _taken([batch[name] for name in names], groups), strict=True))
    return pa.record_batch({**keys, ROWS: rows, **made})


def _taken(columns: Iterable[pa.Array], groups: Groups) -> list[pa.Array]:
    first = pa.array(groups.rows)
    return [column.take(first) for column in columns]


def _finished(
    batch: pa.RecordBatch, windows: Windows, aggregate: Aggregate, *, epoch: int, final: bool
) -> pa.Table:
    starts: Micros = micros(batch[SLICE])
    columns = [batch[SLICE], timestamps(windows.ends(starts))]
    columns += [batch[name] for name in aggregate.group_names]
    for kind in kinds(aggregate):
        parts = {part: batch[_part(kind.measure.name, part)] for part in kind.parts}
        columns.append(kind.finish(parts))
    columns += [
        pa.repeat(pa.scalar(epoch, pa.int64()), batch.num_rows),
        batch[ROWS],
        pa.repeat(pa.scalar(final), batch.num_rows),
    ]
    table = pa.Table.from_arrays(columns, schema=aggregate.schema)
    keys = ["window_start", *aggregate.group_names]
    return table.sort_by([(name, "ascending") for name in keys])


def _part(measure: str, part: str) -> str:
    return f"{measure}:{part}"
