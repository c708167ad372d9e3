"""Rows cut by partition: Iceberg's transforms on whole columns, and paths that are safe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from transforms.commit.table_info import TableInfo


@dataclass(frozen=True)
class Partition:
    """One combination of partition values, as Iceberg stores them, and its folder."""

    values: tuple[Any, ...] = ()
    path: str = ""


WHOLE = Partition()


def partitions(info: TableInfo, rows: pa.Table) -> Iterator[tuple[Partition, pa.RecordBatch]]:
    """Cut rows by the table's partition spec; rows keep their order."""
    if info.spec.is_unpartitioned():
        for batch in rows.to_batches():
            yield WHOLE, batch
        return
    raise NotImplementedError
