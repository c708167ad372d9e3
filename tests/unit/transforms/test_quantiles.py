"""approx_quantile: how far off, of which rank, and that no cut or order of the rows matters."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.aggregates import aggregate, batch, measure
from transforms.aggregate import quantiles
from transforms.aggregate.partials import compute

NAN, INF, LEAST_NORMAL = math.nan, math.inf, 2.2250738585072014e-308

numbers = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
parts = st.decimals(0, 1, places=2) | st.sampled_from([Decimal("0.999999999"), Decimal(1)])


def _sketch(values: list[Any], kind: pa.DataType | None = None) -> pa.LargeBinaryArray:
    found = pa.array(values, kind or pa.float64())
    return quantiles.add(np.zeros(len(values), np.int64), 1, found)


def _estimate(values: list[Any], part: str | Decimal, kind: pa.DataType | None = None) -> Any:
    (found,) = quantiles.estimate(_sketch(values, kind), Decimal(part)).to_pylist()
    return found


def _exact(values: list[float], part: Decimal) -> float:
    return sorted(values)[max(math.ceil(part * len(values)), 1) - 1]


@settings(max_examples=200, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=40), part=parts)
@example(values=[1.0, 2.0], part=Decimal("0.5"))
@example(values=[1.7976931348623157e308, -1.7976931348623157e308], part=Decimal(1))
@example(values=[LEAST_NORMAL], part=Decimal(0))
def test_an_estimate_is_within_one_percent_of_the_value_of_its_rank(
    values: list[float], part: Decimal
) -> None:
    exact = _exact(values, part)
    assert abs(_estimate(values, part) - exact) <= 0.01 * abs(exact)


@settings(max_examples=100, deadline=None)
@given(value=numbers)
def test_every_double_lies_in_its_own_bucket(value: float) -> None:
    assert abs(_estimate([value], "0.5") - value) <= 0.00991 * abs(value)


def test_the_ends_of_every_bucket_are_within_one_percent() -> None:
    edges = np.concatenate([np.ldexp(quantiles._EDGES[:-1], k) for k in (-1021, -3, 0, 1, 700)])
    values = np.concatenate([edges, np.nextafter(edges, 0)[1:], np.nextafter(edges, np.inf)])
    found = quantiles.estimate(
        quantiles.add(np.arange(len(values)), len(values), pa.array(values)), Decimal("0.5")
    )
    assert np.abs(found.to_numpy() / values - 1).max() <= 0.01


@pytest.mark.parametrize(
    ("values", "part", "found"),
    [
        ([], "0.5", None),
        ([0.0, -0.0, 0.0], "0.5", 0.0),
        ([-INF, 1.0, INF], "0", -INF),
        ([-INF, 1.0, INF], "1", INF),
        ([1.0, NAN], "1", NAN),
        ([INF, NAN], "0.5", INF),
        ([-5e-324, 5e-324], "0", -5e-324),
    ],
)
def test_zero_infinity_and_nan_have_buckets_of_their_own(
    values: list[float], part: str, found: Any
) -> None:
    assert repr(_estimate(values, part)) == repr(found)


def test_the_rank_is_exact_where_doubles_would_round_it_up() -> None:
    assert 0.07 * 100 > 7
    assert _estimate(list(range(1, 101)), "0.07") == pytest.approx(7, rel=0.01)


@pytest.mark.parametrize("part", ["0", "0.01", "0.07", "0.25", "0.5", "0.95", "0.999", "1"])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 1001])
def test_the_rank_is_that_of_duckdb(part: str, count: int) -> None:
    rng = np.random.default_rng(count)
    rows = pa.table({"x": rng.normal(0, 1e6, count)})
    ((exact,),) = duckdb.sql(f"SELECT quantile_disc(x, {part}) FROM rows").fetchall()
    assert len(rows)
    assert _estimate(rows["x"].to_pylist(), part) == pytest.approx(exact, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.floats()), max_size=50),
    sides=st.lists(st.integers(0, 2), min_size=50, max_size=50),
    data=st.data(),
)
def test_sketches_of_any_cut_unite_to_the_sketch_of_the_whole(
    values: list[tuple[int, float]], sides: list[int], data: st.DataObject
) -> None:
    groups = np.array([g for g, _ in values], np.int64)
    numbers = pa.array([x for _, x in values], pa.float64())
    whole = quantiles.add(groups, 4, numbers)
    order = np.array(data.draw(st.permutations(range(len(values)))), np.int64)
    side = np.array(sides[: len(values)], np.int64)[order]
    made = [
        quantiles.add(groups[order][side == k], 4, numbers.take(pa.array(order[side == k])))
        for k in range(3)
    ]
    assert quantiles.merge(np.tile(np.arange(4), 3), 4, pa.concat_arrays(made)) == whole


def test_many_groups_with_values_far_apart_do_as_few_do() -> None:
    rng = np.random.default_rng(5)
    ids = np.arange(3_000) % 1_000
    values = np.exp(rng.uniform(-600, 600, 3_000))
    made = quantiles.add(ids, 1_000, pa.array(values))
    found = quantiles.estimate(quantiles.merge(np.arange(1_000), 1_000, made), Decimal("0.5"))
    exact = np.sort(values.reshape(3, 1_000), axis=0)[1]
    assert np.abs(found.to_numpy() / exact - 1).max() <= 0.01


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [-(2**63), 3, 2**63 - 1]),
        (pa.decimal128(20, 2), [Decimal("-7.10"), Decimal("3.00"), Decimal("123456789012345678")]),
        (pa.float32(), [-1.5, 3.0, 1e38]),
    ],
)
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_whole_numbers_and_decimals_have_quantiles(
    kind: pa.DataType, values: list[Any], rank: int
) -> None:
    found = _estimate(values, Decimal(rank) / 2, kind)
    assert found == pytest.approx(float(values[rank]), rel=0.01)


def test_nulls_are_left_out_and_a_group_of_nothing_else_has_none() -> None:
    of = aggregate(measure("m", "approx_quantile", "x", quantile="0.5"))
    rows = [{"t": 1, "g": "a", "x": x} for x in (None, 5.0, None)] + [{"t": 1, "g": "b"}]
    found = compute([batch(rows)], of, 0)["m"].to_pylist()
    assert found == [pytest.approx(5.0, rel=0.01), None]
