"""The accumulators of all measures of an aggregate, as columns beside times and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from schemas.plan import Aggregate
from transforms.aggregate.arguments import arguments
from transforms.aggregate.groups import Groups, plain
from transforms.aggregate.measures import Columns, Values, kinds
from transforms.aggregate.windows import Micros, timestamps

ROWS: Final = "_rows"

When = Mapping[str, pa.Array]
"""Columns of time of each group: which window its rows are of."""


def start(
    batch: pa.RecordBatch, aggregate: Aggregate, groups: Groups, times: Micros, when: When
) -> pa.RecordBatch:
    """Make the accumulators of the groups of some rows.

    Args:
        batch: Rows.
        aggregate: What to compute.
        groups: Of the rows; those of one group are of one window and of equal group columns.
        times: Event time of each row.
        when: Of each group.

    Returns:
        `when`, group columns (named as in the aggregate's table), `_rows`, accumulators.
    """
    made: Columns = {}
    for kind, values in zip(kinds(aggregate), arguments(batch, aggregate), strict=True):
        for part, column in kind.start(Values.of(groups, values, times)).items():
            made[_part(kind.measure.name, part)] = column
    first = pa.array(groups.rows)
    keys = [plain(batch.column(name)).take(first) for name in aggregate.group_by]
    named = dict(zip(aggregate.group_names, keys, strict=True))
    return pa.record_batch({**when, **named, ROWS: pa.array(groups.sizes()), **made})


def merge(
    batch: pa.RecordBatch, aggregate: Aggregate, groups: Groups, when: When
) -> pa.RecordBatch:
    """Merge accumulators by group; the same columns."""
    made: Columns = {}
    for kind in kinds(aggregate):
        name = kind.measure.name
        parts = {part: batch[_part(name, part)] for part in kind.parts}
        for part, column in kind.merge(groups, parts).items():
            made[_part(name, part)] = column
    rows = pa.array(groups.sum(batch[ROWS].to_numpy()))
    first = pa.array(groups.rows)
    keys = {name: batch[name].take(first) for name in aggregate.group_names}
    return pa.record_batch({**when, **keys, ROWS: rows, **made})


def finish(
    batch: pa.RecordBatch,
    aggregate: Aggregate,
    starts: Micros,
    ends: Micros,
    *,
    epoch: int,
    final: bool,
) -> pa.Table:
    """Turn accumulators into rows of the aggregate's table, ordered by window and group."""
    columns = [timestamps(starts), timestamps(ends)]
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
