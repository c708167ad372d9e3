"""HyperLogLog on columns: packed (register, rank) pairs, merged by group-by, never a dense array.

A value's 64-bit hash (xxh3, seeded by the plan) names one of 2**14 registers by its first 14 bits;
the rank is one more than the leading zeros of the rest. A sketch is the greatest rank of each
register that was hit, packed as `register << 6 | rank` in uint32. Estimates are those of O. Ertl,
"New cardinality estimation algorithms for HyperLogLog sketches" (2017), section 4: no bias
tables, good from one value on. Standard error 1.04 / sqrt(2**14), 0.8 %.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

_BITS: Final = 14
_REGISTERS: Final = 1 << _BITS
_RANKS: Final = 64 - _BITS
"""Ranks run from 1 to _RANKS + 1."""


def packed(values: pl.Series, key: int) -> pl.Series:
    """Return the packed pair of each value (uint32), null for null.

    Args:
        values: Of any type that has a text form; equal values must have equal text.
        key: Seed of the hash.
    """
    text = values if values.dtype == pl.String else values.cast(pl.String)
    # The plugin gives a hash for null, too.
    hashed = text.to_frame("v").select(plh.col("v").nchash.xxh3_64(seed=key & 0xFFFFFFFF))["v"]
    bits = hashed.to_numpy()
    register = (bits >> np.uint64(64 - _BITS)).astype(np.uint32)
    # A stop bit below the rest bounds the rank.
    rest = (bits << np.uint64(_BITS)) | np.uint64(1 << (_BITS - 1))
    rank = (64 - _bit_length(rest) + 1).astype(np.uint32)
    out = pl.Series("packed", (register << np.uint32(6)) | rank)
    return out if not text.null_count() else pl.select(
        pl.when(pl.lit(text).is_not_null()).then(pl.lit(out)).alias("packed")
    )["packed"]


def _bit_length(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    high = (bits >> np.uint64(32)).astype(np.uint32)
    low = bits.astype(np.uint32)
    # Exact: a uint32 fits a double.
    _, of_high = np.frexp(high.astype(np.float64))
    _, of_low = np.frexp(low.astype(np.float64))
    return np.where(high > 0, of_high.astype(np.int64) + 32, of_low.astype(np.int64))


def best(column: str) -> pl.Expr:
    """Return, inside a group-by, the greatest pair of each register as a list.

    Pairs sort by register, then rank: the last of each run of one register is the best.
    """
    pairs = pl.col(column).drop_nulls().sort()
    return pairs.filter((pairs.shift(-1) // 64 != pairs // 64).fill_null(value=True))


def estimate(sketches: pl.Series) -> NDArray[np.int64]:
    """Estimate the distinct values behind each sketch.

    Args:
        sketches: list[uint32], one best pair a register; a null or empty list is 0.
    """
    n = len(sketches)
    ranks = (
        pl.DataFrame({"g": np.arange(n, dtype=np.int64), "p": sketches})
        .explode("p")
        .drop_nulls("p")
        .group_by("g", (pl.col("p") % 64).alias("k"))
        .len()
    )
    counts = np.zeros((n, _RANKS + 2))
    counts[ranks["g"].to_numpy(), ranks["k"].to_numpy().astype(np.int64)] = ranks["len"].to_numpy()
    counts[:, 0] = _REGISTERS - counts[:, 1:].sum(axis=1)
    z = _REGISTERS * _tau(1 - counts[:, _RANKS + 1] / _REGISTERS)
    for k in range(_RANKS, 0, -1):
        z = (z + counts[:, k]) / 2
    z += _REGISTERS * _sigma(counts[:, 0] / _REGISTERS)
    with np.errstate(divide="ignore"):
        raw = _REGISTERS**2 / (2 * np.log(2)) / z
    return np.where(np.isfinite(raw), np.round(raw), 0).astype(np.int64)


def _sigma(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ertl's sigma: x + sum of x**(2**k) * 2**(k-1); infinite at 1."""
    out, power, y = x.copy(), x.copy(), 1.0
    for _ in range(64):
        power = power * power
        step = power * y
        out += step
        y += y
        if not (step > 1e-18 * out).any():
            break
    return np.where(x >= 1, np.inf, out)


def _tau(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ertl's tau: (1 - x - sum of (1 - x**(2**-k))**2 * 2**-k) / 3; 0 at 0 and 1."""
    out, power, y = 1 - x, x.copy(), 1.0
    for _ in range(64):
        power = np.sqrt(power)
        y /= 2
        step = (1 - power) ** 2 * y
        out -= step
        if not (step > 1e-18).any():
            break
    return np.where((x <= 0) | (x >= 1), 0.0, out / 3)
