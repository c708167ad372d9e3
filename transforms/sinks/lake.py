"""Data files of the lake, written by workers: Parquet tuned by column, with Iceberg statistics.

Nothing that is written here is visible until the committer lands it; files that never land are
orphans, which maintenance deletes.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from transforms.commit.table_info import TableInfo
from transforms.sinks.encoding import encodings
from transforms.sinks.fit import fitted
from transforms.sinks.partition import Partition, partitions

MIB: Final = 1 << 20


class FileWriter:
    """Writes batches into data files of one table; rows of one call stay together.

    Batches may lack columns of the table (null), carry others (dropped: path columns) and have
    other encodings of the same types (dictionaries, large strings). Encodings are chosen by
    looking at the first row group of each file.
    """

    def __init__(
        self,
        info: TableInfo,
        *,
        target_bytes: int = 256 * MIB,
        group_rows: int = 1 << 18,
        group_bytes: int = 64 * MIB,
        buffer_bytes: int = 128 * MIB,
        open_files: int = 64,
    ) -> None:
        """Describe the files; nothing is opened yet.

        Args:
            info: The table.
            target_bytes: A file that has grown past this is finished and another begun.
            group_rows: Rows of a row group, about; one call of `write` is not split below it.
            group_bytes: A row group is written early when its rows take this much memory.
            buffer_bytes: Rows held back in all partitions together.
            open_files: Partitions with an open file; beyond, the one longest unused is finished.
        """
        self._info = info
        self._io = info.file_io()
        self._target, self._rows, self._bytes = target_bytes, group_rows, group_bytes
        self._buffer, self._open_files = buffer_bytes, open_files
        self._parts: OrderedDict[Partition, _Part] = OrderedDict()
        self._done: list[DataFile] = []

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows; they are written when a row group's worth has come together.

        Raises:
            ArrowInvalid: A column cannot be read as the table's type, or a required one has nulls.
        """
        if not rows.num_rows:
            return
        for partition, own in partitions(self._info, fitted(rows, self._info.arrow)):
            part = self._parts.setdefault(partition, _Part())
            self._parts.move_to_end(partition)
            part.hold(own)
            if part.rows >= self._rows or part.bytes >= self._bytes:
                self._flush(partition, part)
        while sum(p.bytes for p in self._parts.values()) > self._buffer:
            partition, part = max(self._parts.items(), key=lambda item: item[1].bytes)
            self._flush(partition, part)

    def close(self) -> list[DataFile]:
        """Finish all files and return them, with spec id and full statistics."""
        for partition, part in self._parts.items():
            self._flush(partition, part)
            self._finish(part)
        self._parts.clear()
        done, self._done = self._done, []
        return done

    def _flush(self, partition: Partition, part: _Part) -> None:
        if not part.rows:
            return
        table = part.release()
        if part.file is None:
            self._make_room()
            part.file = _File(self._info, self._io, partition, table)
        part.file.write(table)
        if part.file.size >= self._target:
            self._finish(part)

    def _make_room(self) -> None:
        holders = [part for part in self._parts.values() if part.file is not None]
        for part in holders[: len(holders) - self._open_files + 1]:
            self._finish(part)

    def _finish(self, part: _Part) -> None:
        if part.file is not None:
            self._done.append(part.file.close())
            part.file = None


@dataclass
class _Part:
    """Rows held back for one partition, and its open file."""

    file: _File | None = None
    rows: int = 0
    bytes: int = 0
    held: list[pa.RecordBatch] = field(default_factory=list)

    def hold(self, batch: pa.RecordBatch) -> None:
        self.held.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes

    def release(self) -> pa.Table:
        schema = self.held[0].schema
        table = pa.Table.from_batches(
            [b if b.schema == schema else b.cast(schema) for b in self.held]
        )
        self.held, self.rows, self.bytes = [], 0, 0
        return table.unify_dictionaries()


class _File:
    """One open Parquet file."""

    def __init__(self, info: TableInfo, io: Any, partition: Partition, first: pa.Table) -> None:
        name = f"{uuid.uuid4()}.parquet"
        self._info, self._partition = info, partition
        self._path = "/".join(filter(None, (info.location, "data", partition.path, name)))
        self._stream = io.new_output(self._path).create()
        self._schema = first.schema
        self._writer = pq.ParquetWriter(
            self._stream,
            self._schema,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            write_batch_size=1 << 14,
            **encodings(first),
        )

    @property
    def size(self) -> int:
        return int(self._stream.tell())

    def write(self, table: pa.Table) -> None:
        if table.schema != self._schema:
            table = table.cast(self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)

    def close(self) -> DataFile:
        self._writer.close()
        size = self.size
        self._stream.close()
        info = self._info
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=self._writer.writer.metadata,
            stats_columns=compute_statistics_plan(info.schema, info.properties),
            parquet_column_mapping=parquet_path_to_id_mapping(info.schema),
        )
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self._path,
            file_format=FileFormat.PARQUET,
            partition=Record(*self._partition.values),
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        file.spec_id = info.spec.spec_id
        return file
