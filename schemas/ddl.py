"""DDL of a plan's warehouse tables: functions from plan to text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from schemas.contract import Column, Protection
from schemas.names import POSITION, POSITION_NAMES, SEQUENCE, SOURCE
from schemas.plan import Plan, Table

SAID: Final = ("UUID", "JSON")
"""SQL types that the contract says a text has; the lake holds the text."""


@dataclass(frozen=True)
class WarehouseColumn:
    """A column of a warehouse table: its name, Arrow type in the lake and SQL type there."""

    name: str
    arrow: pa.DataType
    sql: str
    required: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class WarehouseTable:
    """A table of the warehouse.

    Attributes:
        name: Full name, `schema.table`.
        source: Full name of the lake table whose commits it follows.
        columns: In order.
        merge: Columns by which an arriving row replaces the one that is there; empty: appended.
        latest: Column that decides which of two rows with equal `merge` stays (the greatest).
        window: Whether rows are replaced by whole windows (`window_start`).
        about: What a row is.
    """

    name: str
    source: str
    columns: tuple[WarehouseColumn, ...]
    merge: tuple[str, ...] = ()
    latest: str | None = None
    window: bool = False
    about: str = ""

    @property
    def schema(self) -> str:
        """Schema part of the name."""
        return self.name.partition(".")[0]


def quote(name: str) -> str:
    """Quote an identifier; works in every SQL dialect we write."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(name: str) -> str:
    """Quote a full table name, part by part."""
    return ".".join(map(quote, name.split(".", 1)))


def duckdb_type(arrow: pa.DataType, column: Column | None = None) -> str:
    """Return the DuckDB type of an Arrow type; a contract column may say more (UUID, JSON)."""
    if column is not None and pa.types.is_string(arrow):
        if column.open:
            return "JSON"
        uuid = any(r.kind == "format" and r.value == "uuid" and r.refuse for r in column.rules)
        if uuid and column.protect in (Protection.KEEP, Protection.DROP):
            return "UUID"
    return _duckdb_type(arrow)


_SIMPLE = {
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}


def _duckdb_type(arrow: pa.DataType) -> str:
    if arrow in _SIMPLE:
        return _SIMPLE[arrow]
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    if pa.types.is_struct(arrow):
        return "STRUCT(" + ", ".join(f"{quote(f.name)} {_duckdb_type(f.type)}" for f in arrow) + ")"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"{_duckdb_type(arrow.value_type)}[]"
    if pa.types.is_dictionary(arrow):
        return _duckdb_type(arrow.value_type)
    msg = f"a warehouse column must have a type we can map; got {arrow}; change the contract"
    raise TypeError(msg)


def warehouse_tables(plan: Plan, lake: Mapping[str, Table]) -> tuple[WarehouseTable, ...]:
    """Return the tables that the warehouse of a plan holds, in load order.

    Args:
        plan: Whose.
        lake: All tables of the pipeline in the lake by full name, operations tables included.
    """
    contract = {c.name: c for c in plan.contract.columns}

    def columns(name: str, *, without: tuple[str, ...] = ()) -> tuple[WarehouseColumn, ...]:
        told = {} if name.startswith("operations.") else contract
        return tuple(
            _column(f, told.get(f.name)) for f in lake[name].schema if f.name not in without
        )

    def follows(name: str, about: str, *, merge: tuple[str, ...] = ()) -> WarehouseTable:
        return WarehouseTable(
            name=name, source=name, columns=columns(name), merge=merge, about=about
        )

    place = (SOURCE, POSITION, SEQUENCE)
    key, event_time = plan.contract.primary_key, plan.contract.event_time_column
    each = f"{', '.join(key)}: the greatest {event_time}" if key else "kept position"
    fact = WarehouseTable(
        name=f"analytics.fact_{plan.name}",
        source=plan.processed,
        columns=columns(plan.processed, without=POSITION_NAMES),
        merge=key,
        latest=event_time if key else None,
        about=f"one row per {each}",
    )
    aggregates = [
        WarehouseTable(
            name=f"analytics.{a.name}",
            source=f"analytics.{a.name}",
            columns=columns(f"analytics.{a.name}"),
            window=True,
            about="one row per window and group",
        )
        for a in plan.aggregates
    ]
    operations = [
        follows(plan.operations("refused"), "one row per refused record", merge=place),
        follows(plan.operations("ledger"), "one row per commit, source, destiny, step and rule"),
        follows(plan.operations("runs"), "one row per run that changed the lake"),
        follows(plan.operations("sources"), "one row per source, as last read"),
        follows(plan.operations("removed"), "one row per range of positions that was erased"),
    ]
    kept = follows(plan.processed, "one row per kept position", merge=place)
    return (kept, fact, *aggregates, *operations)


def commits_table(plan: Plan, lake: Mapping[str, Table]) -> WarehouseTable:
    """Return the warehouse's `_commits`: the done commits, without what only the lake can use."""
    name = plan.operations("commits")
    wanted = ("seq", "commit_id", "run_id", "op", "at", "totals")
    columns = tuple(_column(lake[name].schema.field(n), None) for n in wanted)
    return WarehouseTable(name=name, source=name, columns=columns, about="one row per done commit")


def _column(field: pa.Field, told: Column | None) -> WarehouseColumn:
    return WarehouseColumn(
        field.name,
        field.type,
        duckdb_type(field.type, told),
        not field.nullable,
        told.description if told is not None else "",
    )


def create_table(table: WarehouseTable) -> str:
    """Return the DuckDB statements that make a table, with what the contract says of it."""
    lines = [
        f"    {quote(c.name)} {c.sql}{' NOT NULL' if c.required else ''}" for c in table.columns
    ]
    name = quoted_table(table.name)
    made = f"CREATE TABLE {name} (\n" + ",\n".join(lines) + "\n)"
    about = [f"COMMENT ON TABLE {name} IS {text(table.about)}"] if table.about else []
    said = [comment(table, c) for c in table.columns if c.description]
    return ";\n".join([made, *about, *said])


def comment(table: WarehouseTable, column: WarehouseColumn) -> str:
    """Return the statement that puts a column's description into the database."""
    name = f"{quoted_table(table.name)}.{quote(column.name)}"
    return f"COMMENT ON COLUMN {name} IS {text(column.description)}"


def text(value: str) -> str:
    """Quote a text as a literal."""
    return "'" + value.replace("'", "''") + "'"
