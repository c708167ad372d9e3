"""Batches made to fit a table's Arrow schema: columns by name, in order, with field ids."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def fitted(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with exactly the schema's columns.

    A dictionary encoded string column stays encoded: Parquet takes it faster and reads it back
    as plain strings. A column that is not there is null.

    Args:
        rows: Columns that the schema does not name are left out.
        schema: Fields with Parquet field ids in their metadata.

    Raises:
        ArrowInvalid: A value does not fit its column's type.
    """
    arrays, fields = [], []
    there = set(rows.schema.names)
    for field in schema:
        if field.name not in there:
            column: pa.Array | pa.ChunkedArray = pa.nulls(rows.num_rows, field.type)
        else:
            column = _as(rows[field.name], field.type)
        arrays.append(column)
        # Types compare without metadata, and the field's own carries the ids of nested fields.
        fields.append(field if column.type == field.type else field.with_type(column.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _as(column: pa.Array | pa.ChunkedArray, wanted: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(column.type) and column.type.value_type == wanted:
        return column
    return pc.cast(column, wanted)
