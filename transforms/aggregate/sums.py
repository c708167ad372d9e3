"""Exact sums of integers, decimals and doubles: the same bits whatever the order and the cut.

Doubles lose low bits when they are added, others in another order. Here a sum is held as a number
of base 2**32: each value is split into digits of fixed places, and the digits of each place are
added as integers, which loses nothing. It is rounded once, to the nearest double, at the end. (The
idea is Kulisch's long accumulator, kept sparse; a column of amounts has two to four digits.)

A digit of place p counts 2**(32 p - 1088), so that place 0 holds the smallest double and place 34
counts ones; decimals are integers of their last decimal place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.aggregate.groups import Indices
from transforms.aggregate.ragged import pack, unpack

BITS: Final = 32
ZERO: Final = 1088
ONES: Final = ZERO // BITS

_DIGIT: Final = np.dtype([("place", np.int64), ("digit", np.int64)])
_PLACES: Final = 128
_MASK: Final = (1 << BITS) - 1
_HUGE: Final = 60
"""Digits from this place on may be no doubles by themselves."""

ROWS: Final = 1 << 20
"""So many digits, each up to 2**32, are added without a rounding in float64."""


def add(ids: Indices, count: int, values: pa.Array) -> pa.LargeBinaryArray:
    """Sum values by group.

    Args:
        ids: Group of each value, 0 <= id < count; at most `ROWS` of them.
        count: Number of groups.
        values: Integers, decimals (any but 256 bit) or finite doubles; no nulls.

    Returns:
        The sum of each group, as digits.
    """
    owners, places, digits = [], [], []
    for place, column in _split(values):
        sums = np.bincount(ids, column, count)
        found = np.flatnonzero(sums)
        owners.append(found)
        places.append(np.full(len(found), place))
        digits.append(sums[found].astype(np.int64))
    if not owners:
        return pack(np.empty(0, np.int64), np.empty(0, _DIGIT), count)
    return _packed(np.concatenate(owners), np.concatenate(places), np.concatenate(digits), count)


def merge(ids: Indices, count: int, sums: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Sum partial sums by group."""
    owners, items = unpack(sums, _DIGIT)
    return _packed(ids[owners], items["place"], items["digit"], count)


def as_doubles(
    sums: pa.LargeBinaryArray, divisors: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return each sum as the nearest double, then divided by its divisor.

    A sum beyond doubles is infinite, its quotient only if that is beyond them too.
    """
    owners, items = unpack(sums, _DIGIT)
    cuts = np.searchsorted(owners, np.arange(len(sums) + 1))
    begins, ends = cuts[:-1], cuts[1:]
    counts = ends - begins
    with np.errstate(over="ignore"):
        terms = np.ldexp(items["digit"].astype(np.float64), items["place"] * BITS - ZERO)
    # One addition rounds once: only three terms and more need fsum, which does too.
    totals: NDArray[np.float64] = np.zeros(len(sums))
    totals[counts > 0] = terms[begins[counts > 0]]
    totals[counts == 2] += terms[begins[counts == 2] + 1]
    many = np.flatnonzero(counts > 2)
    huge = np.zeros(len(sums), bool)
    huge[owners[items["place"] >= _HUGE]] = True
    flat = terms.tolist()
    for at in many[~huge[many]].tolist():
        totals[at] = math.fsum(flat[begins[at] : ends[at]])
    if divisors is not None:
        totals = totals / divisors
    for at in np.flatnonzero(huge).tolist():
        divisor = 1 if divisors is None else int(divisors[at])
        totals[at] = _quotient(items[begins[at] : ends[at]], divisor)
    return totals


def _quotient(items: NDArray, divisor: int) -> float:
    total = sum(int(digit) << (int(place) * BITS) for place, digit in items.tolist())
    try:
        return total / (divisor << ZERO)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def as_words(sums: pa.LargeBinaryArray, words: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return each sum of integers as a two's complement number of 32-bit words, lowest first.

    Returns:
        Words, of shape (sums, words), and which of the sums fit into so many.
    """
    owners, items = unpack(sums, _DIGIT)
    width = max(words, int(items["place"].max(initial=0)) - ONES + 1)
    digits = np.zeros((len(sums), width), np.int64)
    digits[owners, items["place"] - ONES] = items["digit"]
    carry: Indices = np.zeros(len(sums), np.int64)
    for at in range(width):
        total = digits[:, at] + carry
        digits[:, at] = total & _MASK
        carry = total >> BITS
    sign = -(digits[:, words - 1] >> (BITS - 1))
    fits = (carry == sign) & (digits[:, words:] == (sign & _MASK)[:, None]).all(axis=1)
    return digits[:, :words].astype(np.uint32), fits


def _packed(owners: Indices, places: Indices, digits: Indices, count: int) -> pa.LargeBinaryArray:
    keys, digits = _summed(owners * _PLACES + places, digits)
    # Carrying leaves every digit within 2**33, so that 2**30 partial sums add up in an int64.
    carry = (digits + (1 << (BITS - 1))) >> BITS
    keys, digits = _summed(
        np.concatenate([keys, keys + 1]), np.concatenate([digits - (carry << BITS), carry])
    )
    items = np.empty(len(keys), _DIGIT)
    items["place"], items["digit"] = keys % _PLACES, digits
    return pack(keys // _PLACES, items, count)


def _summed(keys: Indices, values: Indices) -> tuple[Indices, Indices]:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    if not len(begins):
        return ordered, values
    sums = np.add.reduceat(values[order], begins)
    there = np.flatnonzero(sums)
    return ordered[begins[there]], sums[there]


def _split(values: pa.Array) -> Iterator[tuple[int, NDArray]]:
    if not len(values):
        return
    if pa.types.is_floating(values.type):
        yield from _split_doubles(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    elif pa.types.is_decimal(values.type):
        whole = values.cast(pa.decimal128(38, values.type.scale))
        data = np.frombuffer(whole.buffers()[1], np.uint32).reshape(-1, 4)
        words = data[whole.offset : whole.offset + len(whole)]
        for at in range(3):
            yield ONES + at, words[:, at]
        yield ONES + 3, words[:, 3].astype(np.int32)
    else:
        whole = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
        yield ONES, whole & _MASK
        yield ONES + 1, whole >> BITS


def _split_doubles(values: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    # Each step takes the whole multiples of the place's unit; they and the rest are exact.
    # One buffer serves all steps: fresh pages cost more than the arithmetic.
    rest, digits, taken = values.copy(), np.empty_like(values), np.empty_like(values)
    while largest := max(float(rest.max()), -float(rest.min())):
        place = (math.frexp(largest)[1] - 1 + ZERO) // BITS
        unit = place * BITS - ZERO
        np.trunc(_scaled(rest, -unit, digits), out=digits)
        yield place, digits
        rest -= _scaled(digits, unit, taken)


def _scaled(values: NDArray[np.float64], exponent: int, out: NDArray[np.float64]) -> NDArray:
    if abs(exponent) < 1000:  # a product is faster, where 2**exponent is a normal double
        return np.multiply(values, 2.0**exponent, out=out)
    return np.ldexp(values, exponent, out=out)
