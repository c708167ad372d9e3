"""The hash partition of a group: the same in every process, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.aggregate.sketch import hash_values

_SEED: Final = 0x70656E73746F636B
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def partitions(groups: Sequence[pa.Array], count: int, length: int) -> NDArray[np.int64]:
    """Return the partition of each row, 0 <= partition < count, by its group alone."""
    total: NDArray[np.uint64] = np.zeros(length, np.uint64)
    if count == 1:
        return total.view(np.int64)
    for column in groups:
        there = pc.is_valid(column).to_numpy(zero_copy_only=False)
        hashes = np.zeros(length, np.uint64)
        hashes[there] = hash_values(column.drop_null(), _SEED)
        total = total * _MIX + hashes
    return (total % np.uint64(count)).astype(np.int64)
