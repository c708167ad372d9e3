"""What goes together in the rows of a sample: numbers by rank, and which columns are null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from transforms.synthetic.like.given import Codes, Given, most_telling
from transforms.synthetic.like.quantiles import score

_MOST_COLUMNS: Final = 64
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
        scores = [scores_of(_thinned(columns[name])) for name in names]
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


def scores_of(values: np.ndarray) -> np.ndarray:
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
        given: Patterns by values of columns that are never null; None: they follow from none.
    """

    names: tuple[str, ...]
    patterns: np.ndarray
    ends: np.ndarray
    rest: np.ndarray
    given: Given | None = None

    @classmethod
    def of(cls, masks: Mapping[str, np.ndarray], least: int, columns: Mapping[str, Codes]) -> Nulls:
        """Learn from where the nulls of columns are.

        Args:
            masks: By column.
            least: Rows that make a pattern.
            columns: Those that are never null, and may tell which pattern a row has.
        """
        names = tuple(masks)
        if not names:
            return cls((), np.empty((0, 0), bool), np.empty(0), np.empty(0))
        matrix = np.stack(list(masks.values()), axis=1)
        packed = np.packbits(matrix, axis=1)
        _, first, at, counts = np.unique(
            packed.view(f"V{packed.shape[1]}").ravel(),
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        known = counts >= least
        others = matrix[~known[at]]
        rest = others.mean(axis=0) if len(others) else matrix.mean(axis=0)
        ends = np.cumsum(counts[known]) / max(len(matrix), 1)
        number = np.where(known, np.cumsum(known) - 1, known.sum())
        codes = Codes(number[at], int(known.sum()) + 1)
        parents = most_telling(codes, columns)
        given = Given.of(parents, codes, least) if parents else None
        return cls(names, matrix[first[known]], ends, rest, given)

    def make(
        self, count: int, rng: np.random.Generator, codes: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return by column where nulls are, by the codes of other columns."""
        if not self.names:
            return {}
        if self.given is not None:
            pattern = self.given.make(codes, rng)
        else:
            pattern = np.searchsorted(self.ends, rng.random(count), side="right")
        known = pattern < len(self.ends)
        out = np.empty((count, len(self.names)), bool)
        out[known] = self.patterns[pattern[known]]
        out[~known] = rng.random((int((~known).sum()), len(self.names))) < self.rest
        return {name: out[:, i] for i, name in enumerate(self.names)}
