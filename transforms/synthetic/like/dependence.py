"""What goes together in the rows of a sample: numbers by rank, and which columns are null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from transforms.synthetic.like.quantiles import score

_MOST_COLUMNS: Final = 62  # bits of a pattern
_MOST_ROWS: Final = 50_000
_LEAST_VARIANCE: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Copula:
    """A Gaussian copula: normal scores that are correlated as the ranks of a sample's columns.

    Attributes:
        names: Of the columns.
        root: Lower triangle whose square is the correlation.
    """

    names: tuple[str, ...]
    root: np.ndarray

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray]) -> Copula:
        """Learn from columns of as many rows each, NaN where there is no value."""
        names = tuple(columns)[:_MOST_COLUMNS]
        scores = [_scores(_thinned(columns[name])) for name in names]
        if not scores:
            return cls((), np.empty((0, 0)))
        matrix = np.stack(scores, axis=1)
        there = (~np.isnan(matrix)).astype(float)
        matrix = np.nan_to_num(matrix)
        squares = (matrix**2).T @ there
        together = np.sqrt(squares * squares.T)
        usable = together > 0
        correlation = np.where(usable, matrix.T @ matrix / np.where(usable, together, 1), 0.0)
        return cls(names, _root(correlation))

    def make(
        self, count: int, rng: np.random.Generator, given: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return scores by column.

        Args:
            count: How many rows.
            rng: Where chance comes from.
            given: Scores of the first column.
        """
        free = rng.standard_normal((count, len(self.names)))
        if given is not None and len(self.names):
            free[:, 0] = given
        scores = free @ self.root.T
        return {name: np.ascontiguousarray(scores[:, i]) for i, name in enumerate(self.names)}


def _thinned(values: np.ndarray) -> np.ndarray:
    return values[:: -(-len(values) // _MOST_ROWS)]


def _scores(values: np.ndarray) -> np.ndarray:
    """Return normal scores of ranks; equal values share the middle of theirs."""
    out = np.full(len(values), np.nan)
    there = ~np.isnan(values)
    _, at, counts = np.unique(values[there], return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / max(there.sum(), 1)
    out[there] = score(middle)[at]
    return out


def _root(correlation: np.ndarray) -> np.ndarray:
    """Return the triangle of the correlation that is nearest, if it is none as it stands."""
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    near = (vectors * np.maximum(values, _LEAST_VARIANCE)) @ vectors.T
    size = np.sqrt(np.diag(near))
    return np.linalg.cholesky(near / np.outer(size, size))


@dataclass(frozen=True, eq=False)
class Nulls:
    """Which columns of an object are null together.

    Attributes:
        names: Of the columns.
        patterns: Those that enough rows have, a row of booleans each.
        ends: Cumulative share of the patterns.
        rest: For rows of other patterns the share of nulls by column.
    """

    names: tuple[str, ...]
    patterns: np.ndarray
    ends: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], masks: Sequence[np.ndarray], least: int) -> Nulls:
        """Learn from where the nulls of columns are."""
        names, masks = names[:_MOST_COLUMNS], masks[:_MOST_COLUMNS]
        if not names:
            return cls((), np.empty((0, 0), bool), np.empty(0), np.empty(0))
        matrix = np.stack(masks, axis=1)
        bits = matrix.astype(np.int64) @ (1 << np.arange(len(names), dtype=np.int64))
        _, first, at, counts = np.unique(
            bits, return_index=True, return_inverse=True, return_counts=True
        )
        known = counts >= least
        others = matrix[~known[at]]
        rest = others.mean(axis=0) if len(others) else matrix.mean(axis=0)
        ends = np.cumsum(counts[known]) / max(len(bits), 1)
        return cls(tuple(names), matrix[first[known]], ends, rest)

    def make(self, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return by column where nulls are."""
        if not self.names:
            return {}
        pattern = np.searchsorted(self.ends, rng.random(count), side="right")
        known = pattern < len(self.ends)
        out = np.empty((count, len(self.names)), bool)
        out[known] = self.patterns[pattern[known]]
        out[~known] = rng.random((int((~known).sum()), len(self.names))) < self.rest
        return {name: out[:, i] for i, name in enumerate(self.names)}
