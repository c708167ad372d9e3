"""Sessions of a commit: what the rows that are new make of those that the table holds.

The table's sessions are those of the lake's rows, so they say how far a new row can reach: the new
sessions and the stored ones that they overlap, directly or by way of others, become one, and no
other stored session is near. Earlier rows are read again only of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.plan import Aggregate
from transforms.aggregate.partials import finish, merge
from transforms.commit.bounds import bounds
from transforms.commit.files import read_batches, read_file
from transforms.commit.lake import files_at
from transforms.commit.session_keys import SessionKeys, Stretches
from transforms.commit.table_info import TableInfo
from transforms.commit.times import FOREVER, Timed
from transforms.commit.windows import WINDOW_END, WINDOW_START, accumulate, stored_columns


@dataclass(frozen=True)
class Stored:
    """The table of an aggregate as of the last done commit; loaded when it is looked at.

    Attributes:
        tables: Full name -> table.
        name: Full name of the aggregate's.
        at: The snapshot, None if it has no rows.
    """

    tables: Mapping[str, Table]
    name: str
    at: int | None

    @cached_property
    def info(self) -> TableInfo:
        """What is known of the table."""
        return TableInfo.of(self.tables[self.name])

    @cached_property
    def files(self) -> list[DataFile]:
        """Its data files."""
        return files_at(self.tables[self.name], self.at)

    def bounds(self, file: DataFile, column: str) -> tuple[int, int]:
        """Return the least and the greatest value (us) that a file may hold of a time."""
        return bounds(file, self.info.schema, column) or FOREVER

    def last_end(self) -> int:
        """Return a time (us) after which no stored session ends."""
        return max((self.bounds(file, WINDOW_END)[1] for file in self.files), default=FOREVER[0])

    def all_final(self, file: DataFile) -> bool:
        """Say whether all rows of a file are known to be `_final`."""
        return (bounds(file, self.info.schema, "_final") or (False,))[0]

    def near(self, stretches: Stretches) -> list[DataFile]:
        """Return the files with sessions that may overlap a stretch of time."""
        return [
            file
            for file in self.files
            if stretches.meet(
                self.bounds(file, WINDOW_START)[0], self.bounds(file, WINDOW_END)[1] - 1
            )
        ]

    def keys(self, files: Iterable[DataFile], aggregate: Aggregate) -> SessionKeys:
        """Return which sessions files hold."""
        names = [WINDOW_START, WINDOW_END, *aggregate.group_names]
        return SessionKeys.of_rows(self.rows(files, aggregate, names), aggregate)

    def rows(
        self, files: Iterable[DataFile], aggregate: Aggregate, names: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the rows of files, only these columns if `names` are given."""
        kinds = [f for f in aggregate.schema if names is None or f.name in names]
        parts = [read_file(self.info, file, names) for file in files]
        none = pa.schema(kinds).empty_table()
        return pa.concat_tables([none, *parts], promote_options="permissive")


@dataclass(frozen=True)
class Earlier:
    """Rows of the lake that sessions are computed of.

    Attributes:
        aggregate: Whose.
        info: The table of rows.
        files: Data files, those that meet no session left out or not.
    """

    aggregate: Aggregate
    info: TableInfo
    files: Sequence[Timed]

    def parts(self, wanted: SessionKeys) -> pa.Table | None:
        """Return merged partial aggregates of their rows in these sessions, None if there are none.

        Args:
            wanted: Such that a row of them that is near one of these belongs to it.
        """
        stretches = wanted.stretches(self.aggregate.window.gap_us - 1)
        near = [file for file in self.files if stretches.meet(file.low, file.high)]
        made = accumulate(self.aggregate, self._rows(near))
        if made is None:
            return None
        mask, _ = SessionKeys.of_parts(made, self.aggregate).meeting(wanted)
        return made.filter(pa.array(mask))

    def _rows(self, files: Iterable[Timed]) -> Iterator[pa.RecordBatch]:
        for file in files:
            yield from read_batches(self.info, file.path, stored_columns(self.aggregate))


def together(parts: Iterable[pa.Table | None], aggregate: Aggregate) -> pa.Table | None:
    """Merge partial aggregates that may be none."""
    there = [part for part in parts if part is not None and part.num_rows]
    if not there:
        return None
    return merge(pa.concat_tables(there, promote_options="permissive"), aggregate)


def finished(parts: pa.Table | None, aggregate: Aggregate, epoch: int) -> pa.Table:
    """Turn merged partial aggregates, which may be none, into rows of the aggregate's table."""
    if parts is None:
        return aggregate.schema.empty_table()
    return finish(parts, aggregate, epoch=epoch, final=True)
