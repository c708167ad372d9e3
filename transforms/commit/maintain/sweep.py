"""Files in the folders of the tables that nothing names: which of them may go, and their end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from pyarrow import fs
from pyiceberg.io import FileIO
from pyiceberg.table import Table

from schemas.errors import CommitError
from schemas.names import POSITION, SOURCE
from transforms.commit.files import read_batches
from transforms.commit.lake import Lake
from transforms.commit.maintain.expire import Forgotten
from transforms.commit.maintain.look import look
from transforms.commit.maintain.named import Named
from transforms.commit.ranges import Ranges, merged, within
from transforms.commit.table_info import TableInfo

DAY_S: Final = 86_400
AGE_S: Final = DAY_S
UNLANDED_S: Final = 30 * DAY_S
_AT_ONCE: Final = 500


@dataclass(frozen=True)
class Found:
    """A file in the folder of a table."""

    path: str
    size: int
    written: float


@dataclass
class Swept:
    """What was deleted (or would be), and what was spared.

    Attributes:
        files, bytes: Deleted.
        waiting, waiting_bytes: Data files that nothing names, but whose rows have not landed.
        tables: Table -> files deleted.
    """

    files: int = 0
    bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    tables: Counter[str] = field(default_factory=Counter)

    def without(self, earlier: Swept) -> Swept:
        """Return what is left when those of an earlier sweep, all of them among these, are gone."""
        return Swept(
            self.files - earlier.files,
            self.bytes - earlier.bytes,
            self.waiting - earlier.waiting,
            self.waiting_bytes - earlier.waiting_bytes,
            self.tables - earlier.tables,
        )


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Deletes files that nothing names.

    A worker writes its files before a commit names them, and a stream's may wait in a checkpoint
    or savepoint for days. So a file must have an age, and a data file whose rows have not all
    landed a far greater one: rows that have landed, by whatever file, are never asked for again.

    Attributes:
        lake: Where.
        tables: Full names, `_commits` not among them.
        age_s: Seconds since it was written; younger files stay. It must be longer than a commit
            takes, and than a rebuild, whose rows have landed before.
        unlanded_s: The same for data files with rows that have not landed.
        dry_run: Only count.
        forgotten: What the lake does not keep any more; with `dry_run`, what it would not.
    """

    lake: Lake
    tables: Sequence[str]
    age_s: float = AGE_S
    unlanded_s: float = UNLANDED_S
    dry_run: bool = False
    forgotten: Forgotten = field(default_factory=Forgotten)

    def run(self, among: Collection[str] | None = None) -> Swept:
        """Delete, and return what.

        Args:
            among: Only these files; all by default.
        """
        # Listed first: what is named after that is found to be named.
        old = {n: list(self._old(n)) for n in (*self.tables, self.lake.operations("commits"))}
        named, out = Named(self.forgotten.until + 1, self.forgotten.snapshots), Swept()
        named.learn(self.lake, self.tables)
        state = look(self.lake)
        landed = merged(state.done, state.removed)
        for name, files in old.items():
            table = self.lake.load(name)
            unnamed = [
                f for f in files if f.path not in named.paths and (among is None or f.path in among)
            ]
            gone = [f for f in unnamed if self._may_go(f, table, landed, out)]
            for at in range(0, len(gone), _AT_ONCE):
                self._delete(name, table.io, gone[at : at + _AT_ONCE], named, out)
        return out

    def _old(self, name: str) -> Iterator[Found]:
        before = time.time() - self.age_s
        return (f for f in listed(self.lake.load(name)) if f.written <= before)

    def _may_go(self, file: Found, table: Table, landed: Ranges, out: Swept) -> bool:
        if file.written <= time.time() - self.unlanded_s or all_landed(table, file.path, landed):
            return True
        out.waiting += 1
        out.waiting_bytes += file.size
        return False

    def _delete(
        self, name: str, io: FileIO, files: Sequence[Found], named: Named, out: Swept
    ) -> None:
        if not self.dry_run:
            # A file that has waited long may be named by a commit that came since.
            named.learn(self.lake, self.tables)
            files = [f for f in files if f.path not in named.paths]
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda f: _gone(io, f.path), files))
        out.files += len(files)
        out.bytes += sum(f.size for f in files)
        out.tables[name] += len(files)


def listed(table: Table) -> Iterator[Found]:
    """Yield all files in the folder of a table.

    Raises:
        CommitError: Its file system cannot be listed.
    """
    io: Any = table.io
    if not hasattr(io, "fs_by_scheme"):
        msg = (
            f"a lake's files must be reached through Arrow to be listed; got {type(io).__name__}; "
            "leave `py-io-impl` out of the catalog's properties"
        )
        raise CommitError(msg)
    location = table.location()
    scheme, host, root = io.parse_location(location, io.properties)
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    for info in io.fs_by_scheme(scheme, host).get_file_info(selector):
        if info.type == fs.FileType.File:
            path = location + info.path[len(root) :]
            yield Found(path, info.size, info.mtime_ns / 1e9)


def all_landed(table: Table, path: str, landed: Ranges) -> bool:
    """Whether no commit to come can want a file: all of its positions are done.

    So it is with files of tables that have no positions: their commits write them, and name them at
    once. A file that cannot be read was never finished.
    """
    columns = {column.name for column in table.schema().fields}
    if not path.endswith(".parquet") or not {SOURCE, POSITION} <= columns:
        return True
    try:
        batches: Iterable[pa.RecordBatch] = read_batches(
            TableInfo.of(table), path, (SOURCE, POSITION)
        )
        return all(within(b[SOURCE], b[POSITION], landed).all() for b in batches)
    except (pa.ArrowInvalid, FileNotFoundError):
        return True


def _gone(io: FileIO, path: str) -> None:
    try:
        io.delete(path)
    except FileNotFoundError:  # Another maintenance was faster.
        return
