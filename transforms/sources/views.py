"""Views of texts, bytes and lists as plain ones: Arrow 25 takes no rows of them, or crashes."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_T: Final = pa.types


def schema_without_views(schema: pa.Schema) -> pa.Schema:
    """Return a schema without types that are views, or hold some; the same if none does."""
    fields = [_plain_field(field) for field in schema]
    if all(new is old for new, old in zip(fields, schema, strict=True)):
        return schema
    return pa.schema(fields, schema.metadata)


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch without columns that are views, or hold some."""
    wanted = schema_without_views(batch.schema)
    if wanted is batch.schema:
        return batch
    columns = [values_without_views(column) for column in batch.columns]
    return pa.record_batch(columns, schema=wanted)


def _plain_field(field: pa.Field) -> pa.Field:
    plain = _plain_type(field.type)
    return field if plain is field.type else field.with_type(plain)


def _plain_type(kind: pa.DataType) -> pa.DataType:  # a line a type
    """Return the same object if there is nothing to change."""
    if _T.is_string_view(kind):
        return pa.string()
    if _T.is_binary_view(kind):
        return pa.binary()
    if not _T.is_nested(kind):
        return kind
    old = [kind.field(i) for i in range(kind.num_fields)]
    inner = [_plain_field(field) for field in old]
    view = _T.is_list_view(kind) or _T.is_large_list_view(kind)
    if not view and all(a is b for a, b in zip(inner, old, strict=True)):
        return kind
    if _T.is_struct(kind):
        return pa.struct(inner)
    if _T.is_map(kind):
        entry = inner[0].type
        return pa.map_(entry.field(0), entry.field(1), kind.keys_sorted)
    return pa.list_(inner[0])


def values_without_views(values: pa.Array) -> pa.Array:
    """Return values of a type that is no view and holds none."""
    kind = values.type
    wanted = _plain_type(kind)
    if wanted is kind:
        return values
    if not _T.is_nested(kind):
        return values.cast(wanted)
    absent = values.is_null()
    if _T.is_struct(kind):
        parts = [values_without_views(part) for part in values.flatten()]
        return pa.StructArray.from_arrays(parts, fields=list(wanted), mask=absent)
    if _T.is_map(kind):
        values = values.cast(pa.list_(kind.field(0)))
    # Arrow's own cast of list views makes lists with an offset too few.
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
    inner = values_without_views(values.flatten())
    if _T.is_map(kind):
        return pa.MapArray.from_arrays(offsets, *inner.flatten(), type=wanted, mask=absent)
    return pa.ListArray.from_arrays(offsets, inner, type=wanted, mask=absent)
