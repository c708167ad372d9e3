"""Data files of ours read and written whole: operations tables, and the few rows to rewrite."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile

from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter


def read_file(info: TableInfo, file: DataFile, columns: Collection[str] | None = None) -> pa.Table:
    """Return the rows of a data file; columns that it lacks are left out."""
    with info.file_io().new_input(file.file_path).open() as stream:
        parquet = pq.ParquetFile(stream)
        there = None if columns is None else [c for c in columns if c in parquet.schema_arrow.names]
        return parquet.read(columns=there)


def read_batches(
    info: TableInfo, path: str, columns: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a data file in order, some at a time, so that memory stays bounded."""
    with info.file_io().new_input(path).open() as stream:
        parquet = pq.ParquetFile(stream)
        there = None if columns is None else [c for c in columns if c in parquet.schema_arrow.names]
        yield from parquet.iter_batches(columns=there)


def write_files(info: TableInfo, rows: pa.Table) -> list[DataFile]:
    """Write rows to data files of a table; no rows, no file."""
    writer = FileWriter(info)
    writer.write(rows)
    return writer.close()
