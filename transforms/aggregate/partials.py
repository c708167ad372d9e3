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
from transforms.aggregate import accumulators, sessions, sums
from transforms.aggregate.groups import group, plain
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
        `_slice`, `_first` (of sessions `_start`, `_last`), group columns (named as in the
        aggregate's table), `_rows`, and for each measure its accumulators. None if no row counts in
        any window.

    Raises:
        AggregateError: A row has no event time, or the argument of a measure fails on it.
    """
    if batch.num_rows > sums.ROWS:
        pieces = [batch.slice(at, sums.ROWS) for at in range(0, batch.num_rows, sums.ROWS)]
        merged = merge_all((partial(piece, aggregate) for piece in pieces), aggregate)
        return None if merged is None else one_batch(merged)
    if aggregate.sessions:
        return sessions.partial(batch, aggregate)
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
    slices = slices[groups.rows]
    first = windows.first(slices) if first is None else first[groups.rows]
    when = {SLICE: timestamps(slices), FIRST: timestamps(first)}
    return accumulators.start(batch, aggregate, groups, times, when)


def merge(partials: pa.Table, aggregate: Aggregate) -> pa.Table:
    """Merge partial aggregates of one slice, or of one session, and group into one row each."""
    batch = one_batch(partials)
    if aggregate.sessions:
        return pa.Table.from_batches([sessions.merge(batch, aggregate)])
    windows = Windows.of(aggregate)
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
        window_starts: Give only these windows; None: all that hold a row. Not for sessions.
        starts_in: Give only windows whose start (us) is in this half open range; None: all. Not
            for sessions.

    Returns:
        `aggregate.schema`, ordered by window and group.

    Raises:
        AggregateError: A sum does not fit its type.
    """
    batch = one_batch(merged)
    if aggregate.sessions:
        starts, ends = sessions.bounds(batch, aggregate)
        return accumulators.finish(batch, aggregate, starts, ends, epoch=epoch, final=final)
    windows = Windows.of(aggregate)
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
    starts = micros(batch[SLICE])
    ends = windows.ends(starts)
    return accumulators.finish(batch, aggregate, starts, ends, epoch=epoch, final=final)


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
    times = {name: batch[name].take(pa.array(groups.rows)) for name in (SLICE, FIRST)}
    return accumulators.merge(batch, aggregate, groups, times)
