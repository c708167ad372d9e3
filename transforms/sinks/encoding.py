"""How each column of a Parquet file is encoded, chosen by looking at its first rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_SAMPLE: Final = 4096
_SHORT: Final = 64
_REPEATS: Final = 0.25
"""A dictionary pays when at most this share of the sampled values are distinct."""


def encodings(rows: pa.Table) -> dict[str, Any]:
    """Return the arguments of `pq.ParquetWriter` that say how columns are encoded.

    A dictionary only where values repeat (hashing values that do not is wasted); otherwise
    integers and times as bit-packed differences, short texts with their lengths apart (which
    compress better and in half the time), everything else plain.
    """
    dictionary: list[str] = []
    by_column: dict[str, str] = {}
    for name in rows.schema.names:
        column = rows[name]
        leaves = list(_leaves(name, column.type))
        if leaves == [(name, column.type)]:
            if _repeats(column):
                dictionary.append(name)
            else:
                by_column[name] = _plain(column)
            continue
        dictionary += [path for path, _ in leaves]
    return {"use_dictionary": dictionary, "column_encoding": by_column}


def _plain(column: pa.ChunkedArray) -> str:
    of = column.type
    delta = (
        pa.types.is_integer(of)
        or pa.types.is_timestamp(of)
        or pa.types.is_date32(of)
        or pa.types.is_time64(of)
    )
    if delta:
        return "DELTA_BINARY_PACKED"
    text = pa.types.is_string(of) or pa.types.is_large_string(of)
    if text and column.slice(0, _SAMPLE).nbytes <= _SHORT * min(len(column), _SAMPLE):
        return "DELTA_LENGTH_BYTE_ARRAY"
    return "PLAIN"


def _repeats(column: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(column.type):
        return True
    if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        return False
    sample = column.slice(0, _SAMPLE)
    return bool(pc.count_distinct(sample).as_py() <= max(1, _REPEATS * len(sample)))


def _leaves(path: str, of: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the Parquet paths of a column."""
    if pa.types.is_struct(of):
        for i in range(of.num_fields):
            yield from _leaves(f"{path}.{of.field(i).name}", of.field(i).type)
    elif pa.types.is_list(of):
        yield from _leaves(f"{path}.list.element", of.value_type)
    else:
        yield path, of
