"""Smallest and largest values of groups, and values at the earliest or latest time.

Text and bytes are compared byte by byte (UTF-8), false is less than true, and doubles as SQL
engines do: -0.0 equals 0.0 and NaN is the greatest of all.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.aggregate.groups import Indices

_MAX: Final = np.iinfo(np.int64).max
_MIN: Final = np.iinfo(np.int64).min


def best(ids: Indices, count: int, values: pa.Array, *, largest: bool) -> pa.Array:
    """Return the smallest or largest value of each group, null for a group without.

    Args:
        ids: Group of each value, 0 <= id < count.
        count: Number of groups.
        values: Of any type but nested ones; no nulls.
        largest: Which end.
    """
    if pa.types.is_float64(values.type):
        ordered = pa.array(_ordered(values.to_numpy(zero_copy_only=False)))
        found = best(ids, count, ordered, largest=largest)
        back = _unordered(found.fill_null(0).to_numpy(zero_copy_only=False))
        return pa.array(back, mask=found.is_null().to_numpy(zero_copy_only=False))
    grouped = pa.TableGroupBy(pa.table({"g": ids, "v": values}), "g", use_threads=False)
    result = grouped.aggregate([("v", "max" if largest else "min")]).combine_chunks()
    at = np.full(count, -1)
    at[result["g"].to_numpy()] = np.arange(result.num_rows)
    return result.column(1).take(pa.array(at, mask=at < 0)).combine_chunks()


def at_end(
    ids: Indices, count: int, times: NDArray[np.int64], values: pa.Array, *, latest: bool
) -> tuple[pa.Array, pa.Array]:
    """Return earliest (or latest) time of each group and its value; of several the smallest.

    Args:
        ids: Group of each value, 0 <= id < count.
        count: Number of groups.
        times: When each value was.
        values: Of any type but nested ones; no nulls.
        latest: Which end.

    Returns:
        Times (int64) and values, both null for a group without a value.
    """
    ends = np.full(count, _MIN if latest else _MAX)
    (np.maximum if latest else np.minimum).at(ends, ids, times)
    chosen = times == ends[ids]
    there = np.zeros(count, bool)
    there[ids] = True
    found = best(ids[chosen], count, values.filter(pa.array(chosen)), largest=False)
    return pa.array(ends, mask=~there), found


def _ordered(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # Sign and magnitude to two's complement: integers in the order of the doubles.
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    return _unordered(plain).view(np.int64)


def _unordered(values: NDArray) -> NDArray[np.float64]:
    bits = values.view(np.int64)
    return np.where(bits < 0, bits ^ _MAX, bits).view(np.float64)
