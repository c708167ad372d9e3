"""Positions as half-open ranges per source: what is done, what is new, which rows lie within.

`Ranges` maps a source to ranges `(start, end)`, `end` not included. Every function returns them
merged: sorted, disjoint, not touching, and no source without a range.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

Range = tuple[int, int]
Ranges = dict[str, list[Range]]


def merged(*several: Ranges) -> Ranges:
    """Return the union.

    >>> merged({"a": [(5, 9), (0, 3)]}, {"a": [(3, 4)], "b": []})
    {'a': [(0, 4), (5, 9)]}
    """
    out: Ranges = {}
    for source in dict.fromkeys(chain.from_iterable(several)):
        lists = [ranges[source] for ranges in several if source in ranges]
        union = _merged(lists[0] if len(lists) == 1 else list(chain.from_iterable(lists)))
        if union:
            out[source] = union
    return out


def missing(wanted: Ranges, done: Ranges) -> Ranges:
    """Return what of `wanted` is not in `done`.

    >>> missing({"a": [(0, 10)], "b": [(0, 1)]}, {"a": [(2, 4)], "b": [(0, 1)]})
    {'a': [(0, 2), (4, 10)]}
    """
    out: Ranges = {}
    for source, ranges in wanted.items():
        rest = _missing(_merged(ranges), _merged(done.get(source, ())))
        if rest:
            out[source] = rest
    return out


def common(one: Ranges, other: Ranges) -> Ranges:
    """Return what is in both.

    >>> common({"a": [(0, 10)]}, {"a": [(8, 12), (2, 4)]})
    {'a': [(2, 4), (8, 10)]}
    """
    return missing(one, missing(one, other))


def size(ranges: Ranges) -> int:
    """Count the positions; ranges that overlap count twice.

    >>> size({"a": [(0, 10)], "b": [(5, 6)]})
    11
    """
    return sum(end - start for several in ranges.values() for start, end in several)


def within(
    source: pa.Array | pa.ChunkedArray, position: pa.Array | pa.ChunkedArray, ranges: Ranges
) -> np.ndarray:
    """Return a boolean mask of the rows whose position lies within the ranges.

    Args:
        source: Strings, dictionary encoded or not, no nulls.
        position: int64, no nulls.
        ranges: Need not be merged.
    """
    spots = _flat(position).to_numpy()
    names, which = _encoded(source)
    mask = np.zeros(len(spots), bool)
    for code, name in enumerate(names):
        own = _merged(ranges.get(name, ()))
        if own:
            rows = slice(None) if len(names) == 1 else np.flatnonzero(which == code)
            mask[rows] = inside(spots[rows], own)
    return mask


def inside(positions: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
    """Return a boolean mask of the positions that lie within merged ranges of their source."""
    several = np.array(ranges, np.int64).reshape(-1, 2)
    if not len(several):
        return np.zeros(len(positions), bool)
    before = np.searchsorted(several[:, 0], positions, side="right") - 1
    return (before >= 0) & (positions < several[before, 1])


def covers(ranges: Sequence[Range], first: int, last: int) -> bool:
    """Whether one of merged ranges holds both positions and all between them."""
    before = bisect_right(ranges, first, key=lambda one: one[0]) - 1
    return before >= 0 and last < ranges[before][1]


def _encoded(source: pa.Array | pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    flat = _flat(source)
    if not pa.types.is_dictionary(flat.type):
        flat = flat.dictionary_encode()
    names = flat.dictionary.to_pylist()
    which = flat.indices.to_numpy()
    if len(set(names)) < len(names):  # Arrow allows a value twice in a dictionary.
        first = {name: code for code, name in reversed(list(enumerate(names)))}
        which = np.array([first[name] for name in names])[which]
    return names, which


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    whole = column.unify_dictionaries().combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _merged(ranges: Iterable[Range]) -> list[Range]:
    out: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if out and start <= out[-1][1]:
            if end > out[-1][1]:
                out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def _missing(wanted: list[Range], done: list[Range]) -> list[Range]:
    out: list[Range] = []
    at = 0
    for start, end in wanted:
        while at < len(done) and done[at][1] <= start:
            at += 1
        here = at
        while here < len(done) and done[here][0] < end:
            if start < done[here][0]:
                out.append((start, done[here][0]))
            start = max(start, done[here][1])  # noqa: PLW2901
            here += 1
        if start < end:
            out.append((start, end))
    return out
