"""Rows of many files in the order of their table, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table
from pyiceberg.table.sorting import NullOrder, SortDirection
from pyiceberg.transforms import IdentityTransform

from schemas.names import POSITION, SEQUENCE, SOURCE
from transforms.batches import one_batch

_ROWS: Final = 1 << 16
_WAYS: Final = {SortDirection.ASC: "ascending", SortDirection.DESC: "descending"}
_NULLS: Final = {NullOrder.NULLS_FIRST: "at_start", NullOrder.NULLS_LAST: "at_end"}


@dataclass(frozen=True)
class Order:
    """The sort order of a table.

    Attributes:
        id: Its id, kept with each data file that is sorted by it.
        keys: (column, ascending or descending, nulls at_start or at_end).
    """

    id: int
    keys: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, table: Table) -> Order | None:
        """Return the order of a table, None if it has none, or one that is not of plain columns."""
        order = table.sort_order()
        plain = {column.field_id: column.name for column in table.schema().fields}
        if not order.fields or not all(
            f.source_id in plain and isinstance(f.transform, IdentityTransform)
            for f in order.fields
        ):
            return None
        keys = [
            (plain[f.source_id], _WAYS[f.direction], _NULLS[f.null_order]) for f in order.fields
        ]
        # Rows that are equal stay in the order of their source, whichever files they came from.
        ties = {SOURCE, POSITION, SEQUENCE} & {*plain.values()} - {name for name, *_ in keys}
        return cls(order.order_id, (*keys, *((n, "ascending", "at_end") for n in sorted(ties))))


def in_order(batches: Iterable[pa.RecordBatch], order: Order) -> Iterator[pa.RecordBatch]:
    """Yield the rows sorted.

    Memory holds the columns of the order; the rows wait in an unlinked file.

    Args:
        batches: All of one schema.
        order: By what.
    """
    names = [name for name, *_ in order.keys]
    keys: list[pa.RecordBatch] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        starts = [0]
        with path.open("wb") as sink:
            writer = None
            for batch in _gathered(batches):
                writer = writer or pa.ipc.new_file(sink, batch.schema)
                writer.write_batch(batch)
                keys.append(batch.select(names))
                starts.append(starts[-1] + batch.num_rows)
            if writer is None:
                return
            writer.close()
        with pa.memory_map(str(path)) as source:
            path.unlink()
            held = pa.ipc.open_file(source)
            rows = [held.get_batch(i) for i in range(held.num_record_batches)]
            wanted = pc.sort_indices(pa.Table.from_batches(keys), sort_keys=list(order.keys))
            keys.clear()
            for at in range(0, len(wanted), _ROWS):
                part = wanted.slice(at, _ROWS).to_numpy().astype(np.int64)
                yield _taken(rows, np.array(starts), part)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Put small batches together: each costs something for every batch that is yielded."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= _ROWS:
            yield one_batch(pa.Table.from_batches(held))
            held = []
    if held:
        yield one_batch(pa.Table.from_batches(held))


def _taken(
    rows: Sequence[pa.RecordBatch], starts: np.ndarray, wanted: np.ndarray
) -> pa.RecordBatch:
    """Return rows by their numbers: Arrow's own `take` would put whole columns together first."""
    which = np.searchsorted(starts, wanted, side="right") - 1
    by_batch = np.argsort(which, kind="stable")
    cuts = np.flatnonzero(np.diff(which[by_batch])) + 1
    parts = [
        rows[which[part[0]]].take(pa.array(wanted[part] - starts[which[part[0]]]))
        for part in np.split(by_batch, cuts)
    ]
    back = np.empty(len(wanted), np.int64)
    back[by_batch] = np.arange(len(wanted))
    return one_batch(pa.Table.from_batches(parts)).take(pa.array(back))
