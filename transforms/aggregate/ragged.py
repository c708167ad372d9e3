"""A column of short lists of fixed-size items, held as binary.

Accumulators of varying length (the digits of a sum, the registers of a sketch) are binary columns:
Arrow writes just the bytes of a slice of them, while of a sliced list column the whole child went
over the wire.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def pack(owners: NDArray[np.int64], items: NDArray, count: int) -> pa.LargeBinaryArray:
    """Gather items into one value for each of `count` rows.

    Args:
        owners: Row of each item, ascending.
        items: Of one dtype; the first axis is as long as `owners`.
        count: Number of rows; a row without items gets an empty value.
    """
    width = items.dtype.itemsize * int(np.prod(items.shape[1:], dtype=np.int64))
    ends = np.searchsorted(owners, np.arange(count + 1)) * width
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(items))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, buffers)


def unpack(column: pa.LargeBinaryArray, dtype: np.dtype) -> tuple[NDArray[np.int64], NDArray]:
    """Undo `pack`: the row of each item, ascending, and the items."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    ends = ends if len(column) else np.zeros(1, np.int64)
    held = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    items = np.ascontiguousarray(held[ends[0] : ends[-1]]).view(dtype)
    owners = np.repeat(np.arange(len(column)), np.diff(ends) // dtype.itemsize)
    return owners, items
