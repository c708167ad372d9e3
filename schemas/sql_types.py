"""From the types of SQL results to the Arrow types that a lake column may have."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from schemas.names import TIMESTAMP

_PLAIN: Final = {
    "boolean": (pa.bool_(), "BOOLEAN"),
    "tinyint": (pa.int64(), "BIGINT"),
    "smallint": (pa.int64(), "BIGINT"),
    "integer": (pa.int64(), "BIGINT"),
    "bigint": (pa.int64(), "BIGINT"),
    "utinyint": (pa.int64(), "BIGINT"),
    "usmallint": (pa.int64(), "BIGINT"),
    "uinteger": (pa.int64(), "BIGINT"),
    "float": (pa.float64(), "DOUBLE"),
    "double": (pa.float64(), "DOUBLE"),
    "varchar": (pa.string(), "VARCHAR"),
    "uuid": (pa.string(), "VARCHAR"),
    "enum": (pa.string(), "VARCHAR"),
    "blob": (pa.binary(), "BLOB"),
    "date": (pa.date32(), "DATE"),
    "time": (pa.time64("us"), "TIME"),
    "timestamp": (pa.timestamp("us"), "TIMESTAMP"),
    "timestamp_s": (pa.timestamp("us"), "TIMESTAMP"),
    "timestamp_ms": (pa.timestamp("us"), "TIMESTAMP"),
    "timestamp with time zone": (TIMESTAMP, "TIMESTAMP WITH TIME ZONE"),
}


_SMALL: Final = {
    pa.int32(): ("INTEGER", {"tinyint", "smallint", "integer", "utinyint", "usmallint"}),
    pa.float32(): ("FLOAT", {"float"}),
}


def lake_type(sql_type: Any, expect: pa.DataType | None = None) -> tuple[pa.DataType, str] | None:
    """Return the Arrow type for a DuckDB result type and the SQL type to cast to.

    Where a small type is expected and fits, it is that one. Else only widening: integers become
    int64, floats float64. None for what could lose something or has no place in a lake table
    (HUGEINT, UBIGINT, TIMESTAMP_NS, INTERVAL, MAP, UNION, NULL ...).
    """
    if expect in _SMALL and sql_type.id in _SMALL[expect][1]:
        return expect, _SMALL[expect][0]
    if sql_type.id in _PLAIN:
        return _PLAIN[sql_type.id]
    if sql_type.id == "decimal":
        precision, scale = (int(value) for _, value in sql_type.children)
        return pa.decimal128(precision, scale), f"DECIMAL({precision},{scale})"
    if sql_type.id in ("list", "array"):
        items = lake_type(sql_type.children[0][1])
        return None if items is None else (pa.list_(items[0]), f"{items[1]}[]")
    return _struct(sql_type) if sql_type.id == "struct" else None


def _struct(sql_type: Any) -> tuple[pa.DataType, str] | None:
    known = [(name, lake_type(kind)) for name, kind in sql_type.children]
    fields = [(name, kind) for name, kind in known if kind is not None]
    if len(fields) < len(known):
        return None
    names = ", ".join(f"{quote(name)} {kind[1]}" for name, kind in fields)
    return pa.struct([(name, kind[0]) for name, kind in fields]), f"STRUCT({names})"


def quote(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
