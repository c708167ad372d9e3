"""Arrow rows as Avro data, a column at a time: each column's values as bytes, joined by row.

Encoding: Apache Avro 1.12 specification, "Binary encoding". A column that may be null is a union
of null and its type; semi-structured columns are JSON text.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import TIMESTAMP

_T: Final = pa.types
_VARINT_BYTES: Final = 10
_MILLIS: Final = pa.time32("ms")
_NULL, _THERE = b"\x00", b"\x02"  # branches 0 and 1 of a union


def avro_schema(name: str, namespace: str, fields: list[pa.Field]) -> dict[str, Any]:
    """Return the Avro schema of rows.

    Args:
        name: Of the record.
        namespace: Of the names in it.
        fields: Columns; nested records are named after their path.
    """
    return {"namespace": namespace, **_record(name, fields)}


def avro_texts(columns: list[pa.Array], fields: list[pa.Field], before: bytes = b"") -> pa.Array:
    """Return each row as an Avro datum of `avro_schema` (`pa.binary()`).

    Args:
        columns: Values, of types that cast to those of the fields.
        fields: As in the schema.
        before: What each datum begins with.
    """
    parts = [_maybe(values.cast(f.type), f) for values, f in zip(columns, fields, strict=True)]
    start = pa.repeat(pa.scalar(before, pa.binary()), len(columns[0]))
    return _joined(start, *parts)


def _record(name: str, fields: list[pa.Field]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [_field(f, f"{name}_{f.name}") for f in fields],
    }


def _field(field: pa.Field, path: str) -> dict[str, Any]:
    kind = _type(field.type, path)
    if not field.nullable:
        return {"name": field.name, "type": kind}
    return {"name": field.name, "type": ["null", kind], "default": None}


def _type(kind: pa.DataType, path: str) -> Any:  # a line a type
    if _T.is_struct(kind):
        return _record(path, [kind.field(i) for i in range(kind.num_fields)])
    if _T.is_map(kind):
        return {"type": "map", "values": _field(kind.item_field, f"{path}_value")["type"]}
    if _T.is_list(kind):
        return {"type": "array", "items": _field(kind.value_field, f"{path}_item")["type"]}
    if _T.is_timestamp(kind):
        local = "" if kind.tz else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-micros"}
    if _T.is_date(kind):
        return {"type": "int", "logicalType": "date"}
    if _T.is_time(kind):
        return {"type": "long", "logicalType": "time-micros"}
    if _T.is_decimal(kind):
        about = {"precision": kind.precision, "scale": kind.scale}
        return {"type": "bytes", "logicalType": "decimal", **about}
    if _T.is_integer(kind):
        return "int" if kind.bit_width < 64 and kind != pa.uint32() else "long"
    if _T.is_floating(kind):
        return "float" if kind == pa.float32() else "double"
    if _T.is_boolean(kind):
        return "boolean"
    return "bytes" if _T.is_binary(kind) or _T.is_fixed_size_binary(kind) else "string"


def _maybe(values: pa.Array, field: pa.Field) -> pa.Array:
    """Return the bytes of values that may be null, if the field says so."""
    found = _bytes(values)
    if not field.nullable:
        return found
    branch = pc.if_else(values.is_valid(), pa.scalar(_THERE), pa.scalar(_NULL))
    return _joined(branch, pc.if_else(values.is_valid(), found, pa.scalar(b"")))


def _bytes(values: pa.Array) -> pa.Array:
    """Return the bytes of each value; of nulls those of any value."""
    kind = values.type
    if _T.is_struct(kind):
        parts = [_maybe(child, kind.field(i)) for i, child in enumerate(values.flatten())] or [
            pa.repeat(pa.scalar(b""), len(values))
        ]
        return _joined(*parts)
    if _T.is_map(kind) or _T.is_list(kind):
        return _blocks(values)
    if _T.is_timestamp(kind):
        return _longs(values.cast(TIMESTAMP if kind.tz else pa.timestamp("us")).cast(pa.int64()))
    if _T.is_date(kind):
        return _longs(values.cast(pa.date32()).cast(pa.int32()))
    if _T.is_time(kind):
        return _longs(values.cast(pa.time64("us")).cast(pa.int64()))
    if _T.is_decimal(kind):
        return _sized(_twos(values))
    if _T.is_integer(kind):
        return _longs(values)
    if _T.is_floating(kind):
        size = kind.bit_width // 8
        return _fixed(np.ascontiguousarray(_numbers(values)).astype(f"<f{size}"), size)
    if _T.is_boolean(kind):
        return _fixed(_numbers(values.cast(pa.uint8())), 1)
    return _sized(values.cast(pa.binary()))


def _blocks(values: pa.Array) -> pa.Array:
    """Arrays and maps: a count and so many entries, then 0."""
    kind = values.type
    if _T.is_map(kind):
        key = pa.field("key", kind.key_type, nullable=False)
        entry = pa.struct([key, kind.item_field.with_name("value")])
        values = values.cast(pa.list_(entry))
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    entries = values.flatten()
    items = _bytes(entries) if _T.is_map(kind) else _maybe(entries, kind.value_field)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items), b"")
    some = pa.array(lengths > 0)
    count = pc.if_else(some, _longs(pa.array(lengths)), pa.scalar(b""))
    return _joined(count, joined, pa.repeat(pa.scalar(b"\0"), len(values)))


def _longs(values: pa.Array) -> pa.Array:
    """Integers, the sign in the lowest bit, 7 bits a byte."""
    signed = _numbers(values).astype(np.int64)
    left = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    matrix = np.empty((len(left), _VARINT_BYTES), np.uint8)
    length = np.ones(len(left), np.int64)
    for i in range(_VARINT_BYTES):
        more = left >= 0x80
        matrix[:, i] = (left & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        length += more
        left = left >> np.uint64(7)
        if not more.any():
            break
    there = np.arange(_VARINT_BYTES) < length[:, None]
    return _binary(matrix[there], length)


def _fixed(numbers: np.ndarray, size: int) -> pa.Array:
    data = numbers.view(np.uint8)
    return _binary(data, np.full(len(data) // size, size))


def _binary(data: np.ndarray, lengths: np.ndarray) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)


def _sized(values: pa.Array) -> pa.Array:
    values = pc.fill_null(values, b"")
    return _joined(_longs(pc.binary_length(values)), values)


def _numbers(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, 0).to_numpy(zero_copy_only=False)


def _twos(values: pa.Array) -> pa.Array:
    """Return unscaled decimals as two's complement, the highest byte first."""
    size = values.type.bit_width // 8
    data = np.frombuffer(values.buffers()[1] or b"", np.uint8)
    own = data[values.offset * size : (values.offset + len(values)) * size]
    return _fixed(np.ascontiguousarray(own.reshape(-1, size)[:, ::-1]).ravel(), size)


def _joined(*parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, b"")
