"""DDSketch: quantiles to within 1 % of the value, from how many values each bucket holds.

Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019. A bucket holds the values between two successive powers of gamma, so the
point between its ends is within (gamma - 1) / (gamma + 1) of each. Here gamma is the 35th root of
2: 0.99 %. So a bucket is an exponent and one of 35 parts of the mantissa, found by comparing: no
logarithm, of which machines give different last digits.

Unlike the paper's, a sketch never throws its lowest buckets together, which would forget their
values: it has as many entries (12 bytes) as values fall in different buckets, 700 for a range of
one to a million. Zero, both infinities and NaN, which is greater than all, have buckets of their
own. Below the least normal double (2.2e-308) a result is rounded as doubles are there.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.aggregate.groups import Indices
from transforms.aggregate.ragged import pack, unpack

PARTS: Final = 35
"""Buckets from a number to twice that number."""
DIGITS: Final = 9
"""Most digits behind the point of a quantile: its rank is then exact in 64 bits."""

_LEAST: Final = -1073
"""Exponent of the least double as `frexp` gives it."""
_INFINITE: Final = (1024 - _LEAST + 1) * PARTS + 1
_NAN: Final = _INFINITE + 1
_BITS: Final = 18
_OFFSET: Final = 1 << (_BITS - 1)
_ENTRY: Final = np.dtype([("bucket", np.int32), ("count", np.int64)])


def _roots() -> NDArray[np.float64]:
    context = Context(prec=40)
    powers = (context.power(2, context.divide(Decimal(k), PARTS)) for k in range(PARTS + 1))
    return np.array([float(power) / 2 for power in powers])


_EDGES: Final = _roots()
"""Where the parts of the mantissas in [0.5, 1) begin, and the end of the last."""
_POINTS: Final = 2 * _EDGES[:-1] * _EDGES[1:] / (_EDGES[:-1] + _EDGES[1:])
"""The point of each part whose relative distance from both ends is the same."""


def add(ids: Indices, count: int, values: pa.Array) -> pa.LargeBinaryArray:
    """Sketch the values of each group.

    Args:
        ids: Group of each value, 0 <= id < count.
        count: Number of groups.
        values: Numbers, no nulls; those that are no double are rounded to one.
    """
    doubles = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return _packed(ids, _buckets(doubles), None, count)


def merge(ids: Indices, count: int, sketches: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Unite sketches by group."""
    owners, entries = unpack(sketches, _ENTRY)
    return _packed(ids[owners], entries["bucket"].astype(np.int64), entries["count"], count)


def estimate(sketches: pa.LargeBinaryArray, quantile: Decimal) -> pa.Array:
    """Return about the least value that at least this part of a sketch's values does not exceed.

    It is DuckDB's `quantile_disc`: the value of rank ceil(quantile * n), of rank 1 for quantile 0.
    Null for a sketch of nothing.

    Args:
        sketches: What `add` and `merge` make.
        quantile: From 0 to 1, with at most `DIGITS` digits behind the point.
    """
    owners, entries = unpack(sketches, _ENTRY)
    running = np.cumsum(entries["count"])
    ends = np.searchsorted(owners, np.arange(len(sketches)), side="right")
    totals = np.concatenate([[0], running])[ends]
    sizes = np.diff(totals, prepend=0)
    there = sizes > 0
    wanted = (totals - sizes)[there] + _ranks(sizes[there], quantile)
    found = entries["bucket"][np.searchsorted(running, wanted)]
    out = np.zeros(len(sketches))
    out[there] = _values(found.astype(np.int64))
    return pa.array(out, mask=~there)


def _ranks(sizes: Indices, quantile: Decimal) -> Indices:
    over, under = quantile.as_integer_ratio()
    whole, rest = np.divmod(sizes, under)
    return np.maximum(whole * over - (-rest * over) // under, 1)


def _buckets(values: NDArray[np.float64]) -> Indices:
    """Return the bucket of each value; of a greater value no smaller one, and 0 of zero."""
    mantissas, exponents = np.frexp(np.abs(values))
    parts = np.searchsorted(_EDGES, mantissas, side="right")
    buckets = (exponents.astype(np.int64) - _LEAST) * PARTS + parts
    buckets[mantissas == 0.0] = 0
    np.negative(buckets, out=buckets, where=values < 0)
    strange = ~np.isfinite(values)
    if strange.any():
        odd = values[strange]
        buckets[strange] = np.where(np.isnan(odd), _NAN, np.where(odd > 0, _INFINITE, -_INFINITE))
    return buckets


def _values(buckets: Indices) -> NDArray[np.float64]:
    above, parts = np.divmod(np.abs(buckets) - 1, PARTS)
    out = np.ldexp(_POINTS[parts], np.minimum(above + _LEAST, 1024))
    out[buckets == 0] = 0.0
    out[np.abs(buckets) == _INFINITE] = np.inf
    out[buckets == _NAN] = np.nan
    return np.where(buckets < 0, -out, out)


def _packed(
    ids: Indices, buckets: Indices, counts: Indices | None, count: int
) -> pa.LargeBinaryArray:
    """Add up the counts (None: ones) of equal group and bucket; entries are in their order."""
    low = int(buckets.min(initial=_OFFSET))
    room = int(buckets.max(initial=low)) - low + 1
    if count * room <= 4 * len(ids) + 64:
        keys = ids * room + (buckets - low)
        sums = _sums(keys, counts, count * room)
        found = np.flatnonzero(sums)
        owners, held = np.divmod(found, room)
        return _entries(owners, held + low, sums[found], count)
    keys = ids << _BITS | (buckets + _OFFSET)
    if counts is None:
        keys.sort()
    else:
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    ends = np.append(begins[1:], len(keys))
    sums = ends - begins if counts is None else np.add.reduceat(counts, begins)
    found = keys[begins]
    return _entries(found >> _BITS, (found & ((1 << _BITS) - 1)) - _OFFSET, sums, count)


def _sums(keys: Indices, counts: Indices | None, room: int) -> Indices:
    if counts is None:
        return np.bincount(keys, minlength=room)
    sums = np.zeros(room, np.int64)
    np.add.at(sums, keys, counts)
    return sums


def _entries(owners: Indices, buckets: Indices, sums: Indices, count: int) -> pa.LargeBinaryArray:
    entries = np.empty(len(owners), _ENTRY)
    entries["bucket"], entries["count"] = buckets, sums
    return pack(owners, entries, count)
