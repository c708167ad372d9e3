"""Which landed files may hold copies of new rows: 64 bits of each id, of each file read once.

A stream that goes on without a checkpoint asks the same files at every commit, as its dedupe knows
none of them. Data files never change, so a committer that stays up keeps what it read of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

MOST_IDS: Final = 32 << 20


class LandedIds:
    """Hashes of ids with the files they are in, in sorted runs; 12 bytes an id.

    Not for several threads.
    """

    def __init__(self, most: int = MOST_IDS) -> None:
        """Know nothing yet; at most so many ids are kept."""
        self._most, self._kept = most, 0
        self._numbers: dict[str, int] = {}
        self._paths: list[str] = []
        self._runs: list[_Run] = []

    @property
    def full(self) -> bool:
        """Whether little room is left."""
        return self._kept > self._most // 2

    def knows(self, path: str) -> bool:
        """Whether the ids of a file are kept."""
        return path in self._numbers

    def add(self, path: str, lows: np.ndarray) -> None:
        """Keep the ids of a file (sorted hashes), if there is room."""
        if path in self._numbers or self._kept + len(lows) > self._most:
            return
        self._numbers[path] = len(self._paths)
        run = _Run(lows, np.full(len(lows), len(self._paths), np.int32))
        self._paths.append(path)
        self._kept += len(lows)
        while self._runs and len(self._runs[-1].lows) < 2 * len(run.lows):
            run = self._runs.pop().merged(run)
        self._runs.append(run)

    def only(self, paths: Iterable[str]) -> None:
        """Forget all other files."""
        self._numbers = {p: self._numbers[p] for p in paths if p in self._numbers}
        self._runs = [run.of(self._mask()) for run in self._runs]
        self._kept = sum(len(run.lows) for run in self._runs)

    def holding(self, wanted: np.ndarray, among: Iterable[str]) -> tuple[set[str], np.ndarray]:
        """Find ids in kept files.

        Args:
            wanted: Hashes, sorted, distinct.
            among: Files that count.

        Returns:
            Those of the files that hold some, and which hashes.
        """
        mask = self._mask(among)
        met = [run.met(wanted).of(mask) for run in self._runs]
        none = _Run(np.array([], np.uint64), np.array([], np.int32))
        files = np.unique(np.concatenate([none.files, *(m.files for m in met)]))
        lows = np.unique(np.concatenate([none.lows, *(m.lows for m in met)]))
        return {self._paths[n] for n in files.tolist()}, lows

    def _mask(self, among: Iterable[str] | None = None) -> np.ndarray:
        """Say by number which files count."""
        paths = self._numbers if among is None else among
        mask = np.zeros(len(self._paths), bool)
        mask[[self._numbers[path] for path in paths if path in self._numbers]] = True
        return mask


class _Run(NamedTuple):
    """Hashes, sorted, and the number of the file that each is in."""

    lows: np.ndarray
    files: np.ndarray

    def merged(self, other: _Run) -> _Run:
        lows = np.concatenate([self.lows, other.lows])
        order = np.argsort(lows, kind="stable")
        return _Run(lows[order], np.concatenate([self.files, other.files])[order])

    def of(self, mask: np.ndarray) -> _Run:
        """Return what is in some files."""
        there = mask[self.files]
        return _Run(self.lows[there], self.files[there])

    def met(self, wanted: np.ndarray) -> _Run:
        """Return what is among these hashes (sorted, distinct)."""
        begin = np.searchsorted(self.lows, wanted)
        counts = np.searchsorted(self.lows, wanted, side="right") - begin
        at = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return _Run(self.lows[at], self.files[at])
