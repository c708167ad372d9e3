"""Sessions: the rows of a group as long as the next comes before a gap of time has passed.

A row at time t is a session [t, t + gap) by itself; sessions of one group that overlap are one, and
those that only touch are two, as Beam's are. So a session is [first event, last event + gap), a row
exactly `gap` after the last begins another, and any cut of the rows in any order gives the same
ones.

A row is late if window end + allowed lateness <= `_watermark` for the session that it is by itself.
It then counts in no session and bridges none, whatever others there are: which rows a session has
follows from each row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.plan import Aggregate
from transforms.aggregate import accumulators
from transforms.aggregate.groups import Groups, Indices, Key, group, plain
from transforms.aggregate.windows import Micros, event_times, late, micros, timestamps

START: Final = "_start"
LAST: Final = "_last"
"""Event times of the first and the last row of a session, or of the part of one at hand."""


def partial(batch: pa.RecordBatch, aggregate: Aggregate) -> pa.RecordBatch | None:
    """Aggregate the rows of one batch by group and session; see `partials.partial`."""
    behind = late(batch, aggregate).to_numpy(zero_copy_only=False)
    if behind.any():
        batch = batch.filter(pa.array(~behind))
    if not batch.num_rows:
        return None
    times = event_times(batch, aggregate)
    keys = [plain(batch.column(name)) for name in aggregate.group_by]
    found = joined(keys, times, times + aggregate.window.gap_us)
    return accumulators.start(batch, aggregate, found, times, _when(found, times, times))


def merge(batch: pa.RecordBatch, aggregate: Aggregate) -> pa.RecordBatch:
    """Merge parts of sessions that overlap into one row each."""
    starts, ends = bounds(batch, aggregate)
    found = joined([batch[name] for name in aggregate.group_names], starts, ends)
    when = _when(found, starts, micros(batch[LAST]))
    return accumulators.merge(batch, aggregate, found, when)


def bounds(parts: pa.RecordBatch | pa.Table, aggregate: Aggregate) -> tuple[Micros, Micros]:
    """Return start and end of what `partial` and `merge` give."""
    return micros(parts[START]), micros(parts[LAST]) + aggregate.window.gap_us


def joined(keys: Sequence[Key], starts: Micros, ends: Micros) -> Groups:
    """Number the sessions that stretches of time [start, end) make: those of one key that overlap.

    Sessions are numbered by key, and those of one key in their order.
    """
    own = group(keys, len(starts)).ids
    order = np.lexsort((starts, own))
    own, begins = own[order], starts[order]
    reach = _reach(own, ends[order])
    new = np.ones(len(order), bool)
    new[1:] = (own[1:] != own[:-1]) | (begins[1:] >= reach[:-1])
    ids = np.empty(len(order), np.int64)
    ids[order] = np.cumsum(new) - 1
    return Groups(ids, int(new.sum()), order[new])


def _reach(own: Indices, ends: Micros) -> Micros:
    """Return the greatest end so far of each key; the keys ascend."""
    if ((ends[1:] >= ends[:-1]) | (own[1:] != own[:-1])).all():
        return ends
    # Ranks instead of times: a key's number times a span of time would not fit 64 bits.
    values, ranks = np.unique(ends, return_inverse=True)
    floor = own * len(values)
    return values[np.maximum.accumulate(floor + ranks) - floor]


def _when(found: Groups, starts: Micros, lasts: Micros) -> dict[str, pa.Array]:
    latest = np.full(found.count, np.iinfo(np.int64).min)
    np.maximum.at(latest, found.ids, lasts)
    return {START: timestamps(starts[found.rows]), LAST: timestamps(latest)}
