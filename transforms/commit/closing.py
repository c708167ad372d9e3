"""Dead letters that a commit changes: rows that get another destiny go, others get new facts.

The refused table is the fence of a replay: a row may be landed only by a commit that takes it out
of this table, and only if it is still there in the state that the commit is planned on. Two replays
that both found a row open cannot both close it, as the later one plans again on a state without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.names import POSITION, SEQUENCE, SOURCE
from transforms.commit.bounds import reach
from transforms.commit.files import read_batches, read_file
from transforms.commit.iceberg import Files
from transforms.commit.lake import files_at
from transforms.commit.ledger import count_closed
from transforms.commit.ranges import Ranges, common, merged
from transforms.commit.table_info import TableInfo
from transforms.sinks.fit import fitted
from transforms.sinks.lake import FileWriter

PLACE: Final = (SOURCE, POSITION, SEQUENCE)
"""What names a row."""

OP: Final = "replay"
"""Of commits that change dead letters: `Files` of the refused table go and come with most rows."""

_AT: Final = "_at"
_TYPES: Final = {SOURCE: pl.String, POSITION: pl.Int64, SEQUENCE: pl.Int32}


class OvertakenError(Exception):
    """A row is no dead letter any more: another commit closed it. Look again at what is left."""


@dataclass(frozen=True, kw_only=True)
class Closing:
    """What a commit does with dead letters.

    Attributes:
        closed: Rows that get another destiny (columns PLACE): they are taken out.
        changed: Rows that stay, and new values of some of their columns (PLACE and those columns).
        mended: Rows of `_mended` that say how records were changed.
    """

    closed: pa.Table
    changed: pa.Table
    mended: pa.Table | None = None


@dataclass(frozen=True)
class Closed:
    """A closing as of one state of the refused table.

    Attributes:
        files: Of the refused table, to put in and take out.
        counts: Rows taken out, as the ledger counts them: less than nothing.
        positions: Their positions.
    """

    files: Files
    counts: pa.Table
    positions: Ranges


def closed(closing: Closing, table: Table, at: int | None) -> Closed:
    """Write the files that hold rows of a closing again, without those that are closed.

    Args:
        closing: What to do.
        table: The refused table as loaded.
        at: Its snapshot as of the last done commit.

    Raises:
        OvertakenError: A row is not there.
    """
    info = TableInfo.of(table)
    gone, stay = Places(closing.closed), Places(closing.changed)
    found, files = 0, Files([], [])
    dead: list[pa.Table] = [info.arrow.empty_table().select([SOURCE, "step", "rule"])]
    for file in holding(table, at, gone, stay):
        writer = FileWriter(info)
        for batch in read_batches(info, file.file_path):
            rows = fitted(batch, info.arrow)
            lost = gone.at(rows) >= 0
            dead.append(rows.filter(pa.array(lost)).select([SOURCE, "step", "rule"]))
            rows = rows.filter(pa.array(~lost))
            new = stay.at(rows)
            found += int(lost.sum()) + int((new >= 0).sum())
            writer.write(_changed(rows, closing.changed, new))
        files.add.extend(writer.close())
        files.remove.append(file)
    if found != len(gone) + len(stay):
        raise OvertakenError
    counts = count_closed(pa.concat_tables(dead, promote_options="permissive"))
    return Closed(files, counts, gone.ranges)


class Places:
    """Rows named by their place (columns PLACE, each once), to be found among others."""

    def __init__(self, rows: pa.Table) -> None:
        """Take the places of rows."""
        self._frame = _keys(rows)
        by = self._frame.group_by(SOURCE).agg(pl.col(POSITION).unique().sort())
        self.ranges = merged({s: [(p, p + 1) for p in spots] for s, spots in by.iter_rows()})

    def __len__(self) -> int:
        """Return how many rows are named."""
        return len(self._frame)

    def at(self, rows: pa.RecordBatch | pa.Table) -> np.ndarray:
        """Return for each row its number among those named, -1 for others."""
        if not len(self) or not rows.num_rows:
            return np.full(rows.num_rows, -1, np.int64)
        named = self._frame.with_row_index(_AT)
        joined = _keys(rows).join(named, on=list(PLACE), how="left", maintain_order="left")
        return joined[_AT].cast(pl.Int64).fill_null(-1).to_numpy()


def holding(table: Table, at: int | None, *several: Places) -> Iterator[DataFile]:
    """Yield the data files of a table, at a snapshot, that hold rows named by their place."""
    info = TableInfo.of(table)
    wanted = merged(*(places.ranges for places in several))
    for file in files_at(table, at):
        if common(reach(file, info.schema, wanted), wanted):
            rows = read_file(info, file, PLACE)
            if any((places.at(rows) >= 0).any() for places in several):
                yield file


def held(table: Table, at: int | None, places: Places, wanted: pa.Schema) -> pa.Table:
    """Read those of the rows named by their place that are there, in the order of the names.

    A column that the table does not have is null.
    """
    info = TableInfo.of(table)
    parts = [wanted.empty_table()]
    for file in holding(table, at, places):
        for batch in read_batches(info, file.file_path, wanted.names):
            there = pa.array(places.at(batch) >= 0)
            parts.append(fitted(batch.filter(there), wanted))
    rows = pa.concat_tables(parts, promote_options="permissive")
    return rows.take(pa.array(np.argsort(places.at(rows), kind="stable")))


def _changed(rows: pa.Table, changed: pa.Table, at: np.ndarray) -> pa.Table:
    """Return rows with the new values of those that have some (`at` not -1)."""
    if not (at >= 0).any():
        return rows
    mask = pa.array(at >= 0)
    for name in changed.column_names:
        if name in PLACE:
            continue
        index = rows.schema.get_field_index(name)
        new = changed[name].take(pa.array(at, mask=at < 0)).cast(rows.schema.field(index).type)
        rows = rows.set_column(index, rows.schema.field(index), pc.if_else(mask, new, rows[name]))
    return rows


def _keys(rows: pa.RecordBatch | pa.Table) -> pl.DataFrame:
    return pl.DataFrame({n: _series(rows[n]).cast(kind) for n, kind in _TYPES.items()})


def _series(column: pa.Array | pa.ChunkedArray) -> pl.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pl.Series(pl.from_arrow(column))
