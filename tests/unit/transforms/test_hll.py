"""approx_count_distinct: how far off, what equals what, and that its hash never changes."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.aggregate import sketch

ERROR = 1.04 / math.sqrt(sketch.REGISTERS)


def _texts(start: int, end: int) -> pa.Array:
    return pa.array(np.arange(start, end)).cast(pa.string())


def _sketch(values: pa.Array, key: int = 1) -> pa.LargeBinaryArray:
    return sketch.add(np.zeros(len(values), np.int64), 1, values, key)


@pytest.mark.parametrize(
    ("count", "bound"),
    [
        (0, 0.0),
        (1, 0.0),
        (10, 0.0),
        (1_000, 0.01),
        (20_000, 4 * ERROR),
        (40_000, 4 * ERROR),
        (100_000, 4 * ERROR),
        (1_000_000, 4 * ERROR),
    ],
)
def test_an_estimate_is_within_its_bound(count: int, bound: float) -> None:
    (found,) = sketch.estimate(_sketch(_texts(0, count)))
    assert abs(found - count) <= bound * count


def test_the_error_over_many_keys_is_the_one_promised() -> None:
    values = _texts(0, 60_000)
    found = np.concatenate([sketch.estimate(_sketch(values, key)) for key in range(20)])
    errors = found / len(values) - 1
    assert abs(errors.mean()) < 3 * ERROR / math.sqrt(20)
    assert 0.5 * ERROR < errors.std() < 1.6 * ERROR


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(0, 100), max_size=60), data=st.data())
def test_sketches_of_any_cut_unite_to_the_sketch_of_the_whole(
    values: list[int], data: st.DataObject
) -> None:
    groups = np.array([value % 3 for value in values], np.int64)
    texts = pa.array(values, pa.int64()).cast(pa.string())
    whole = sketch.add(groups, 3, texts, 9)
    order = np.array(data.draw(st.permutations(range(len(values)))), np.int64)
    parts = np.array_split(order, data.draw(st.integers(1, 4)))
    made = [sketch.add(groups[part], 3, texts.take(pa.array(part)), 9) for part in parts]
    united = sketch.merge(np.tile(np.arange(3), len(made)), 3, pa.concat_arrays(made))
    assert united == whole


def test_values_seen_again_change_nothing() -> None:
    once = _sketch(_texts(0, 5_000))
    twice = _sketch(pa.concat_arrays([_texts(0, 5_000)] * 2))
    assert once == twice


def test_a_sketch_is_no_larger_than_its_registers() -> None:
    assert len(_sketch(_texts(0, 300_000))[0].as_py()) <= 4 * sketch.REGISTERS
    assert len(_sketch(_texts(0, 3))[0].as_py()) == 12


def test_the_hash_gives_the_published_values_of_xxh3() -> None:
    # https://github.com/Cyan4973/xxHash: XXH3_64bits of no bytes; the others by its own xxhsum 0.8.
    assert sketch.hash_values(pa.array([""]), 0).tolist() == [0x2D06800538D394C2]
    assert sketch.hash_values(pa.array([b"a"]), 0).tolist() == [0xE6C632B61E964E1F]
    assert sketch.hash_values(pa.array(["abc"]), 0).tolist() == [0x78AF5F94892F3950]


def test_another_key_gives_another_sketch() -> None:
    assert _sketch(_texts(0, 100), 1) != _sketch(_texts(0, 100), 2)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, 3]),
        pa.array([1.0, 2.0, 3.0]),
        pa.array([1, 2, 3], pa.date32()),
        pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
        pa.array([1, 2, 3]).cast(pa.decimal128(20, 0)),
        pa.array([b"1", b"2", b"3"]),
        pa.array(["1", "2", "3"]),
    ],
    ids=lambda values: str(values.type),
)
def test_every_type_is_counted_sliced_or_not(values: pa.Array) -> None:
    assert sketch.estimate(_sketch(values)).tolist() == [3]
    assert sketch.estimate(_sketch(values[1:])).tolist() == [2]
    assert _sketch(values[1:]) == _sketch(pa.concat_arrays([values[1:], values[2:]]))


def test_booleans_are_two_values() -> None:
    assert sketch.estimate(_sketch(pa.array([True, False, True])[1:])).tolist() == [2]


def test_zeros_are_one_value_and_nans_another() -> None:
    payload = np.array([0x7FF8000000000001], np.int64).view(np.float64)[0]
    values = pa.array(np.array([0.0, -0.0, math.nan, -math.nan, payload]))
    assert sketch.estimate(_sketch(values)).tolist() == [2]
