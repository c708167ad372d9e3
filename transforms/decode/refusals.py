"""The columns that decode adds to rows, and the rows it makes of records that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.names import REFUSED, TIMESTAMP
from transforms.sources.blocks import Block, LongRecord

STEP: Final = "decode"


def position_columns(
    block: Block, positions: NDArray[np.int64], sequences: NDArray[np.int32] | None = None
) -> list[pa.Array]:
    """Return the columns of `names.POSITION_FIELDS` for rows of a block; no watermark."""
    n = len(positions)
    return [
        repeated(block.source, n),
        pa.array(positions, pa.int64()),
        pa.array(np.zeros(n, np.int32) if sequences is None else sequences, pa.int32()),
        pa.array(np.full(n, block.arrived_us, np.int64)).cast(TIMESTAMP),
        pa.nulls(n, TIMESTAMP),
    ]


def repeated(source: str, n: int) -> pa.DictionaryArray:
    """Return a dictionary column that names one source n times."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([source]))


def refusals(
    block: Block | LongRecord,
    *,
    positions: Sequence[int] | NDArray[np.int64],
    rules: Sequence[str],
    reasons: Sequence[str],
    form: str,
    records: pa.Array,
    sequences: NDArray[np.int32] | None = None,
) -> pa.RecordBatch | None:
    """Return rows of `names.REFUSED` in source order, None if there are none."""
    n = len(positions)
    if not n:
        return None
    where = np.asarray(positions, np.int64)
    which = np.zeros(n, np.int32) if sequences is None else sequences
    batch = pa.record_batch(
        [
            repeated(block.source, n),
            pa.array(where),
            pa.array(which, pa.int32()),
            pa.array(np.full(n, block.arrived_us, np.int64)).cast(TIMESTAMP),
            pa.array([STEP] * n),
            pa.array(list(rules), pa.string()),
            pa.array(list(reasons), pa.string()),
            pa.array([form] * n),
            records,
        ],
        schema=REFUSED,
    )
    order = np.lexsort((which, where))
    return batch if (np.diff(order) == 1).all() else batch.take(pa.array(order))


def refuse_long(long: LongRecord) -> pa.RecordBatch:
    """Return the row of REFUSED for a record that was not held: where it is and its hash."""
    pointer = (
        f'{{"position": {long.start}, "bytes": {long.end - long.start}, "sha256": "{long.sha256}"}}'
    )
    batch = refusals(
        long,
        positions=[long.start],
        rules=["record_length"],
        reasons=[
            f"record must be at most {long.limit} bytes; raise source.batch.files.max_record_bytes"
        ],
        form="pointer",
        records=pa.array([pointer.encode()], pa.binary()),
    )
    assert batch is not None  # noqa: S101  # it has one row
    return batch
