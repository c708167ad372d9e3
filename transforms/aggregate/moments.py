"""Mean and sum of squared deviations of groups, merged after Chan, Golub and LeVeque (1979).

Every deviation is taken from a value of its own group, so that neither a large mean nor the cut of
the input costs digits: (n, mean, M2) with the mean as a pair of doubles, and a row is the group
(1, value, 0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.aggregate.groups import Indices

Doubles = NDArray[np.float64]


class Moments(NamedTuple):
    """Moments of groups.

    Attributes:
        n: Number of values (int64).
        mean: Their mean.
        rest: What `mean` lacks of the true mean.
        m2: Sum of squared deviations from the mean.
    """

    n: NDArray[np.int64]
    mean: Doubles
    rest: Doubles
    m2: Doubles


def of_rows(values: Doubles) -> Moments:
    """Take each value as a group of its own."""
    zeros = np.zeros(len(values))
    return Moments(np.ones(len(values), np.int64), values, zeros, zeros)


def merge(ids: Indices, count: int, parts: Moments) -> Moments:
    """Merge moments by group; a group without values is (0, 0, 0, 0)."""
    there = parts.n > 0
    ids = ids[there]
    n, mean, rest, m2 = (column[there] for column in parts)
    weight = n.astype(np.float64)
    total = np.bincount(ids, weight, count)
    safe = np.maximum(total, 1)
    origin, origin_rest = np.zeros(count), np.zeros(count)
    origin[ids], origin_rest[ids] = mean, rest
    with np.errstate(invalid="ignore", over="ignore"):
        away = (mean - origin[ids]) + (rest - origin_rest[ids])
        shift = np.bincount(ids, weight * away, count) / safe
        apart = away - shift[ids]
        spread: Doubles = np.bincount(ids, m2 + weight * apart * apart, count).astype(np.float64)
        high = origin + shift
        back = high - origin
        low = (origin - (high - back)) + (shift - back) + origin_rest
    return Moments(np.bincount(ids, n, count).astype(np.int64), high, low, spread)


def deviation(moments: Moments) -> tuple[Doubles, NDArray[np.bool_]]:
    """Return the sample standard deviation, M2 / (n - 1), and where it is defined (n >= 2).

    NaN where a value was NaN or infinite, or a square exceeds a double.
    """
    defined = moments.n >= 2
    with np.errstate(invalid="ignore"):
        result = np.sqrt(moments.m2 / np.maximum(moments.n - 1, 1))
    return np.where(np.isfinite(result), result, np.nan), defined
