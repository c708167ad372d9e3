"""The lake: catalog and tables of one pipeline, read as of the last done commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.errors import CommitError, UsageError
from schemas.plan import Plan
from transforms.commit import evolve
from transforms.commit.journal import tail
from transforms.commit.patience import patience
from transforms.commit.sqlite_catalog import SqliteCatalog
from transforms.commit.table_info import TableInfo
from transforms.commit.tables import lake_tables


@dataclass(frozen=True)
class Done:
    """The last done commit.

    Attributes:
        seq: Its sequence number, 0 if there is none.
        snapshots: Table -> snapshot id; a table without rows so far is absent.
        totals: Table -> rows.
    """

    seq: int
    snapshots: dict[str, int]
    totals: dict[str, int]


@dataclass(frozen=True)
class Deployed:
    """The newest plan that landed something.

    Attributes:
        run_id: Its run.
        hash: The plan's hash.
        parts: Part -> hash, as in Plan.parts.
        held: Part -> the hashes of all plans whose rows are still in the tables (since the last
            rebuild); more than one, or another one than the plan at hand, means old logic.
        plan: The plan's JSON text, as the run gave it.
        keys: Ids of the keys that rows in the tables may be protected with; None: not known.
    """

    run_id: str
    hash: str
    parts: dict[str, str]
    held: dict[str, frozenset[str]]
    plan: str
    keys: frozenset[str] | None = None


class Lake:
    """Tables of one pipeline behind a pyiceberg catalog.

    Readers load `_commits` first, then each table at the snapshot that the last done row names;
    engines that read a table's `main` directly can see half of a commit.
    """

    def __init__(self, catalog: Catalog, pipeline: str) -> None:
        """Use `catalog` for the tables of `pipeline`."""
        self.catalog = catalog
        self.pipeline = pipeline

    def operations(self, name: str) -> str:
        """Full name of one of this pipeline's operations tables."""
        return f"operations.{self.pipeline}_{name}"

    def load(self, name: str) -> Table:
        """Load a table's newest metadata.

        Raises:
            UsageError: There is no such table.
        """
        try:
            return self.catalog.load_table(name)
        except NoSuchTableError:
            msg = (
                f"a table of the lake must be there to be read; got {name}; run the pipeline first"
            )
            raise UsageError(msg) from None

    def exists(self) -> bool:
        """Whether `prepare` has ever run."""
        return bool(self.catalog.table_exists(self.operations("commits")))

    def commits(self) -> Table:
        """Load `_commits`."""
        return self.load(self.operations("commits"))

    def prepare(self, plan: Plan) -> None:
        """Make namespaces and tables, and fit those that are there to the plan.

        A column that the plan adds is added (old rows hold null); one that it drops stays and is
        null in new rows. Partition spec and sort order follow the plan, for files to come.

        Raises:
            UsageError: A column's type changed in a way that files already written break.
        """
        for table in plan.tables.values():  # All of them before any is changed.
            evolve.refuse_breaks(self.catalog, table)
        tables = lake_tables(plan)
        for space in dict.fromkeys(name.split(".")[0] for name in tables):
            self.catalog.create_namespace_if_not_exists(space)
        for table in tables.values():
            evolve.create_or_fit(self.catalog, table)

    def table_info(self, name: str) -> TableInfo:
        """Return what a worker needs to write files of a table; it pickles."""
        return TableInfo.of(self.load(name))

    def last_done(self) -> Done:
        """Return what readers may see."""
        ended = [e for e in tail(self.commits()) if e.state != "intent"]
        return Done(ended[-1].seq, ended[-1].snapshots, ended[-1].totals) if ended else NOTHING

    def read(
        self, name: str, columns: Sequence[str] | None = None, row_filter: Any = None
    ) -> pa.Table:
        """Read a table as of the last done commit.

        Args:
            name: Full name.
            columns: Top-level columns, all of the table's present ones by default.
            row_filter: A pyiceberg expression; file bounds prune by it.
        """
        for _ in patience(20):
            done = self.last_done()
            table = self.load(name)
            at = done.snapshots.get(name)
            if at is None or table.snapshot_by_id(at) is not None:
                return read_at(table, at, columns, row_filter)
        msg = f"the snapshot of the last done commit must be readable; {name} lost it; restore it"
        raise CommitError(msg)

    def row_counts(self) -> dict[str, int]:
        """Return the rows of each table as of the last done commit, without opening any of them."""
        return dict(self.last_done().totals)

    def files(self, name: str, row_filter: Any = None) -> list[DataFile]:
        """Return the data files of a table as of the last done commit whose bounds may match."""
        return files_at(self.load(name), self.last_done().snapshots.get(name), row_filter)

    def deployed_plan(self, mode: str | None = None) -> Deployed | None:
        """Return the newest plan that landed something (in this mode), None if nothing has."""
        rows = self.read(self.operations("runs")).sort_by("seq").to_pylist()
        rows = [r for r in rows if mode in (None, r["mode"])]
        if not rows:
            return None
        rebuilt = [i for i, r in enumerate(rows) if r["op"] == "rebuild"]
        held: dict[str, set[str]] = {}
        for row in rows[rebuilt[-1] if rebuilt else 0 :]:
            parts = json.loads(row["parts"])
            for gone in [p for p in held if p.startswith("aggregate:") and p not in parts]:
                del held[gone]  # Rows landed that an aggregate taken out never saw.
            for part, value in parts.items():
                if part.startswith("aggregate:"):  # A changed aggregate recomputes all windows.
                    held[part] = {value}
                else:
                    held.setdefault(part, set()).add(value)
        newest = rows[-1]
        return Deployed(
            run_id=newest["run_id"],
            hash=newest["plan_hash"],
            parts=json.loads(newest["parts"]),
            held={part: frozenset(values) for part, values in held.items()},
            plan=newest["plan"],
            keys=None if newest.get("keys") is None else frozenset(newest["keys"].split()),
        )


NOTHING = Done(0, {}, {})


def open_lake(plan: Plan) -> Lake:
    """Open the lake of the plan's cloud profile; `local` is `<out>/lake` with a SQLite catalog.

    Raises:
        UsageError: The profile is not known, or the folder's name cannot stand in a URI.
    """
    if plan.cloud != "local":
        msg = f"the lake's cloud must be local; got {plan.cloud}; leave out --cloud"
        raise UsageError(msg)
    return Lake(local_catalog(plan.out / "lake"), plan.name)


def local_catalog(root: Path) -> Catalog:
    """Open (or make) the SQLite catalog of a lake folder."""
    root = root.resolve()
    if {"?", "#"} & set(str(root)):
        msg = f"the output folder's name must be free of ? and #; got {root}; choose another --out"
        raise UsageError(msg)
    root.mkdir(parents=True, exist_ok=True)
    return SqliteCatalog("lake", root / "catalog.db", f"file://{root}")


def files_at(table: Table, snapshot: int | None, row_filter: Any = None) -> list[DataFile]:
    """Return a table's data files at a snapshot whose bounds may match; none without a snapshot."""
    if snapshot is None:
        return []
    scan = table.scan(row_filter or AlwaysTrue(), snapshot_id=snapshot)
    return [task.file for task in scan.plan_files()]


def read_at(
    table: Table, snapshot: int | None, columns: Sequence[str] | None = None, row_filter: Any = None
) -> pa.Table:
    """Read a table at a snapshot with the columns it has today; no snapshot has no rows."""
    info = TableInfo.of(table)
    schema = info.schema.select(*columns) if columns is not None else info.schema
    wanted = pa.schema([info.arrow.field(n).remove_metadata() for n in columns or info.arrow.names])
    if snapshot is None:
        return wanted.empty_table()
    scan = table.scan(row_filter or AlwaysTrue(), snapshot_id=snapshot)
    reader = ArrowScan(table.metadata, table.io, schema, row_filter or AlwaysTrue())
    return reader.to_table(scan.plan_files()).select(wanted.names).cast(wanted)
