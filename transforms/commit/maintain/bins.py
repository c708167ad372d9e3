"""Which files are put together: a pure function of their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NEARLY: Final = 0.75
"""A file this near to the target stays as it is."""


def packed(sizes: Sequence[int], target: int) -> list[list[int]]:
    """Return groups of neighbours, each to become one file.

    A group comes to the target at most. A file is put together with smaller ones only if they come
    to its own size, so that a table that is tended every hour is not written anew every hour: each
    row is rewritten about log2(target / first size) times, and that many files stay at most.

    Args:
        sizes: Of the files of one partition, in the order that is to be kept.
        target: Size of a file that is large enough.

    Returns:
        Numbers of the files of each group, at least two in a group.

    >>> packed([1, 1, 100, 1, 1], 128)
    [[0, 1, 3, 4]]
    >>> packed([60, 60, 60, 60], 128)
    [[0, 1], [2, 3]]
    """
    groups: list[list[int]] = [[]]
    room = target
    for number, size in enumerate(sizes):
        if size >= target * _NEARLY:
            continue
        if size > room:
            groups.append([])
            room = target
        groups[-1].append(number)
        room -= size
    return [worth for group in groups if len(worth := _worth(group, sizes)) > 1]


def _worth(group: list[int], sizes: Sequence[int]) -> list[int]:
    """Leave out files that are greater than all smaller ones together."""
    by_size = sorted(group, key=lambda i: sizes[i])
    while len(by_size) > 1 and sizes[by_size[-1]] > sum(sizes[i] for i in by_size[:-1]):
        by_size.pop()
    return sorted(by_size)
