"""Read Parquet and Avro files as blocks of rows that know their positions."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SourceError
from schemas.names import POSITION, SEQUENCE
from transforms.sources.avro_types import AvroTypeError, arrow_schema, plain
from transforms.sources.blocks import Block
from transforms.sources.compression import file_like
from transforms.sources.stored import Stored
from transforms.sources.views import schema_without_views, without_views

_BLOCK_BYTES: Final = 4 << 20
_GROUP_BYTES: Final = 32 << 20
_FIXED_LISTS: Final = "Expected all lists to be of size"
_DAMAGE: Final = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    zlib.error,
    pa.ArrowException,
)


def columnar_blocks(file: Stored, form: str, start: int, stop: int | None) -> Iterator[Block]:
    """Yield the rows of a file from position `start` up to `stop` (None: the end).

    Parquet: positions are row numbers. Avro: the position of a row is the offset of its block,
    and the rows come with columns `_position` and `_sequence`. Source and arrival are left empty.

    Raises:
        SourceError: If the file is no whole Parquet or Avro file, or of types that cannot be read.
    """
    try:
        if form == "avro":
            yield from _avro(file)
        else:
            yield from _parquet(file, start, stop)
    except _DAMAGE as error:
        raise _damaged(file, form, error) from error


def _damaged(file: Stored, form: str, error: Exception) -> SourceError:
    if isinstance(error, AvroTypeError):
        return SourceError(
            "Avro must be records whose fields have one type each, or null; "
            f"got {error.got} in {file.name}; {error.remedy}"
        )
    if _FIXED_LISTS in str(error):  # Arrow 25 cannot read back what it has written
        return SourceError(
            f"lists of a fixed size must have no nulls in Parquet; got some in {file.name}; "
            "nothing was written: write them as lists of any size"
        )
    return SourceError(
        f"{form} files must be whole; got damage in {file.name} ({type(error).__name__}); "
        "nothing was written: get a whole copy, or set source.batch.files.format"
    )


def _open(file: Stored) -> pq.ParquetFile:
    return pq.ParquetFile(pa.PythonFile(cast("Any", file_like(file)), mode="r"))


def parquet_rows(file: Stored) -> int:
    """Return how many rows a Parquet file says that it has."""
    return int(_open(file).metadata.num_rows)


def parquet_cuts(file: Stored) -> list[int]:
    """Return the row numbers at which slices of a Parquet file start: whole row groups, 32 MiB.

    Raises:
        SourceError: If the file is no whole Parquet file.
    """
    try:
        meta = _open(file).metadata
    except _DAMAGE as error:
        raise _damaged(file, "parquet", error) from error
    cuts, row, held = [0], 0, 0
    for i in range(meta.num_row_groups):
        group = meta.row_group(i)
        if held and held + group.total_byte_size > _GROUP_BYTES:
            cuts.append(row)
            held = 0
        row += group.num_rows
        held += group.total_byte_size
    return cuts


def columnar_schema(file: Stored, form: str) -> pa.Schema:
    """Return the Arrow schema of a Parquet or Avro file.

    Raises:
        SourceError: If the file is not whole as far as that.
    """
    try:
        if form == "avro":
            return arrow_schema(_avro_blocks(file).writer_schema)
        schema = schema_without_views(_open(file).schema_arrow)
        return pa.schema([f for f in schema if f.name not in (POSITION, SEQUENCE)])
    except _DAMAGE as error:
        raise _damaged(file, form, error) from error


def _parquet(file: Stored, start: int, stop: int | None) -> Iterator[Block]:
    reader = _open(file)
    meta = reader.metadata
    groups, size, rows, at = [], 0, 0, 0
    for i in range(meta.num_row_groups):
        group = meta.row_group(i)
        if start <= at and (stop is None or at < stop) and group.num_rows:
            groups.append(i)
            size += group.total_byte_size
            rows += group.num_rows
        at += group.num_rows
    if not rows:
        return
    names = [n for n in reader.schema_arrow.names if n not in (POSITION, SEQUENCE)]
    each = max(1024, rows * _BLOCK_BYTES // max(size, 1))
    for batch in reader.iter_batches(each, row_groups=groups, columns=names, use_threads=False):
        yield Block("", start, without_views(batch), 0)
        start += batch.num_rows


def _avro_blocks(file: Stored) -> Any:
    from fastavro import block_reader  # noqa: PLC0415  no other format needs it

    return block_reader(cast("Any", file_like(file)))


def _avro(file: Stored) -> Iterator[Block]:
    reader = _avro_blocks(file)
    schema = arrow_schema(reader.writer_schema)
    held: list[dict[str, Any]] = []
    counts: list[int] = []
    offsets: list[int] = []
    size = 0
    for block in reader:
        rows = [plain(row) for row in block]
        held += rows
        counts.append(len(rows))
        offsets.append(block.offset)
        size += block.size
        if size >= _BLOCK_BYTES:
            yield _avro_block(schema, held, offsets, counts, block.offset + block.size)
            held, counts, offsets, size = [], [], [], 0
    if held:
        yield _avro_block(schema, held, offsets, counts, file.identity.size)


def _avro_block(
    schema: pa.Schema, rows: list[dict[str, Any]], offsets: list[int], counts: list[int], end: int
) -> Block:
    position = np.repeat(np.array(offsets, np.int64), counts)
    first = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    sequence = (np.arange(len(rows)) - first).astype(np.int32)
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    batch = batch.append_column(POSITION, pa.array(position))
    batch = batch.append_column(SEQUENCE, pa.array(sequence))
    return Block("", offsets[0], batch, 0, end=end)
