"""Records as lines of JSON or CSV, each a value of an Arrow array with its line end."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from schemas.plan import FileSource

_DATE: Final = 10
_NOT_PADDED: Final = re.compile("(%%)|%-")
_OPEN, _CLOSE = "\ue000", "\ue001"  # of the private use area: no made-up text has them


def json_lines(table: pa.Table, contract: Contract) -> pa.LargeBinaryArray:
    """Write records as JSON objects, one a line."""
    out = io.BytesIO()
    _frame(keyed(as_written(table, contract), contract)).write_ndjson(out)
    return _lines(_unmarked(out.getvalue()))


def csv_lines(table: pa.Table, contract: Contract, source: FileSource) -> pa.LargeBinaryArray:
    """Write records as lines of CSV without a header, as a source reads them.

    Objects and arrays are JSON text. Fields that no column is read from are empty.
    """
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    exact = [f.name for f in table.schema if pa.types.is_decimal(f.type)]
    written = nested_as_json(table, contract, nested)
    for name in exact:
        at = written.schema.get_field_index(name)
        text = pc.replace_substring(table[name].cast(pa.string()), ".", source.written.decimal)
        written = written.set_column(at, name, text)
    frame = _frame(keyed(as_written(written, contract), contract))
    if source.names:
        known = (pl.col(n) if n in frame.columns else pl.lit(None).alias(n) for n in source.names)
        frame = frame.select(known)
    text = frame.write_csv(
        include_header=False,
        separator=source.delimiter,
        decimal_comma=source.written.decimal == ",",
    )
    return _lines(text.encode())


def csv_header(names: Sequence[str], delimiter: str) -> bytes:
    """Return the line that names the columns."""
    return pl.DataFrame(schema=list(names)).write_csv(separator=delimiter).encode()


def nested_as_json(table: pa.Table, contract: Contract, names: Collection[str]) -> pa.Table:
    """Return the table with JSON text in the place of some objects and arrays."""
    written = as_written(table.select(list(names)), contract)
    for name in names:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, _json_texts(written[name]))
    return table


def as_written(table: pa.Table, contract: Contract) -> pa.Table:
    """Return the records with dates and times as the text that the contract reads.

    Exact numbers are text between marks, as Polars would put them in quotes.
    """
    columns = {column.name: column for column in contract.columns}
    arrays = [_as_text(table[n].combine_chunks(), columns[n]) for n in table.column_names]
    return pa.table(arrays, table.column_names)


def keyed(table: pa.Table, contract: Contract) -> pa.Table:
    """Return the table with its columns under the names that they have in records."""
    keys = {column.name: column.key for column in contract.columns}
    return table.rename_columns([keys[name] for name in table.column_names])


def _as_text(values: pa.Array, column: Column | None) -> pa.Array:
    kind = values.type
    if pa.types.is_struct(kind):
        children = {child.name: child for child in column.children} if column else {}
        arrays = [
            _as_text(a, children.get(f.name)) for f, a in zip(kind, _fields(values), strict=True)
        ]
        return pa.StructArray.from_arrays(arrays, [f.name for f in kind], mask=values.is_null())
    if pa.types.is_list(kind):
        inner = _as_text(values.values, column.items if column else None)
        return pa.ListArray.from_arrays(values.offsets, inner, mask=values.is_null())
    if pa.types.is_decimal(kind):
        return pc.binary_join_element_wise(_OPEN, values.cast(pa.string()), _CLOSE, "")
    if not pa.types.is_temporal(kind):
        return values
    if column is not None and column.formats:
        return _strftime(values, column)
    if not pa.types.is_timestamp(kind):
        return values.cast(pa.string())
    # Without its zone Arrow writes it ten times as fast.
    text = values.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(text, _DATE, _DATE + 1, "T"), "Z", "")


def _strftime(values: pa.Array, column: Column) -> pa.Array:
    # Arrow writes parts with zeros only; they are read, too.
    form = _NOT_PADDED.sub(lambda found: found[1] or "%", column.formats[0])
    if pa.types.is_timestamp(values.type):
        # Arrow writes seconds with their fraction for times finer than a second.
        values = values.cast(pa.timestamp("s", column.timezone), safe=False)
    return pc.strftime(values, form)


def _fields(values: pa.StructArray) -> list[pa.Array]:
    return [values.field(number) for number in range(values.type.num_fields)]


def _json_texts(values: pa.ChunkedArray) -> pa.Array:
    out = io.BytesIO()
    _frame(pa.table({"v": values})).write_ndjson(out)
    inner = pc.binary_slice(
        _lines(_unmarked(out.getvalue())).cast(pa.binary()), len('{"v":'), -len("}\n")
    )
    return pc.if_else(values.is_null(), None, inner.cast(pa.string())).combine_chunks()


def _unmarked(text: bytes) -> bytes:
    """Take the marks of exact numbers away, and the quotes around them."""
    if _OPEN.encode() not in text:
        return text
    for mark in (f'"{_OPEN}', f'{_CLOSE}"', _OPEN, _CLOSE):
        text = text.replace(mark.encode(), b"")
    return text


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(table)


def _lines(data: bytes) -> pa.LargeBinaryArray:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
