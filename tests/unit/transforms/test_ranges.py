from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.commit.ranges import Range, Ranges, common, merged, missing, size, within

RANGE = st.tuples(st.integers(-3, 40), st.integers(-3, 40))
RANGES = st.dictionaries(st.sampled_from("abc"), st.lists(RANGE, max_size=6), max_size=3)


def spots(ranges: Ranges) -> set[tuple[str, int]]:
    return {(s, p) for s, several in ranges.items() for a, b in several for p in range(a, b)}


def is_merged(ranges: Ranges) -> bool:
    return all(
        several and all(a < b for a, b in several) and all(x[1] < y[0] for x, y in pairs(several))
        for several in ranges.values()
    )


def pairs(several: list[Range]) -> Iterator[tuple[Range, Range]]:
    return pairwise(several)


@settings(max_examples=200)
@given(RANGES, RANGES)
def test_the_algebra_is_that_of_sets_of_positions(one: Ranges, other: Ranges) -> None:
    union, rest, both = merged(one, other), missing(one, other), common(one, other)
    assert spots(union) == spots(one) | spots(other)
    assert spots(rest) == spots(one) - spots(other)
    assert spots(both) == spots(one) & spots(other)
    assert is_merged(union)
    assert is_merged(rest)
    assert is_merged(both)
    assert size(union) == len(spots(union))


@settings(max_examples=100)
@given(RANGES, st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-5, 45)), max_size=30))
def test_a_row_is_within_iff_its_position_is(ranges: Ranges, rows: list[tuple[str, int]]) -> None:
    sources = pa.array([s for s, _ in rows], pa.string())
    positions = pa.array([p for _, p in rows], pa.int64())
    wanted = [(s, p) in spots(ranges) for s, p in rows]
    assert within(sources, positions, ranges).tolist() == wanted
    assert within(sources.dictionary_encode(), positions, ranges).tolist() == wanted
    cut = pa.chunked_array([sources[:7].dictionary_encode(), sources[7:].dictionary_encode()])
    assert within(cut, positions, ranges).tolist() == wanted


def test_a_dictionary_that_names_a_source_twice_is_understood() -> None:
    twice = pa.DictionaryArray.from_arrays(np.array([0, 1], np.int32), ["a", "a"])
    assert within(twice, pa.array([1, 2], pa.int64()), {"a": [(0, 3)]}).tolist() == [True, True]


def test_the_caller_s_ranges_are_not_changed() -> None:
    wanted, done = {"a": [(0, 10)]}, {"a": [(2, 4), (3, 5)]}
    missing(wanted, done)
    merged(wanted, done)
    assert wanted == {"a": [(0, 10)]}
    assert done == {"a": [(2, 4), (3, 5)]}
