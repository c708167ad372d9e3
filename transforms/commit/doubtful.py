"""Duplicates that are some only if the row that they repeat is kept: the committer may know better.

The dedupe of a stream takes the first to arrive of its like for kept. If that turns out to be a
copy of a landed row, what repeats it at its own event time is one, too; what repeats it at another
time may lie beyond the horizon of the landed row. Such rows travel with the files until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import POSITION, SOURCE, TIMESTAMP
from transforms.batches import compressed, one_batch
from transforms.commit.ranges import Ranges, within

CONFLICT: Final = "_conflict"
"""Column that says whether a row differs from the one that it repeats."""

MARK: Final = pa.field(CONFLICT, pa.bool_())


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """Such rows, with the columns of `processed_data` and CONFLICT; it pickles.

    Attributes:
        rows: How many.
        packed: They, as a compressed Arrow IPC stream; empty if there are none.
        first_us: Least event time of them.
        last_us: Greatest.
    """

    rows: int = 0
    packed: bytes = field(default=b"", repr=False)
    first_us: int = 0
    last_us: int = 0

    @classmethod
    def of(cls, parts: Sequence[pa.Table], event_time: str) -> Doubtful:
        """Pack rows.

        Args:
            parts: Tables of one schema, but for dictionaries.
            event_time: Column of type timestamp[us, UTC] without nulls.
        """
        if not parts:
            return cls()
        plain = [_plain(part) for part in parts]
        rows = pa.concat_tables(plain, promote_options="permissive")
        times = pc.min_max(rows[event_time].cast(TIMESTAMP).cast(pa.int64())).as_py()
        packed = compressed(one_batch(rows))
        return cls(rows=rows.num_rows, packed=packed, first_us=times["min"], last_us=times["max"])

    def read(self, among: Ranges) -> pa.Table:
        """Return those of the rows whose position is among these."""
        rows = pa.ipc.open_stream(self.packed).read_all()
        return rows.filter(pa.array(within(rows[SOURCE], rows[POSITION], among)))


def _plain(rows: pa.Table) -> pa.Table:
    """Return rows without dictionaries, which each batch has its own of."""
    for i, kind in enumerate(rows.schema):
        if pa.types.is_dictionary(kind.type):
            plain = rows[kind.name].cast(kind.type.value_type)
            rows = rows.set_column(i, kind.with_type(kind.type.value_type), plain)
    return rows
