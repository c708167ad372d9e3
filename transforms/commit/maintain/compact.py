"""Small data files put together into large ones: the same rows in other files, as a commit.

The old files stay where they are: followers and readers of earlier snapshots read them, until
`expire` finds that nobody can any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.errors import CommitError
from schemas.names import POSITION
from schemas.plan import Plan
from transforms.commit.bounds import bounds
from transforms.commit.committer import Committer
from transforms.commit.files import read_batches
from transforms.commit.iceberg import Files, with_sort_order
from transforms.commit.lake import Lake, files_at
from transforms.commit.maintain.bins import packed
from transforms.commit.maintain.look import look, tables_of
from transforms.commit.maintain.sorting import Order, in_order
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo
from transforms.sinks.fit import fitted
from transforms.sinks.lake import MIB, FileWriter

TARGET: Final = 128 * MIB
"""Bytes of a file that is large enough."""

OP: Final = "compact"
_ROUND_BYTES: Final = 1 << 30
_ROUND_FILES: Final = 4_000
_WHOLE: Final = 1 << 60


@dataclass(frozen=True)
class Group:
    """Data files of one partition that are to become one.

    Attributes:
        table: Full name.
        files: At least two, or one that is to be sorted.
        order: By what the rows are sorted, None: they stay as they lie.
    """

    table: str
    files: tuple[DataFile, ...]
    order: Order | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(f.file_size_in_bytes for f in self.files)


@dataclass
class Compacted:
    """What was done (or would be) with one table."""

    files: int = 0
    into: int = 0
    bytes: int = 0
    bytes_after: int = 0


@dataclass
class Compaction:
    """Puts together the small files of one pipeline.

    Attributes:
        committer: Of a run of its own; commits of others may come between.
        plan: Whose tables.
        target: Bytes of a file that is large enough.
        told: What was done, by table.
    """

    committer: Committer
    plan: Plan
    target: int = TARGET
    told: dict[str, Compacted] = field(default_factory=dict)

    def run(self) -> None:
        """Rewrite and commit, some groups at a time, so that a kill loses little.

        Memory holds about one row group of each open file; with a sort order the columns of the
        order, too, of `target` bytes of files. Groups that others changed meanwhile are left for
        the next time.

        Raises:
            CommitError: The lake could not be changed; earlier rounds have landed.
        """
        state = self.committer.ask()
        lake = self.committer.lake
        made: list[tuple[Group, list[DataFile]]] = []
        for group in self._groups(lake, state):
            made.append((group, rewritten(lake.load(group.table), group)))
            if (
                sum(g.size for g, _ in made) >= _ROUND_BYTES
                or sum(len(g.files) for g, _ in made) >= _ROUND_FILES
            ):
                self._commit(made)
                made = []
        self._commit(made)

    def dry_run(self) -> None:
        """Find out what `run` would do; nothing is changed, no data file is opened."""
        lake = self.committer.lake
        for group in self._groups(lake, look(lake)):
            self._tell(group, None)

    def _groups(self, lake: Lake, state: State) -> Iterator[Group]:
        tables = {n: lake.load(n) for n in tables_of(lake, self.plan, state)}
        held = {n: _own_files(t, state.snapshots.get(n)) for n, t in tables.items()}
        # Aggregates change with every commit: what is rewritten last is the least likely to be
        # out of date when it is committed.
        aggregates = {f"analytics.{a.name}" for a in self.plan.aggregates}
        for name in sorted(held, key=lambda n: (n in aggregates, n)):
            yield from groups(
                name, tables[name], held[name], self._along(tables[name]), self.target
            )

    def _along(self, table: Table) -> str:
        """Return the column along which neighbours are put together: bounds stay narrow."""
        there = {column.name for column in table.schema().fields}
        wanted = (self.plan.contract.event_time_column, "window_start", "seq", POSITION)
        return next((name for name in wanted if name in there), "")

    def _commit(self, made: Sequence[tuple[Group, list[DataFile]]]) -> None:
        if not made:
            return
        kept: list[tuple[Group, list[DataFile]]] = []

        def parts_of(state: State) -> Mapping[str, Files]:
            kept[:] = still_there(self.committer.lake, state, made)
            parts: dict[str, Files] = {}
            for group, new in kept:
                files = parts.setdefault(group.table, Files([], []))
                files.add.extend(new)
                files.remove.extend(group.files)
            return parts

        if self.committer.change(OP, parts_of) is not None:
            for group, new in kept:
                self._tell(group, new)

    def _tell(self, group: Group, new: Sequence[DataFile] | None) -> None:
        told = self.told.setdefault(group.table, Compacted())
        told.files += len(group.files)
        told.bytes += group.size
        told.into += 1 if new is None else len(new)
        told.bytes_after += sum(f.file_size_in_bytes for f in new or ())


def groups(
    name: str, table: Table, files: Sequence[DataFile], along: str, target: int
) -> Iterator[Group]:
    """Yield what is to be put together of one table, by partition, neighbours in time together.

    With a sort order every file that is not sorted by it is rewritten, large ones by themselves.
    """
    schema, order = table.schema(), Order.of(table)

    def place(file: DataFile) -> tuple[str, bool, Any]:
        found = bounds(file, schema, along) if along else None
        return _partition(file), found is not None, 0 if found is None else found[0]

    for _, own in groupby(sorted(files, key=place), key=_partition):
        part = list(own)
        small = packed([f.file_size_in_bytes for f in part], target)
        done = {i for group in small for i in group}
        for group in small:
            yield Group(name, tuple(part[i] for i in group), order)
        if order is not None:
            for i, file in enumerate(part):
                if i not in done and file.sort_order_id != order.id:
                    yield Group(name, (file,), order)


def rewritten(table: Table, group: Group) -> list[DataFile]:
    """Write the rows of a group to one file for each partition; nobody sees it yet.

    Raises:
        CommitError: Rows would be lost.
    """
    info = TableInfo.of(table)
    # Rows of one position must not come to lie in two files: none is finished before the end.
    writer = FileWriter(info, target_bytes=_WHOLE, open_files=_WHOLE)
    rows = (b for f in group.files for b in _rows(info, f))
    for batch in rows if group.order is None else in_order(rows, group.order):
        writer.write(batch)
    made = writer.close()
    before, after = (sum(f.record_count for f in files) for files in (group.files, made))
    if before != after:
        msg = (
            f"a compaction must keep every row of {group.table}; got {after} of {before}; nothing "
            "of it was landed: please report this"
        )
        raise CommitError(msg)
    return made if group.order is None else [with_sort_order(f, group.order.id) for f in made]


def still_there(
    lake: Lake, state: State, made: Sequence[tuple[Group, list[DataFile]]]
) -> list[tuple[Group, list[DataFile]]]:
    """Return the groups whose files are all in their tables yet; the others are out of date."""
    there: dict[str, set[str]] = {}
    for name in {group.table for group, _ in made}:
        table, at = lake.load(name), state.snapshots.get(name)
        if at is not None and table.snapshot_by_id(at) is None:
            return list(made)  # Others have moved far on: what is declared now is refused.
        there[name] = {f.file_path for f in files_at(table, at)}
    return [
        (group, new)
        for group, new in made
        if there[group.table].issuperset(f.file_path for f in group.files)
    ]


def _rows(info: TableInfo, file: DataFile) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(info, file.file_path):
        yield from fitted(batch, info.arrow).to_batches()


def _partition(file: DataFile) -> str:
    return f"{file.spec_id} {file.partition!r}"


def _own_files(table: Table, snapshot: int | None) -> list[DataFile]:
    """Return the data files at a snapshot; rows that another writer deleted would come back."""
    if snapshot is None or table.snapshot_by_id(snapshot) is None:
        return []
    tasks = list(table.scan(snapshot_id=snapshot).plan_files())
    if any(task.delete_files for task in tasks):
        msg = (
            f"rows of {'.'.join(table.name())} must be removed by Penstock only; got a delete file "
            "of another writer; compact the table there, and rebuild"
        )
        raise CommitError(msg)
    return [task.file for task in tasks]
