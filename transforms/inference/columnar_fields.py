"""Fields of Parquet and Avro records: types as the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import POSITION, SEQUENCE
from transforms.decode.nested import to_json
from transforms.inference.fields import Field, Kind
from transforms.inference.json_fields import json_text_fields
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
)


def columnar_fields(blocks: Sequence[Block]) -> tuple[tuple[Field, ...], int, int]:
    """Return the fields, how many rows there are, and how many are broken: none."""
    batches = [block.data for block in blocks if isinstance(block.data, pa.RecordBatch)]
    table = pa.Table.from_batches([b for b in batches if b.schema.equals(batches[0].schema)])
    names = [name for name in table.column_names if name not in (POSITION, SEQUENCE)]
    return tuple(_field(name, table[name]) for name in names), table.num_rows, 0


def _field(name: str, column: pa.ChunkedArray) -> Field:
    kind = column.type
    if _T.is_dictionary(kind):
        return _field(name, column.cast(kind.value_type))
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    field = Field(name, Kind.OTHER, len(values), values.null_count, values)
    for test, what in _TESTS:
        if test(kind):
            return replace(field, kind=what)
    if _T.is_string(kind) or _T.is_large_string(kind) or _T.is_string_view(kind):
        return replace(field, kind=Kind.TEXT, values=values.cast(pa.string()))
    if _T.is_nested(kind):
        return _nested(field, values)
    if _T.is_binary(kind) or _T.is_large_binary(kind) or _T.is_fixed_size_binary(kind):
        return _bytes(field, values)
    return replace(field, values=None)


def _bytes(field: Field, values: pa.Array) -> Field:
    try:
        return replace(field, kind=Kind.TEXT, values=values.cast(pa.binary()).cast(pa.string()))
    except pa.ArrowInvalid:
        return replace(field, values=None)


def _nested(field: Field, values: pa.Array) -> Field:
    """Look at structs, maps and lists as decode does: as JSON texts."""
    texts = pc.binary_join_element_wise('{"v":', to_json(values), "}", "")
    fields, _, _ = json_text_fields(texts)
    if not fields:
        return replace(field, kind=Kind.NOTHING, values=None)
    return replace(fields[0], key=field.key, rows=field.rows, nulls=field.nulls)
