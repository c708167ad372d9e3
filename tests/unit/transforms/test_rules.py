"""One rule on a column says of each value what plain Python says."""

from __future__ import annotations

import datetime as dt
import operator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contract import Column, Rule
from schemas.errors import UsageError
from transforms.rules import check

OPERATORS = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusive_minimum": operator.gt,
    "exclusive_maximum": operator.lt,
}
BOUNDS = st.sampled_from(sorted(OPERATORS))
INT64 = st.integers(-(2**63), 2**63 - 1)


def keeps(values: list[Any], kind: pa.DataType, rule: str, argument: object) -> list[bool]:
    """What the rule says of each value; no value keeps it."""
    column = Column(name="c", path="c", type=kind, logical="string")
    made = check(column, Rule(kind=rule, value=argument), "c")
    assert made.test is not None
    result = made.test(pa.array(values, kind))
    return [True] * len(values) if result is None else [r is not False for r in result.to_pylist()]


@settings(max_examples=60)
@given(BOUNDS, st.lists(st.one_of(st.none(), INT64)), st.one_of(INT64, st.floats(-1e30, 1e30)))
def test_integers_compare_exactly_with_any_bound(
    rule: str, values: list[int | None], bound: float
) -> None:
    expected = [v is None or OPERATORS[rule](v, bound) for v in values]
    assert keeps(values, pa.int64(), rule, bound) == expected


@settings(max_examples=50)
@given(BOUNDS, st.lists(st.one_of(st.none(), st.floats())), st.floats(-1e9, 1e9))
def test_doubles_compare_as_doubles_and_nan_keeps_no_bound(
    rule: str, values: list[float | None], bound: float
) -> None:
    expected = [v is None or OPERATORS[rule](v, bound) for v in values]
    assert keeps(values, pa.float64(), rule, bound) == expected


@settings(max_examples=50)
@given(
    BOUNDS,
    st.lists(st.one_of(st.none(), st.decimals(-(10**6), 10**6, places=3))),
    st.one_of(st.decimals(-(10**6), 10**6, places=5), st.integers(-(10**6), 10**6), st.just(0.1)),
)
def test_decimals_compare_exactly(rule: str, values: list[Any], bound: object) -> None:
    exact = Decimal(str(bound))
    expected = [v is None or OPERATORS[rule](v, exact) for v in values]
    assert keeps(values, pa.decimal128(12, 3), rule, bound) == expected


@given(
    BOUNDS,
    st.lists(st.one_of(st.none(), st.datetimes(timezones=st.just(dt.UTC)))),
)
@settings(max_examples=50)
def test_timestamps_compare_with_an_iso_bound(rule: str, values: list[dt.datetime | None]) -> None:
    bound = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    expected = [v is None or OPERATORS[rule](v, bound) for v in values]
    kind = pa.timestamp("us", "UTC")
    assert keeps(values, kind, rule, "2026-01-01T00:00:00Z") == expected
    assert keeps(values, kind, rule, "2026-01-01T09:00:00+09:00") == expected


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.integers(-1000, 1000))), st.integers(1, 50))
def test_whole_multiples(values: list[int | None], step: int) -> None:
    expected = [v is None or v % step == 0 for v in values]
    assert keeps(values, pa.int64(), "multiple_of", step) == expected
    decimals = [None if v is None else Decimal(v) for v in values]
    assert keeps(decimals, pa.decimal128(10, 0), "multiple_of", step) == expected


HUNDREDTHS = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), HUNDREDTHS)), st.integers(1, 500).map(lambda n: Decimal(n) / 100)
)
def test_a_double_is_a_multiple_if_its_decimal_text_is(
    values: list[Decimal | None], step: Decimal
) -> None:
    expected = [v is None or v % step == 0 for v in values]
    floats = [None if v is None else float(v) for v in values]
    assert keeps(floats, pa.float64(), "multiple_of", float(step)) == expected
    assert keeps(values, pa.decimal128(20, 2), "multiple_of", float(step)) == expected


def test_what_is_not_finite_or_near_zero_is_no_multiple() -> None:
    values = [float("nan"), float("inf"), 1e-20, 0.0, 1e9 + 0.5]
    assert keeps(values, pa.float64(), "multiple_of", 1) == [False, False, False, True, False]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.text(max_size=6))), st.integers(0, 6))
def test_lengths_count_characters(values: list[str | None], limit: int) -> None:
    longest = [v is None or len(v) <= limit for v in values]
    assert keeps(values, pa.string(), "max_length", limit) == longest
    shortest = [v is None or len(v) >= limit for v in values]
    assert keeps(values, pa.string(), "min_length", limit) == shortest


ITEMS = st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=5))


@settings(max_examples=50)
@given(st.lists(ITEMS), st.integers(0, 4))
def test_items_are_counted_and_compared(values: list[list[int | None] | None], limit: int) -> None:
    kind = pa.list_(pa.int64())
    assert keeps(values, kind, "max_items", limit) == [v is None or len(v) <= limit for v in values]
    assert keeps(values, kind, "min_items", limit) == [v is None or len(v) >= limit for v in values]
    unique = [v is None or len(set(v)) == len(v) for v in values]
    assert keeps(values, kind, "unique_items", True) == unique


def test_items_that_are_objects_are_compared_as_values() -> None:
    kind = pa.list_(pa.struct({"a": pa.int64(), "b": pa.string()}))
    same, other = {"a": 1, "b": "x"}, {"a": 1, "b": "y"}
    assert keeps([[same, other], [same, same], None], kind, "unique_items", True) == [
        True,
        False,
        True,
    ]
    assert keeps([[same, same]], kind, "unique_items", False) == [True]


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from("abcd"))),
    st.sets(st.sampled_from("abc"), min_size=1),
)
def test_an_enumeration_holds_what_it_names(values: list[str | None], allowed: set[str]) -> None:
    expected = [v is None or v in allowed for v in values]
    assert keeps(values, pa.string(), "enum", tuple(sorted(allowed))) == expected


def test_enumerations_of_other_types() -> None:
    assert keeps([1, 2, None], pa.int64(), "enum", (1, 3)) == [True, False, True]
    assert keeps([dt.date(2026, 1, 1)], pa.date32(), "enum", ("2026-01-01",)) == [True]
    assert keeps([Decimal("1.50"), Decimal("2.00")], pa.decimal128(5, 2), "enum", (1.5,)) == [
        True,
        False,
    ]
    assert keeps([True, False], pa.bool_(), "enum", (True,)) == [True, False]


def test_a_pattern_is_searched_for() -> None:
    values = ["ab1", "é", "", None]
    assert keeps(values, pa.string(), "pattern", r"\d") == [True, False, False, True]
    assert keeps(values, pa.string(), "pattern", "^.$") == [False, True, False, True]


@pytest.mark.parametrize(
    ("kind", "rule", "argument"),
    [
        (pa.int64(), "pattern", "a"),
        (pa.string(), "pattern", "(?=a)"),
        (pa.string(), "minimum", 1),
        (pa.int64(), "minimum", "1"),
        (pa.int64(), "minimum", float("inf")),
        (pa.int64(), "multiple_of", 0),
        (pa.int64(), "enum", (True,)),
        (pa.string(), "format", "colour"),
        (pa.string(), "min_items", 1),
        (pa.int64(), "max_length", 1),
        (pa.date32(), "maximum", "yesterday"),
        (pa.string(), "sorted", True),
    ],
)
def test_a_rule_without_meaning_is_refused_when_it_is_made(
    kind: pa.DataType, rule: str, argument: object
) -> None:
    with pytest.raises(UsageError, match=f"c: rule {rule} must suit the column's type"):
        keeps([], kind, rule, argument)
