"""How often values come again: few keys with many rows, many with few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

_KNOTS: Final = 512
_MOST: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Repeats:
    """How rows are shared out among keys, the one with the most rows first.

    Attributes:
        rows: Of the sample.
        keys: How many different ones those have.
        all_keys: How many there are likely to be in all (Chao's estimate).
        shares: Of the rows, ascending from 0 to 1.
        ranks: How many keys have so many of them together.
        often: How many keys have more than one row.
    """

    rows: int
    keys: int
    all_keys: int
    shares: np.ndarray
    ranks: np.ndarray
    often: int

    @classmethod
    def of(cls, counts: np.ndarray) -> Repeats:
        """Learn from the rows of each key."""
        counts = np.sort(counts)[::-1]
        rows, keys = int(counts.sum()), len(counts)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        unseen = once * (once - 1) // (2 * (twice + 1))
        often = keys - once
        at = np.geomspace(1, keys, _KNOTS).astype(np.int64)
        at = np.unique(np.r_[at, often] if often else at)
        shares = np.cumsum(counts)[at - 1] / rows
        return cls(rows, keys, keys + unseen, np.r_[0.0, shares], np.r_[0.0, at], often)

    def wanted(self, rows: int) -> int:
        """Return how many keys so many rows should have to pick from."""
        grown = self.keys * rows // max(self.rows, 1)
        return min(max(self.keys, min(grown, self.all_keys)), _MOST)

    def pick(self, keys: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return numbers of keys, below `keys`.

        Of more keys than the sample has those with one row there are more; the others stay.
        """
        once = self.keys - self.often
        beyond = np.maximum(self.ranks - self.often, 0)
        ranks = np.minimum(self.ranks, self.often)
        if once:
            ranks += beyond * (keys - self.often) / once
        rank = np.interp(rng.random(count), self.shares, ranks)
        return np.minimum(rank.astype(np.int64), keys - 1)
