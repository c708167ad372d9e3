"""Rows cut by partition: Iceberg's transforms on whole columns, and folder names that are safe."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
    TruncateTransform,
    VoidTransform,
    YearTransform,
)

from schemas.errors import UsageError
from transforms.commit.table_info import TableInfo

_HOUR_US: Final = 3_600_000_000
_LONGEST: Final = 96
"""Characters of a value in a folder's name; file systems take 255 bytes for a name."""


@dataclass(frozen=True)
class Partition:
    """One combination of partition values, as Iceberg stores them, and its folder."""

    values: tuple[Any, ...] = ()
    path: str = ""


WHOLE: Final = Partition()


def partitions(info: TableInfo, rows: pa.Table) -> Iterator[tuple[Partition, pa.RecordBatch]]:
    """Cut rows by the table's partition spec; rows keep their order, each cut is a copy.

    Raises:
        UsageError: A transform does not work on its column's type.
    """
    if info.spec.is_unpartitioned():
        for batch in rows.to_batches():
            yield WHOLE, batch
        return
    keys = [_key(info, rows, field) for field in info.spec.fields]
    code = np.zeros(rows.num_rows, np.int64)
    for key in keys:
        code = np.unique(
            code * max(1, len(key.dictionary)) + key.indices.to_numpy(), return_inverse=True
        )[1]
    names, first = np.unique(code, return_index=True)
    whole = rows.combine_chunks()
    for name, row in zip(names.tolist(), first.tolist(), strict=True):
        own = whole if len(names) == 1 else whole.take(pa.array(np.flatnonzero(code == name)))
        partition = _partition(
            info, [key.dictionary[key.indices[row].as_py()].as_py() for key in keys]
        )
        for batch in own.combine_chunks().to_batches():
            yield partition, batch


def transformed(transform: Transform[Any, Any], column: pa.Array) -> pa.Array:
    """Apply an Iceberg partition transform to a column; times become integers, null stays null.

    >>> transformed(TruncateTransform(10), pa.array([-1, 12, None])).to_pylist()
    [-10, 10, None]

    Raises:
        UsageError: The transform does not work on this type.
    """
    if isinstance(transform, VoidTransform):
        return pa.nulls(len(column), pa.int32())
    if isinstance(transform, IdentityTransform):
        return _integers(column)
    made = _made(transform, column)
    if made is None:
        msg = (
            f"a partition transform must work on its column's type; got {transform} of "
            f"{column.type}; change partition_by"
        )
        raise UsageError(msg)
    return made


def _made(transform: Transform[Any, Any], column: pa.Array) -> pa.Array | None:
    of = column.type
    if isinstance(transform, BucketTransform):
        return _buckets(column, transform.num_buckets)
    if isinstance(transform, TruncateTransform):
        width = transform.width
        if pa.types.is_integer(of):
            return _numbers(column, lambda v: v - v % width).cast(of)
        if pa.types.is_string(of):
            return pc.utf8_slice_codeunits(column, 0, width)
        return pc.binary_slice(column, 0, width) if pa.types.is_binary(of) else None
    return _times(transform, column)


def _times(transform: Transform[Any, Any], column: pa.Array) -> pa.Array | None:
    of = column.type
    if pa.types.is_date32(of):
        days = column.cast(pa.int32())
    elif pa.types.is_timestamp(of):
        micros = column.cast(pa.timestamp("us", of.tz)).cast(pa.int64())
        if isinstance(transform, HourTransform):
            return _numbers(micros, lambda v: v // _HOUR_US)
        days = _numbers(micros, lambda v: v // (24 * _HOUR_US))
    else:
        return None
    if isinstance(transform, DayTransform):
        return days.cast(pa.int64())
    unit = {MonthTransform: "M", YearTransform: "Y"}.get(type(transform))
    if unit is None:
        return None
    return _numbers(
        days, lambda v: v.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype(np.int64)
    )


def _buckets(column: pa.Array, buckets: int) -> pa.Array | None:
    """Hash as Iceberg says: murmur3 x86 32, seed 0; integers and times as 8 bytes."""
    plain = _integers(column)
    if pa.types.is_integer(plain.type):
        eight = plain.cast(pa.int64()).fill_null(0).to_numpy().astype("<i8")
        bytes_ = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(8), len(eight), [None, pa.py_buffer(eight)]
        )
        plain = pc.if_else(plain.is_valid(), bytes_.cast(pa.binary()), None)
    elif not (pa.types.is_string(plain.type) or pa.types.is_binary(plain.type)):
        return None
    frame = pl.DataFrame({"v": pl.from_arrow(plain)})
    hashed = frame.select(plh.col("v").nchash.murmur32()).to_series()
    return (
        (hashed.cast(pl.Int64) & 0x7FFFFFFF)
        .to_frame()
        .select(pl.col("v") % buckets)["v"]
        .to_arrow()
    )


def _numbers(column: pa.Array, function: Callable[[np.ndarray], np.ndarray]) -> pa.Array:
    mask = column.is_null().to_numpy(zero_copy_only=False)
    values = column.cast(pa.int64()).fill_null(0).to_numpy()
    return pa.array(function(values), pa.int64(), mask=mask)


def _integers(column: pa.Array) -> pa.Array:
    of = column.type
    if pa.types.is_date32(of):
        return column.cast(pa.int32())
    if pa.types.is_timestamp(of) or pa.types.is_time64(of):
        return column.cast(pa.int64())
    return column


def _key(info: TableInfo, rows: pa.Table, field: Any) -> pa.DictionaryArray:
    path = info.schema.find_column_name(field.source_id)
    name, *inner = (path or "").split(".")
    column = rows[path] if path in rows.column_names else rows[name]
    if path not in rows.column_names:
        column = pc.struct_field(column, inner)
    flat = column.combine_chunks()
    if pa.types.is_dictionary(flat.type):
        flat = flat.dictionary_decode()
    return transformed(field.transform, flat).dictionary_encode(null_encoding="encode")


def _partition(info: TableInfo, values: list[Any]) -> Partition:
    # One object for every NaN: it equals nothing else, and makes a folder for each batch.
    values = [math.nan if isinstance(v, float) and math.isnan(v) else v for v in values]
    types = info.spec.partition_type(info.schema).fields
    folders = []
    for field, of, value in zip(info.spec.fields, types, values, strict=True):
        text = quote_plus(field.transform.to_human_string(of.field_type, value), safe="")
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        folders.append(f"{quote_plus(field.name, safe='')}={text}")
    return Partition(tuple(values), "/".join(folders))
