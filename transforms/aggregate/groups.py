"""Rows to groups: each distinct combination of key values gets a small number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Key: TypeAlias = Indices | pa.Array | pa.ChunkedArray

_ROOM: Final = 1 << 62
_HIGHEST: Final = np.iinfo(np.int64).max


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


def group(keys: Sequence[Key], length: int) -> Groups:
    """Number the distinct combinations of the key columns; null equals null.

    Args:
        keys: Arrow columns of text, integers, booleans, decimals, dates or timestamps, or int64
            arrays.
        length: Number of rows (there may be no key at all: then there is one group).
    """
    codes: Indices = np.zeros(length, np.int64)
    room = 1
    for key in keys:
        ids, count = _codes(key)
        if room * count > _ROOM:
            codes, room = _compact(codes, room)
        codes = ids if room == 1 else codes * count + ids
        room *= count
    ids, count = _compact(codes, room)
    rows = np.empty(count, np.int64)
    rows[ids[::-1]] = np.arange(length - 1, -1, -1)
    return Groups(ids, count, rows)


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the column as one array of its values, without a dictionary."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # Two entries of a dictionary may be equal.
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _codes(key: Key) -> tuple[Indices, int]:
    if isinstance(key, np.ndarray):
        low = int(key.min(initial=_HIGHEST))
        room = int(key.max(initial=low)) - low + 1
        return (key - low, room) if room < _ROOM else _encoded(pa.array(key))
    return _encoded(plain(key))


def _compact(codes: Indices, room: int) -> tuple[Indices, int]:
    if room > 4 * len(codes) + 64:
        return _encoded(pa.array(codes))
    there = np.bincount(codes, minlength=room) > 0
    numbers = np.cumsum(there) - 1
    return numbers[codes], int(there.sum())


def _encoded(column: pa.Array) -> tuple[Indices, int]:
    encoded = pc.dictionary_encode(column, null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
