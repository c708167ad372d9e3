"""DDL of a plan's warehouse tables: functions from plan to text."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.contract import Column, Protection
from schemas.names import POSITION_NAMES
from schemas.plan import Plan


@dataclass(frozen=True)
class WarehouseColumn:
    """A column of a warehouse table: its name, Arrow type in the lake and SQL type there."""

    name: str
    arrow: pa.DataType
    sql: str
    required: bool = False


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
    """

    name: str
    source: str
    columns: tuple[WarehouseColumn, ...]
    merge: tuple[str, ...] = ()
    latest: str | None = None
    window: bool = False

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
    if column is not None and column.protect in (Protection.KEEP, Protection.DROP):
        if column.open:
            return "JSON"
        if any(r.kind == "format" and r.value == "uuid" and r.refuse for r in column.rules):
            return "UUID"
    elif column is not None and column.open:
        return "JSON"
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
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
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


def warehouse_tables(plan: Plan) -> tuple[WarehouseTable, ...]:
    """Return the tables that the warehouse of a plan holds, in load order."""
    contract = {c.name: c for c in plan.contract.columns}

    def columns(lake: str, *, positions: bool) -> tuple[WarehouseColumn, ...]:
        return tuple(
            WarehouseColumn(
                f.name, f.type, duckdb_type(f.type, contract.get(f.name)), not f.nullable
            )
            for f in plan.tables[lake].schema
            if positions or f.name not in POSITION_NAMES
        )

    place = ("_source", "_position", "_sequence")
    processed = plan.processed
    key = plan.contract.primary_key
    event_time = plan.contract.event_time_column
    tables = [
        WarehouseTable(
            name=processed,
            source=processed,
            columns=columns(processed, positions=True),
            merge=place,
        ),
        WarehouseTable(
            name=f"analytics.fact_{plan.name}",
            source=processed,
            columns=columns(processed, positions=False),
            merge=key,
            latest=event_time if key else None,
        ),
    ]
    tables += [
        WarehouseTable(
            name=f"analytics.{a.name}",
            source=f"analytics.{a.name}",
            columns=columns(f"analytics.{a.name}", positions=True),
            window=True,
        )
        for a in plan.aggregates
    ]
    return tuple(tables)


def create_table(table: WarehouseTable) -> str:
    """Return the DuckDB statement that makes a table if it is not there."""
    lines = [
        f"    {quote(c.name)} {c.sql}{' NOT NULL' if c.required else ''}" for c in table.columns
    ]
    return f"CREATE TABLE IF NOT EXISTS {quoted_table(table.name)} (\n" + ",\n".join(lines) + "\n)"
