"""How numbers are spread: quantiles that are each a mean of several rows, or a value of many."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Final

import numpy as np

_BINS: Final = 512
_ATOMS: Final = 4096
_DIGITS: Final = 7
_USUAL_VALUES, _USUAL_ROWS = 0.3, 0.98
_WHOLE: Final = 0.995
_EXACT: Final = 2.0**53

SCORES: Final = np.linspace(-6.0, 6.0, 2049)
_CHANCES: Final = np.array([NormalDist().cdf(z) for z in SCORES.tolist()])


def score(chance: np.ndarray) -> np.ndarray:
    """Return the standard normal quantile of probabilities."""
    return np.interp(chance, _CHANCES, SCORES)


def chance(scores: np.ndarray) -> np.ndarray:
    """Return the probability that a standard normal number is below a score."""
    return np.interp(scores, SCORES, _CHANCES)


@dataclass(frozen=True, eq=False)
class Quantiles:
    """A quantile function, linear between its knots.

    Attributes:
        scores: Normal scores of the knots' probabilities, ascending.
        values: What is there.
    """

    scores: np.ndarray
    values: np.ndarray

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Return the values of normal scores."""
        return np.interp(scores, self.scores, self.values)


def quantiles_of(
    values: np.ndarray, least: int, *, shared: bool, step: float = 0.0
) -> Quantiles | None:
    """Learn how numbers are spread.

    A value that `least` rows share is a knot, the others are put together by `least` and more: the
    knot is their mean. Beyond the outermost mean goes the deviation of its rows, short of the
    least and the greatest value.

    Args:
        values: Finite, float64.
        least: Rows that make a knot.
        shared: Whether a value that so many rows share may be one.
        step: What values are multiples of; 0: of nothing.

    Returns:
        None if there are too few rows to hide one among.
    """
    count = len(values)
    if count < 2 * least:
        return None
    values = np.sort(values)
    atoms = _atoms(values, least) if shared else np.zeros(count, bool)
    starts, ends, whole = _pieces(values, atoms, least)
    means = np.add.reduceat(values, starts) / (ends - starts)
    kept = whole | (ends - starts >= least)
    middle = (starts + ends) / 2
    low = np.where(whole, starts, middle)[kept]
    high = np.where(whole, ends, middle)[kept]
    chances = np.stack([low, high], axis=1).ravel() / count
    knots = np.repeat(np.where(whole, values[starts], means)[kept], 2)
    once = np.stack([np.ones(kept.sum(), bool), whole[kept]], axis=1).ravel()
    chances, knots = chances[once], knots[once]
    if not len(knots):
        return None
    least_value, most_value = _inner(values, atoms, step)
    if not whole[0] and kept[0]:
        edge = knots[0] - _spread(values[: ends[0]])
        chances, knots = np.r_[0.5 / count, chances], np.r_[edge, knots]
    if not whole[-1] and kept[-1]:
        edge = knots[-1] + _spread(values[starts[-1] :])
        chances, knots = np.r_[chances, 1 - 0.5 / count], np.r_[knots, edge]
    if least_value <= most_value:
        knots = np.clip(knots, least_value, most_value)
    return Quantiles(score(chances), knots)


def _atoms(values: np.ndarray, least: int) -> np.ndarray:
    """Return which rows have a value that so many share, of the most frequent ones."""
    _, counts = np.unique(values, return_counts=True)
    most = np.sort(counts)[-_ATOMS] if len(counts) > _ATOMS else 0
    return np.repeat(counts >= max(least, most), counts)


def _pieces(
    values: np.ndarray, atoms: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut sorted rows: each shared value is a piece, runs of others are cut into even ones."""
    count = len(values)
    new = np.ones(count, bool)
    new[1:] = (atoms[1:] != atoms[:-1]) | (atoms[1:] & (values[1:] != values[:-1]))
    first = np.flatnonzero(new)
    size = np.diff(np.r_[first, count])
    parts = np.maximum(np.minimum(size // least, -(-size * _BINS // count)), 1)
    parts[atoms[first]] = 1
    rank = np.arange(count) - np.repeat(first, size)
    part = rank * np.repeat(parts, size) // np.repeat(size, size)
    new[1:] |= part[1:] != part[:-1]
    starts = np.flatnonzero(new)
    return starts, np.r_[starts[1:], count], atoms[starts]


def _spread(values: np.ndarray) -> float:
    return float(np.std(values))


def _inner(values: np.ndarray, atoms: np.ndarray, step: float) -> tuple[float, float]:
    """Return the bounds that keep off the extremes, unless many rows share these."""
    low, high = float(values[0]), float(values[-1])
    inward = step or (high - low) * 1e-6
    return low if atoms[0] else low + inward, high if atoms[-1] else high - inward


def usual_values(values: np.ndarray, least: int) -> np.ndarray | None:
    """Return the values that many rows share, if these are most of all there are; None: not so."""
    found, counts = np.unique(values, return_counts=True)
    shared = counts >= least
    few = shared.sum() < len(found) * _USUAL_VALUES or shared.sum() > _ATOMS
    return None if few or counts[shared].sum() < len(values) * _USUAL_ROWS else found[shared]


def nearest(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return for each value the nearest of some in ascending order; what is beyond them stays."""
    near = known[np.searchsorted((known[1:] + known[:-1]) / 2, values)]
    return np.where((values < known[0]) | (values > known[-1]), values, near)


def step_of(values: np.ndarray) -> Decimal | None:
    """Return what nearly all values are multiples of (1, 0.01, 0.25, 100 ...); None: of nothing."""
    for digits in range(_DIGITS):
        scaled = values * 10.0**digits
        if not (np.abs(scaled) < _EXACT).all():
            return None
        whole = np.rint(scaled)
        near = np.abs(scaled - whole) <= 1e-9 * np.maximum(np.abs(scaled), 1)
        if near.mean() >= _WHOLE:
            common = int(np.gcd.reduce(np.abs(whole[near]).astype(np.int64)))
            return Decimal(max(common, 1)).scaleb(-digits)
    return None
