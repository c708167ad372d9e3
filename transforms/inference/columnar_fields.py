"""Fields of Parquet and Avro records: types as the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import POSITION, SEQUENCE, TIMESTAMP
from transforms.decode.arrow_types import (
    is_bytes,
    is_uuid_bytes,
    look_like_uuids,
    micros,
    simple,
    uuid_texts,
)
from transforms.decode.casts import Cast, isolate, known
from transforms.decode.nested import to_json
from transforms.inference.fields import Field, Kind
from transforms.inference.json_fields import json_text_fields, object_field
from transforms.sources.blocks import Block

_T: Final[Any] = pa.types
_TESTS: Final = (
    (_T.is_null, Kind.NOTHING),
    (_T.is_boolean, Kind.BOOLEAN),
    (_T.is_integer, Kind.INTEGER),
    (_T.is_floating, Kind.NUMBER),
    (_T.is_decimal, Kind.DECIMAL),
    (_T.is_date, Kind.DATE),
    (_T.is_time, Kind.TIME),
    (_T.is_timestamp, Kind.TIMESTAMP),
    (_T.is_string, Kind.TEXT),
)
_DIGITS: Final = 38
_SEEN: Final = 20
"""Values of 16 bytes that must all look like UUIDs to be taken for them."""


def columnar_fields(blocks: Sequence[Block]) -> tuple[tuple[Field, ...], int, int]:
    """Return the fields, how many rows there are, and how many are broken: none."""
    batches = [block.data for block in blocks if isinstance(block.data, pa.RecordBatch)]
    table = pa.Table.from_batches([b for b in batches if b.schema.equals(batches[0].schema)])
    names = [name for name in table.column_names if name not in (POSITION, SEQUENCE)]
    return tuple(_column(name, table[name]) for name in names), table.num_rows, 0


def _column(name: str, column: pa.ChunkedArray) -> Field:
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    known = len(values) - values.null_count
    if is_uuid_bytes(values.type) and known >= _SEEN and look_like_uuids(values):
        note = "UUIDs of 16 bytes"
        return Field(name, Kind.TEXT, len(values), values.null_count, uuid_texts(values), note=note)
    return _field(name, values)


def _field(name: str, values: pa.Array) -> Field:
    field = Field(name, Kind.OTHER, len(values), values.null_count)
    found = simple(values)
    if _T.is_map(found.type):
        return _map(field, found)
    if _T.is_struct(found.type):
        parts = zip(found.type, found.flatten(), strict=True)
        children = tuple(_field(part.name, inner) for part, inner in parts)
        return object_field(field, children, field.rows - field.nulls)
    if _T.is_list(found.type):
        return replace(field, kind=Kind.ARRAY, items=_items(found.flatten()))
    found, note = _as_read(found)
    for test, what in _TESTS:
        if test(found.type):
            return replace(field, kind=what, values=found, note=note)
    told = ", and no UTF-8 text" if is_bytes(found.type) else ""
    must = "no type of a contract takes it: write it as text or numbers, or do without"
    return replace(field, note=f"it is of type {values.type}{told}; {must}")


def _items(values: pa.Array) -> Field | None:
    """Return what lists hold; None if no contract can say it."""
    items = _field("element", values)
    if items.kind in (Kind.TEXT, Kind.NOTHING):
        return Field(items.key, Kind.TEXT, 0, 0)
    if items.kind is Kind.OTHER or (items.kind is Kind.ARRAY and items.items is None):
        return None
    return items


def _as_read(values: pa.Array) -> tuple[pa.Array, str]:  # a line a type
    """Return scalars as decode reads them, null where it reads none, and what is to be said."""
    kind = values.type
    if is_bytes(kind):
        try:
            return values.cast(pa.binary()).cast(pa.string()), ""
        except pa.ArrowInvalid:
            return values, ""
    if _T.is_decimal256(kind):
        return _narrowed(values)
    if _T.is_floating(kind):
        others = len(values) - values.null_count - pc.sum(pc.is_finite(values), min_count=0).as_py()
        return values, f"{others:,} values are no finite numbers: refused" if others else ""
    if _T.is_duration(kind):
        read = isolate(lambda part: micros(part)[0], values, pa.duration("us"))
        return read.values.cast(pa.int64()), "a duration, as microseconds"
    if _T.is_date(kind):
        return known(Cast(values, None)).values, ""
    if not (_T.is_timestamp(kind) or (_T.is_time(kind) and kind.unit == "ns")):
        return values, ""
    cut = micros(values)[1] if kind.unit == "ns" else None
    note = "" if cut is None else "nanoseconds: digits below a microsecond are cut"
    if _T.is_time(kind):
        return micros(values)[0], note
    wanted = TIMESTAMP if kind.tz else pa.timestamp("us")  # others know no zone such as +02:00
    read = isolate(lambda part: micros(part)[0].cast(wanted), values, wanted)
    return known(read).values, note


def _narrowed(values: pa.Array) -> tuple[pa.Array, str]:
    scale = values.type.scale
    if 0 <= scale <= _DIGITS:
        try:
            return values.cast(pa.decimal128(_DIGITS, scale)), ""
        except pa.ArrowInvalid:
            pass
    return values.cast(pa.float64()), f"more than {_DIGITS} digits: the nearest doubles"


def _map(field: Field, values: pa.Array) -> Field:
    """Look at maps as decode does, as JSON texts: open objects, whatever keys there are."""
    texts = to_json(values)
    fields, _, _ = json_text_fields(pc.binary_join_element_wise('{"v":', texts, "}", ""))
    if not fields:
        return replace(field, kind=Kind.NOTHING)
    found = replace(fields[0], key=field.key, rows=field.rows, nulls=field.nulls)
    return found if found.kind is not Kind.OBJECT else replace(found, regular=False, texts=texts)
