"""Avro schemas as Arrow schemas."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from schemas.names import POSITION, SEQUENCE, TIMESTAMP

_PRIMITIVES: Final = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
    "fixed": pa.binary(),
}
_LOGICAL: Final = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": TIMESTAMP,
    "timestamp-micros": TIMESTAMP,
    "local-timestamp-millis": pa.timestamp("us"),
    "local-timestamp-micros": pa.timestamp("us"),
    "uuid": pa.string(),
}


class AvroTypeError(ValueError):
    """A type of an Avro schema that no column can have.

    Attributes:
        got: What it is, and where.
        remedy: What to write instead.
    """

    def __init__(self, got: str, remedy: str) -> None:
        """Keep both."""
        super().__init__(got)
        self.got, self.remedy = got, remedy


def arrow_schema(schema: Any) -> pa.Schema:
    """Return the Arrow schema of a parsed Avro record schema (fields named `_position` left out).

    Raises:
        AvroTypeError: If it is no record, is recursive, or has a union of several types.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        got, remedy = "records of another type", "write each as a record"
        raise AvroTypeError(got, remedy)
    fields = arrow_type(schema, {}).fields
    return pa.schema([f for f in fields if f.name not in (POSITION, SEQUENCE)])


def arrow_type(  # a line a type
    schema: Any, named: dict[str, pa.DataType | None], path: str = ""
) -> pa.DataType:
    """Return the Arrow type of an Avro type; `named` holds the types met before."""
    if isinstance(schema, str):
        return _named(schema, named, path)
    if isinstance(schema, list):
        some = [s for s in schema if s != "null"]
        if len(some) > 1:
            kinds = ", ".join(_kind(one) for one in some)
            got = f"`{path}` of the union {kinds}"
            raise AvroTypeError(
                got, "write each of its types as a field of its own, or all as text"
            )
        return arrow_type(some[0] if some else "null", named, path)
    logical, kind = schema.get("logicalType"), schema["type"]
    if logical == "decimal":
        return pa.decimal128(schema["precision"], schema.get("scale", 0))
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if kind == "array":
        return pa.list_(arrow_type(schema["items"], named, f"{path}[]"))
    if kind == "map":
        return pa.map_(pa.string(), arrow_type(schema["values"], named, path))
    if kind == "record":
        named[schema["name"]] = None
        inside = f"{path}." if path else ""
        fields = [
            pa.field(f["name"], arrow_type(f["type"], named, inside + f["name"]))
            for f in schema["fields"]
        ]
        named[schema["name"]] = pa.struct(fields)
        return named[schema["name"]]
    found = arrow_type(kind, named, path)
    if "name" in schema:
        named[schema["name"]] = found
    return found


def _kind(schema: Any) -> str:
    if isinstance(schema, str):
        return schema
    return str(schema.get("logicalType") or schema.get("name") or schema["type"])


def _named(name: str, named: dict[str, pa.DataType | None], path: str) -> pa.DataType:
    found = _PRIMITIVES.get(name) or named.get(name)
    if found is None:
        got = f"`{path}` of the type {name} that it is in itself"
        raise AvroTypeError(got, "write it as JSON text")
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as Arrow takes it: UUIDs as text, maps as pairs."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
