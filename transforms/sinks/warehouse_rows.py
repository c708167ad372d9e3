"""Rows of one commit put into one warehouse table: appended, newest by key, or by whole windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from schemas.ddl import WarehouseTable, quote, quoted_table, text
from transforms.commit.follow import BY_WINDOW, DoneCommit
from transforms.sinks.warehouse_shape import Footers, local


def take(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, commit: DoneCommit, footers: Footers
) -> None:
    """Put into the table what the commit did to the lake's table that it follows.

    Args:
        c: Open, in a transaction.
        table: With the types that it has now.
        commit: Of op append, replay, refresh, rebuild or everything.
        footers: Schemas of the commit's files.
    """
    files = commit.added.get(table.source, [])
    name = table.name.partition(".")[2]
    if table.window and commit.op in BY_WINDOW:
        if name in commit.stretches:
            _replace_stretches(c, table, files, commit.stretches[name], footers)
        elif len(windows := commit.windows.get(name, ())):
            _replace_windows(c, table, files, windows, footers)
        return
    gone = commit.replaced.get(table.source, [])
    if gone and commit.op in BY_WINDOW and table.merge:
        _take_out(c, table, gone, footers)
    # Another commit takes out all of a table's files or none.
    elif gone or (table.window and commit.op == "rebuild"):
        c.execute(f"DELETE FROM {quoted_table(table.name)}")  # noqa: S608
    if files and table.latest is not None:
        _latest(c, table, files, footers)
    elif files:
        _append(c, table, files, footers)


def counts(c: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> dict[str, int]:
    """Return the rows of each table."""
    queries = [f"SELECT {text(t)}, count(*) FROM {quoted_table(t)}" for t in tables]  # noqa: S608
    return dict(c.execute(" UNION ALL ".join(queries)).fetchall()) if queries else {}


def _take_out(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, files: Sequence[str], footers: Footers
) -> None:
    on = " AND ".join(f"t.{quote(m)} = n.{quote(m)}" for m in table.merge)
    keys = _read(table, files, footers, table.merge)
    c.execute(
        f"DELETE FROM {quoted_table(table.name)} t USING ({keys}) n WHERE {on}"  # noqa: S608
    )


def _append(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, files: Sequence[str], footers: Footers
) -> None:
    new, names = _read(table, files, footers), _names(table)
    if table.merge and counts(c, [table.name])[table.name]:
        _take_out(c, table, files, footers)
    c.execute(f"INSERT INTO {quoted_table(table.name)} ({names}) SELECT {names} FROM ({new})")  # noqa: S608


def _latest(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, files: Sequence[str], footers: Footers
) -> None:
    """Recompute the touched keys from `processed_data`, which holds every landed row."""
    key, names = ", ".join(map(quote, table.merge)), _names(table)
    wanted = _read(table, files, footers, table.merge)
    target, rows = quoted_table(table.name), quoted_table(table.source)
    c.execute(
        f"CREATE TEMP TABLE touched AS SELECT {key}, count(*) AS n FROM ({wanted}) GROUP BY ALL"  # noqa: S608
    )
    if counts(c, [table.name])[table.name]:
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
    c: duckdb.DuckDBPyConnection,
    table: WarehouseTable,
    files: Sequence[str],
    windows: pa.Array,
    footers: Footers,
) -> None:
    c.register("touched_windows", pa.table({"window_start": windows}))
    c.execute(
        f"DELETE FROM {quoted_table(table.name)} "  # noqa: S608
        "WHERE window_start IN (SELECT window_start FROM touched_windows)"
    )
    if files:
        names = _names(table)
        c.execute(
            f"INSERT INTO {quoted_table(table.name)} ({names}) SELECT {names} "  # noqa: S608
            f"FROM ({_read(table, files, footers)}) SEMI JOIN touched_windows USING (window_start)"
        )
    c.unregister("touched_windows")


def _replace_stretches(
    c: duckdb.DuckDBPyConnection,
    table: WarehouseTable,
    files: Sequence[str],
    stretches: pa.Table,
    footers: Footers,
) -> None:
    c.register("touched", stretches)
    inside = "EXISTS (FROM touched WHERE window_start BETWEEN touched.first AND touched.last)"
    c.execute(f"DELETE FROM {quoted_table(table.name)} WHERE {inside}")  # noqa: S608
    if files:
        names = _names(table)
        c.execute(
            f"INSERT INTO {quoted_table(table.name)} ({names}) SELECT {names} "  # noqa: S608
            f"FROM ({_read(table, files, footers)}) WHERE {inside}"
        )
    c.unregister("touched")


def _names(table: WarehouseTable) -> str:
    return ", ".join(quote(c.name) for c in table.columns)


def _read(
    table: WarehouseTable,
    files: Sequence[str],
    footers: Footers,
    names: Sequence[str] | None = None,
) -> str:
    """A query over data files that casts each column; one that no file has is null."""
    there = {n for f in files for n in footers[f].names}
    columns = ", ".join(
        f"CAST({quote(c.name) if c.name in there else 'NULL'} AS {c.sql}) AS {quote(c.name)}"
        for c in table.columns
        if names is None or c.name in names
    )
    paths = ", ".join(text(local(f)) for f in files)
    options = "union_by_name = true, hive_partitioning = false"
    return f"SELECT {columns} FROM read_parquet([{paths}], {options})"  # noqa: S608
