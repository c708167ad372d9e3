"""The DuckDB warehouse: a follower of the lake's commits.

The lake is the one place where a row becomes real. A load takes the done commits it has not seen,
in order, reads the data files they name, and records in the same transaction the commit it ends
at, so that a load has its effect once, whenever it is killed. DuckDB is opened for one transaction
and closed again: it admits one writing process, and a person's CLI must get in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.ddl import WarehouseTable, create_table, quote, quoted_table, warehouse_tables
from schemas.errors import PenstockError
from schemas.plan import Plan
from transforms.commit.follow import DoneCommit

PATIENCE_S = 10.0
"""How long a load waits for another process that has the file open."""

_EVERYTHING = frozenset({"rebuild"})


class WarehouseBusyError(PenstockError):
    """Another process holds the warehouse; the lake is complete, and a later load catches up."""


@dataclass
class Loaded:
    """What a load did.

    Attributes:
        seq: Sequence number of the last commit in the warehouse.
        commits: Commits taken by this load.
        rows: Rows per table after the load.
        added: Rows per table more (or fewer) than before.
    """

    seq: int
    commits: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)


class Warehouse:
    """One DuckDB file that follows one pipeline's commits (others may share the file)."""

    def __init__(self, plan: Plan, path: Path, *, patience_s: float | None = None) -> None:
        """Describe the warehouse; nothing is opened yet.

        Args:
            plan: Whose tables it holds.
            path: The DuckDB file; made on first load.
            patience_s: How long to wait for another process that has the file open; PATIENCE_S
                by default.
        """
        self.plan = plan
        self.path = path
        self.patience_s = PATIENCE_S if patience_s is None else patience_s
        self.tables = warehouse_tables(plan)
        self._progress = f"operations.{plan.name}_loaded"

    def seq(self) -> int:
        """Return the last commit that the warehouse holds, 0 if it is new."""
        if not self.path.exists():
            return 0
        with self._open() as c:
            self._create(c)
            return self._seq(c)

    def load(self, commits: Iterable[DoneCommit]) -> Loaded:
        """Take these done commits (in order; those already taken are skipped) in one transaction.

        Raises:
            WarehouseBusyError: Another process had the file open for longer than `patience_s`.
        """
        return self._load(commits, anew=False)

    def rebuild(self, everything: DoneCommit) -> Loaded:
        """Drop this pipeline's tables and load what the lake holds, in one transaction.

        Args:
            everything: See `transforms.commit.follow.everything`.

        Raises:
            WarehouseBusyError: See `load`.
        """
        return self._load([everything] if everything.seq else [], anew=True)

    def _load(self, commits: Iterable[DoneCommit], *, anew: bool) -> Loaded:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as c:
            c.execute("BEGIN")
            self._create(c)
            before = self._counts(c)
            if anew:
                for name in (*(t.name for t in self.tables), self._progress):
                    c.execute(f"DROP TABLE {quoted_table(name)}")
                self._create(c)
            loaded = Loaded(self._seq(c))
            for commit in commits:
                if commit.seq <= loaded.seq:
                    continue
                self._take(c, commit)
                loaded.seq, loaded.commits = commit.seq, loaded.commits + 1
            if loaded.commits:
                c.execute(f"DELETE FROM {quoted_table(self._progress)}")  # noqa: S608
                c.execute(f"INSERT INTO {quoted_table(self._progress)} VALUES (?)", [loaded.seq])  # noqa: S608
            loaded.rows = self._counts(c)
            loaded.added = {n: rows - before[n] for n, rows in loaded.rows.items()}
            c.execute("COMMIT")
            return loaded

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                connection = duckdb.connect(str(self.path))
                connection.execute("SET TimeZone = 'UTC'")
                break
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    msg = f"the warehouse must be a DuckDB file that can be opened; got {error}"
                    raise PenstockError(msg) from None
                if time.monotonic() > deadline:
                    msg = (
                        f"the warehouse must be free to write; {self.path} is open in another "
                        "process; close it and run `penstock load`: the lake is complete"
                    )
                    raise WarehouseBusyError(msg) from None
                time.sleep(0.2)
        try:
            yield connection
        finally:
            connection.close()

    def _create(self, c: duckdb.DuckDBPyConnection) -> None:
        for schema in sorted({t.schema for t in self.tables} | {"operations"}):
            c.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
        for table in self.tables:
            c.execute(create_table(table))
            for change in self._changes(c, table):
                c.execute(f"ALTER TABLE {quoted_table(table.name)} {change}")
        c.execute(f"CREATE TABLE IF NOT EXISTS {quoted_table(self._progress)} (seq BIGINT)")

    def _changes(self, c: duckdb.DuckDBPyConnection, table: WarehouseTable) -> Iterator[str]:
        """Yield what makes a table that is there fit the plan, as the lake's tables are made to."""
        info = c.execute(f"PRAGMA table_info('{table.name}')").fetchall()
        there = {name: (kind, required) for _, name, kind, required, *_ in info}
        wanted = {column.name: column for column in table.columns}
        for name, (kind, required) in there.items():
            column = wanted.get(name)
            if required and (column is None or not column.required):
                yield f"ALTER COLUMN {quote(name)} DROP NOT NULL"
            if column is not None and kind != column.sql and _is_number(column.sql):
                yield f"ALTER COLUMN {quote(name)} SET DATA TYPE {column.sql}"
        for name in [n for n in wanted if n not in there]:
            yield f"ADD COLUMN {quote(name)} {wanted[name].sql}"

    def _seq(self, c: duckdb.DuckDBPyConnection) -> int:
        return _number(c, f"SELECT max(seq) FROM {quoted_table(self._progress)}")  # noqa: S608

    def _counts(self, c: duckdb.DuckDBPyConnection) -> dict[str, int]:
        return {t.name: _count(c, t.name) for t in self.tables}

    def _take(self, c: duckdb.DuckDBPyConnection, commit: DoneCommit) -> None:
        if commit.op == "compact":
            return
        for table in self.tables:
            if commit.op in _EVERYTHING:
                c.execute(f"DELETE FROM {quoted_table(table.name)}")  # noqa: S608
            files = commit.added.get(table.source, [])
            if table.window:
                self._replace_windows(c, table, files, commit.windows.get(table.name.split(".")[1]))
            elif files and table.latest is not None:
                self._latest(c, table, files)
            elif files:
                self._append(c, table, files)

    def _append(
        self, c: duckdb.DuckDBPyConnection, table: WarehouseTable, files: Sequence[str]
    ) -> None:
        new, names = _read(table, files), _names(table)
        if table.merge and _count(c, table.name):
            on = " AND ".join(f"t.{quote(m)} = n.{quote(m)}" for m in table.merge)
            c.execute(
                f"DELETE FROM {quoted_table(table.name)} t USING ({new}) n WHERE {on}"  # noqa: S608
            )
        c.execute(f"INSERT INTO {quoted_table(table.name)} ({names}) SELECT {names} FROM ({new})")  # noqa: S608

    def _latest(
        self, c: duckdb.DuckDBPyConnection, table: WarehouseTable, files: Sequence[str]
    ) -> None:
        """Recompute the touched keys from `processed_data`, which holds every landed row."""
        key, names = ", ".join(map(quote, table.merge)), _names(table)
        wanted = _read_columns(table, files, table.merge)
        target, rows = quoted_table(table.name), quoted_table(table.source)
        c.execute(
            f"CREATE TEMP TABLE touched AS SELECT {key}, count(*) AS n FROM ({wanted}) GROUP BY ALL"  # noqa: S608
        )
        if _count(c, table.name):
            c.execute(
                f"CREATE OR REPLACE TEMP TABLE touched AS SELECT {key}, count(*) AS n "  # noqa: S608
                f"FROM {rows} SEMI JOIN touched USING ({key}) GROUP BY ALL"
            )
            c.execute(
                f"DELETE FROM {target} USING touched WHERE "  # noqa: S608
                + " AND ".join(f"{target}.{quote(k)} = touched.{quote(k)}" for k in table.merge)
            )
        c.execute(
            f"INSERT INTO {target} ({names}) SELECT {names} FROM {rows} "  # noqa: S608
            f"SEMI JOIN (FROM touched WHERE n = 1) USING ({key})"
        )
        content = ", ".join(f"{quote(x.name)} := {quote(x.name)}" for x in table.columns)
        latest = f"{quote(table.latest or '')} DESC NULLS LAST"
        order = f"{latest}, sha256(to_json(struct_pack({content}))) DESC"
        c.execute(
            f"INSERT INTO {target} ({names}) SELECT {names} FROM {rows} "  # noqa: S608
            f"SEMI JOIN (FROM touched WHERE n > 1) USING ({key}) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        )
        c.execute("DROP TABLE touched")

    def _replace_windows(
        self,
        c: duckdb.DuckDBPyConnection,
        table: WarehouseTable,
        files: Sequence[str],
        windows: pa.Array | None,
    ) -> None:
        if windows is None or not len(windows):
            return
        c.register("touched_windows", pa.table({"window_start": windows}))
        c.execute(
            f"DELETE FROM {quoted_table(table.name)} "  # noqa: S608
            "WHERE window_start IN (SELECT window_start FROM touched_windows)"
        )
        if files:
            names = _names(table)
            c.execute(
                f"INSERT INTO {quoted_table(table.name)} ({names}) SELECT {names} "  # noqa: S608
                f"FROM ({_read(table, files)}) SEMI JOIN touched_windows USING (window_start)"
            )
        c.unregister("touched_windows")


def _is_number(sql: str) -> bool:
    return sql in ("BIGINT", "DOUBLE") or sql.startswith("DECIMAL")


def _count(c: duckdb.DuckDBPyConnection, table: str) -> int:
    return _number(c, f"SELECT count(*) FROM {quoted_table(table)}")  # noqa: S608


def _number(c: duckdb.DuckDBPyConnection, query: str) -> int:
    # Not `fetchone`: a result that is not fetched to its end blocks `register`.
    ((value,),) = c.execute(query).fetchall()
    return int(value or 0)


def _names(table: WarehouseTable) -> str:
    return ", ".join(quote(c.name) for c in table.columns)


def _read(table: WarehouseTable, files: Sequence[str]) -> str:
    return _read_columns(table, files, [c.name for c in table.columns])


def _read_columns(table: WarehouseTable, files: Sequence[str], names: Sequence[str]) -> str:
    """A query over data files that casts each column; one that no file has is null."""
    there = {n for f in files for n in pq.read_schema(_local(f)).names}
    sql = {c.name: c.sql for c in table.columns}
    columns = ", ".join(
        f"CAST({quote(n) if n in there else 'NULL'} AS {sql[n]}) AS {quote(n)}" for n in names
    )
    paths = ", ".join("'" + _local(f).replace("'", "''") + "'" for f in files)
    options = "union_by_name = true, hive_partitioning = false"
    return f"SELECT {columns} FROM read_parquet([{paths}], {options})"  # noqa: S608


def _local(uri: str) -> str:
    return uri.removeprefix("file://")
