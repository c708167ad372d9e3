"""Rows to groups: each distinct combination of key values gets a small number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_ROOM: Final = 1 << 62


@dataclass(frozen=True)
class Groups:
    """Which group each row belongs to.

    Attributes:
        ids: Group number of each row, 0 <= id < count.
        count: Number of groups; each has a row.
        rows: Number of the first row of each group.
    """

    ids: Indices
    count: int
    rows: Indices

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up int64 values of each group, exactly."""
        out = np.zeros(self.count, np.int64)
        np.add.at(out, self.ids, values)
        return out

    def sizes(self) -> NDArray[np.int64]:
        """Return the number of rows of each group."""
        return np.bincount(self.ids, minlength=self.count)

    def keep(self, mask: NDArray[np.bool_]) -> Indices:
        """Return the group number of the rows where `mask` is true."""
        return self.ids if mask.all() else self.ids[mask]


def group(keys: Sequence[pa.Array | pa.ChunkedArray], length: int) -> Groups:
    """Number the distinct combinations of the key columns; null equals null.

    Args:
        keys: Columns of text, integers, booleans, decimals, dates or timestamps.
        length: Number of rows (there may be no key at all: then there is one group).
    """
    codes = np.zeros(length, np.int64)
    room = 1
    for key in keys:
        ids, count = _codes(key)
        if room * count > _ROOM:
            codes, room = _codes(pa.array(codes))
        codes = ids if room == 1 else codes * count + ids
        room *= count
    ids, count = _codes(pa.array(codes))
    rows = np.empty(count, np.int64)
    rows[ids[::-1]] = np.arange(length - 1, -1, -1)
    return Groups(ids, count, rows)


def _codes(column: pa.Array | pa.ChunkedArray) -> tuple[Indices, int]:
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(plain.type):
        plain = plain.dictionary_decode()  # two entries of a dictionary may be equal
    encoded = pc.dictionary_encode(plain, null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
