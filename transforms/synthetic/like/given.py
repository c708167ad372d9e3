"""What follows from values of other columns: which other value, which nulls, which numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

_THIN: Final = 10_000
_MOST_CODES: Final = 4096
_MOST_PARENTS: Final = 2
_MOST_ASKED: Final = 16
_LEAST_INFORMATION: Final = 0.01  # nats
_LEAST_EXPLAINED: Final = 0.2  # of the variance of normal scores


@dataclass(frozen=True, eq=False)
class Codes:
    """The values of a column as numbers.

    Attributes:
        codes: One a row: below `size`, or -1 where there is no value.
        size: How many different ones there may be.
    """

    codes: np.ndarray
    size: int


@dataclass(frozen=True, eq=False)
class Given:
    """Codes of a column by the code of another one, or of two that are taken as one.

    Pairs that fewer rows of the sample have than the guard asks are not kept: where a row would
    have one of these, its code is drawn from all such rows alike.

    Attributes:
        parents: Names of the other columns, each with the number of its codes.
        ends: Rows of all pairs up to each, in the order of the parents' code.
        codes: Of each pair.
        start: For each of the parents' codes the rows of all pairs before.
        rows: For each of them its rows, those of pairs not kept too.
        kept: For each of them the rows of its pairs.
        rest: Cumulative share of each code among rows of pairs not kept.
    """

    parents: Mapping[str, int]
    ends: np.ndarray
    codes: np.ndarray
    start: np.ndarray
    rows: np.ndarray
    kept: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, parents: Mapping[str, Codes], codes: Codes, least: int) -> Given:
        """Learn from the rows where all are there."""
        known = together(list(parents.values()))
        both = (known.codes >= 0) & (codes.codes >= 0)
        first, second = known.codes[both], codes.codes[both]
        pairs, counts = np.unique(first * codes.size + second, return_counts=True)
        keep = counts >= least
        above, below = np.divmod(pairs, codes.size)
        rest = np.bincount(below[~keep], counts[~keep], minlength=codes.size)
        if not rest.any():
            rest = np.bincount(second, minlength=codes.size).astype(float)
        kept = np.bincount(above[keep], counts[keep], minlength=known.size)
        return cls(
            parents={name: own.size for name, own in parents.items()},
            ends=np.cumsum(counts[keep]),
            codes=below[keep],
            start=np.cumsum(kept) - kept,
            rows=np.bincount(first, minlength=known.size).astype(float),
            kept=kept,
            rest=np.cumsum(rest) / max(rest.sum(), 1),
        )

    def make(self, known: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Return a code for each row, by the codes of other columns."""
        own = [Codes(known[name], size) for name, size in self.parents.items()]
        parents = together(own).codes
        place = rng.random(len(parents)) * self.rows[parents]
        kept = place < self.kept[parents]
        out = np.searchsorted(self.rest[:-1], rng.random(len(parents)), side="right")
        at = np.searchsorted(self.ends, (self.start[parents] + place)[kept], side="right")
        out[kept] = self.codes[at]
        return out


def information(first: Codes, second: Codes) -> float:
    """Return the mutual information of two columns, in nats, less what chance alone would show."""
    both = (first.codes >= 0) & (second.codes >= 0)
    count = int(both.sum())
    if count == 0:
        return 0.0
    a, b = first.codes[both], second.codes[both]
    _, pairs = np.unique(a * second.size + b, return_counts=True)
    chance = (len(np.unique(a)) - 1) * (len(np.unique(b)) - 1) / (2 * count)
    return _entropy(np.bincount(a)) + _entropy(np.bincount(b)) - _entropy(pairs) - chance


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def explained(codes: Codes, scores: np.ndarray) -> float:
    """Return the share of a column's variance (of normal scores, NaN: none) that codes explain."""
    both = (codes.codes >= 0) & ~np.isnan(scores)
    count = int(both.sum())
    if count == 0:
        return 0.0
    of, values = codes.codes[both], scores[both]
    counts = np.bincount(of, minlength=codes.size)
    sums = np.bincount(of, values, minlength=codes.size)
    known = counts > 0
    between = (sums[known] ** 2 / counts[known]).sum() - values.sum() ** 2 / count
    total = ((values - values.mean()) ** 2).sum()
    return float(between / total - known.sum() / count) if total > 0 else 0.0


def together(columns: Sequence[Codes]) -> Codes:
    """Return one code for each combination; -1 where one of them is missing."""
    first, *others = columns
    for other in others:
        there = (first.codes >= 0) & (other.codes >= 0)
        codes = np.where(there, first.codes * other.size + other.codes, -1)
        first = Codes(codes, first.size * other.size)
    return first


def most_telling(codes: Codes, columns: Mapping[str, Codes]) -> dict[str, Codes]:
    """Return the columns, two at most, that tell most of another one's codes.

    Of many columns the first ones are asked.
    """
    chosen: dict[str, Codes] = {}
    own, told = _thinned(codes), 0.0
    for _ in range(_MOST_PARENTS):
        best, most = None, told + _LEAST_INFORMATION
        for name, other in islice(columns.items(), _MOST_ASKED):
            joint = together([*chosen.values(), other])
            if name in chosen or joint.size > _MOST_CODES:
                continue
            if (more := information(_thinned(joint), own)) > most:
                best, most = name, more
        if best is None:
            break
        chosen[best], told = columns[best], most
    return chosen


def most_explaining(scores: np.ndarray, columns: Mapping[str, Codes]) -> str | None:
    """Return the column that explains most of a column of numbers."""
    best, most = None, _LEAST_EXPLAINED
    step = -(-len(scores) // _THIN)
    for name, codes in columns.items():
        told = explained(_thinned(codes), scores[::step])
        if told > most:
            best, most = name, told
    return best


def members_of(codes: Codes, scores: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield codes with the rows that have them, and a score."""
    rows = np.flatnonzero((codes.codes >= 0) & ~np.isnan(scores))
    of = codes.codes[rows]
    rows = rows[np.argsort(of, kind="stable")]
    counts = np.bincount(of, minlength=codes.size)
    ends = np.cumsum(counts)
    for code in np.flatnonzero(counts).tolist():
        yield code, rows[ends[code] - counts[code] : ends[code]]


def _thinned(codes: Codes) -> Codes:
    return Codes(codes.codes[:: -(-len(codes.codes) // _THIN)], codes.size)


def usable(codes: Codes) -> bool:
    """Whether a column has values to tell apart, not too many."""
    return 1 < codes.size <= _MOST_CODES
