"""Each measure at its edges, against exact arithmetic and against DuckDB."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP
from schemas.plan import Measure
from tests.aggregates import aggregate, batch, by_key, expected, measure
from transforms.aggregate.partials import compute
from transforms.aggregate.windows import AggregateError

NAN, INF = math.nan, math.inf


def _one(function: str, column: str, *pieces: list[Any]) -> Any:
    """Measure one group whose rows come in these pieces."""
    of = aggregate(measure("m", function, column))
    batches = [batch({"t": 1, column: value} for value in piece) for piece in pieces]
    (value,) = compute(batches, of, 0)["m"].to_pylist()
    return value


doubles = st.floats(allow_nan=False, allow_infinity=False)
pieces_of = lambda values: st.lists(  # noqa: E731
    st.lists(values, min_size=1, max_size=8), min_size=1, max_size=4
)


@settings(max_examples=50, deadline=None)
@given(pieces=pieces_of(doubles))
@example(pieces=[[1e16, 1.0], [-1e16]])
@example(pieces=[[1e308, 1e308], [-1e308]])
@example(pieces=[[1.7976931348623157e308], [-5e-324, 5e-324]])
@example(pieces=[[5e-324], [5e-324]])
@example(pieces=[[0.1, 0.2], [-0.3]])
def test_a_sum_of_doubles_is_the_exact_sum_rounded_once(pieces: list[list[float]]) -> None:
    of = aggregate(measure("m", "sum", "x"))
    rows = [{"t": 1, "x": x} for piece in pieces for x in piece]
    (row,) = expected(rows, of).values()
    assert _one("sum", "x", *pieces) == row["m"]


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1.0, INF], INF),
        ([1.0, -INF], -INF),
        ([INF, -INF], NAN),
        ([NAN, 1.0], NAN),
        ([1.7e308, 1.7e308], INF),
        ([-1.7e308, -1.7e308], -INF),
        ([None], None),
        ([-0.0, None], 0.0),
    ],
)
@pytest.mark.parametrize("apart", [True, False])
def test_sums_of_special_doubles(values: list[Any], total: Any, *, apart: bool) -> None:
    found = _one("sum", "x", *([v] for v in values)) if apart else _one("sum", "x", values)
    assert repr(found) == repr(total)


def test_a_huge_sum_in_one_group_costs_another_no_digits() -> None:
    of = aggregate(measure("m", "sum", "x"))
    rows = [{"t": 1, "g": "huge", "x": 1e300}, {"t": 1, "g": "tiny", "x": 5e-324}]
    assert compute([batch(rows)], of, 0)["m"].to_pylist() == [1e300, 5e-324]


big = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=40, deadline=None)
@given(pieces=pieces_of(big))
@example(pieces=[[2**63 - 1, 1], [-1]])
@example(pieces=[[-(2**63)], [0]])
@example(pieces=[[2**63 - 1], [1]])
@example(pieces=[[-(2**63)], [-1]])
def test_a_sum_of_integers_is_exact_or_refused_whatever_the_order(
    pieces: list[list[int]],
) -> None:
    total = sum(map(sum, pieces))
    if -(2**63) <= total < 2**63:
        assert _one("sum", "i", *pieces) == total
    else:
        with pytest.raises(AggregateError, match=r"a\.m must fit int64; got 1 sums") as raised:
            _one("sum", "i", *pieces)
        assert str(total) not in str(raised.value)


@settings(max_examples=30, deadline=None)
@given(pieces=pieces_of(st.integers(-(10**38) + 1, 10**38 - 1)))
@example(pieces=[[10**38 - 1], [1]])
@example(pieces=[[10**38 - 1, 1], [-1]])
@example(pieces=[[10**38 - 1] * 5])
def test_a_sum_of_decimals_is_exact_or_refused(pieces: list[list[int]]) -> None:
    kind = pa.decimal128(38, 2)
    of = aggregate(
        Measure(name="m", function="sum", argument="w", argument_type=kind, type=kind),
        types=pa.schema([("g", pa.string()), ("w", kind)]),
    )
    batches = [
        pa.record_batch(
            {
                "t": pa.array([1] * len(piece), TIMESTAMP),
                "g": pa.nulls(len(piece), pa.string()),
                "w": pa.array(
                    [Decimal((v < 0, tuple(map(int, str(abs(v)))), -2)) for v in piece], kind
                ),
            }
        )
        for piece in pieces
    ]
    total = sum(map(sum, pieces))
    if abs(total) < 10**38:
        (found,) = compute(batches, of, 0)["m"].to_pylist()
        assert Fraction(found) == Fraction(total, 100)
    else:
        with pytest.raises(AggregateError, match="must fit decimal128"):
            compute(batches, of, 0)


@settings(max_examples=40, deadline=None)
@given(pieces=pieces_of(doubles))
@example(pieces=[[1.7e308], [1.7e308]])
@example(pieces=[[0.1], [0.1, 0.1]])
def test_an_average_of_doubles_is_within_a_rounding_of_the_exact_one(
    pieces: list[list[float]],
) -> None:
    of = aggregate(measure("m", "avg", "x"))
    (row,) = expected([{"t": 1, "x": x} for piece in pieces for x in piece], of).values()
    assert math.isclose(_one("avg", "x", *pieces), row["m"], rel_tol=1e-15, abs_tol=1e-323)


@given(pieces=pieces_of(big))
@settings(max_examples=40, deadline=None)
def test_an_average_of_integers_does_not_overflow(pieces: list[list[int]]) -> None:
    of = aggregate(measure("m", "avg", "i"))
    (row,) = expected([{"t": 1, "i": i} for piece in pieces for i in piece], of).values()
    assert math.isclose(_one("avg", "i", *pieces), row["m"], rel_tol=1e-15)


def test_an_average_of_decimals_is_in_their_units() -> None:
    assert _one("avg", "d", [Decimal("1.10")], [Decimal("2.20"), None]) == pytest.approx(
        1.65, 1e-15
    )


moderate = st.floats(1e-60, 1e60) | st.floats(-1e60, -1e-60) | st.just(0.0)


@settings(max_examples=50, deadline=None)
@given(pieces=pieces_of(moderate), shift=st.sampled_from([0.0, 1.0, 1e9, -1e15]))
@example(pieces=[[0.1, 0.1], [0.1]], shift=0.0)
@example(pieces=[[0.25], [0.5, 0.75]], shift=1e15)
def test_a_deviation_keeps_its_digits_under_a_large_mean_and_any_cut(
    pieces: list[list[float]], shift: float
) -> None:
    shifted = [[x + shift for x in piece] for piece in pieces]
    of = aggregate(measure("m", "stddev", "x"))
    (row,) = expected([{"t": 1, "x": x} for piece in shifted for x in piece], of).values()
    found = _one("stddev", "x", *shifted)
    if row["m"] is None:
        assert found is None
    else:
        assert math.isclose(found, row["m"], rel_tol=1e-9)


@pytest.mark.parametrize(
    "pieces", [([1.0, NAN],), ([INF], [1.0]), ([INF, INF],), ([1e200], [-1e200])]
)
def test_a_deviation_that_no_double_holds_is_nan(pieces: tuple[list[float], ...]) -> None:
    assert math.isnan(_one("stddev", "x", *pieces))


@given(
    pieces=pieces_of(st.floats(width=16) | st.none()),
    function=st.sampled_from(["min", "max", "first", "last"]),
)
@settings(max_examples=50, deadline=None)
@example(pieces=[[NAN, 1.0], [None]], function="min")
@example(pieces=[[1.0], [NAN, INF]], function="max")
@example(pieces=[[NAN], [NAN]], function="min")
@example(pieces=[[0.0], [-0.0]], function="max")
def test_nan_is_the_greatest_double_and_zeros_are_equal(
    pieces: list[list[float]], function: str
) -> None:
    of = aggregate(measure("m", function, "x"))
    (row,) = expected([{"t": 1, "x": x} for piece in pieces for x in piece], of).values()
    found = _one(function, "x", *pieces)
    assert (found is None) == (row["m"] is None)
    if found is not None:
        assert repr(found) == repr(row["m"] + 0.0)


def test_the_first_value_is_the_earliest_that_is_not_null_and_of_equal_times_the_smallest() -> None:
    of = aggregate(measure("f", "first", "s"), measure("l", "last", "s"))
    rows = [(2, "b"), (1, None), (2, "a"), (5, "z"), (5, "y"), (6, None)]
    table = compute([batch([{"t": t, "s": s}]) for t, s in rows], of, 0)
    assert table.select(["f", "l"]).to_pylist() == [{"f": "a", "l": "y"}]


@pytest.mark.parametrize("function", ["min", "max", "first", "last", "sum", "avg", "stddev"])
@pytest.mark.parametrize("column", ["x", "i", "d"])
def test_over_nothing_but_nulls_a_measure_is_null(function: str, column: str) -> None:
    assert _one(function, column, [None, None], [None]) is None


@pytest.mark.parametrize("function", ["count", "approx_count_distinct"])
def test_over_nothing_but_nulls_a_count_is_zero(function: str) -> None:
    assert _one(function, "s", [None, None]) == 0


SMALL_AND_LARGE: dict[str, tuple[Any, Any]] = {
    "s": ("a", "b"),
    "i": (-2, 1),
    "x": (-2.5, 1.5),
    "d": (Decimal("-2.00"), Decimal("1.00")),
    "b": (False, True),
    "day": (date(1900, 1, 1), date(2000, 1, 1)),
    "at": (datetime(1900, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)),
    "raw": (b"a", b"b"),
}


@pytest.mark.parametrize("column", SMALL_AND_LARGE)
@pytest.mark.parametrize("function", ["min", "max", "first", "last"])
def test_every_type_has_extremes(column: str, function: str) -> None:
    small, large = SMALL_AND_LARGE[column]
    wanted = large if function == "max" else small
    assert _one(function, column, [large], [None], [small]) == wanted


def test_text_is_ordered_by_its_bytes() -> None:
    assert _one("max", "s", ["z", "é"], ["Z"]) == "é"
    assert _one("min", "s", ["\U0001f600", "\uffff"]) == "\uffff"


def test_measures_agree_with_duckdb() -> None:
    rng = np.random.default_rng(7)
    n = 5_000
    rows = pa.table(
        {
            "t": pa.array(rng.permutation(n), pa.int64()).cast(TIMESTAMP),
            "g": pa.array(rng.choice(["a", "b", None], n)),
            "x": pa.array(rng.normal(1e6, 1, n), mask=rng.random(n) < 0.1),
            "i": pa.array(rng.integers(-(10**12), 10**12, n), mask=rng.random(n) < 0.1),
            "s": pa.array([f"v{k}" for k in rng.integers(0, 50, n)]),
        }
    )
    of = aggregate(
        measure("n", "count"),
        measure("total", "sum", "i"),
        measure("mean", "avg", "x"),
        measure("deviation", "stddev", "x"),
        measure("low", "min", "s"),
        measure("high", "max", "x"),
        measure("early", "first", "s"),
        measure("late", "last", "s"),
    )
    found = by_key(compute((b for b in rows.to_batches(max_chunksize=700)), of, 0), of)
    wanted = duckdb.sql(
        "SELECT epoch_us(t) // 10 * 10 w, g, count(*) n, sum(i)::BIGINT total, avg(x) mean, "
        "stddev(x) deviation, min(s) low, max(x) high, arg_min(s, t) early, arg_max(s, t) late "
        "FROM rows GROUP BY ALL"
    ).to_arrow_table()
    assert wanted.num_rows == len(found)
    for row in wanted.to_pylist():
        mine = found[row.pop("w"), row.pop("g")]
        for name, value in row.items():
            if isinstance(value, float):
                assert mine[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
            else:
                assert mine[name] == value, name


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(-(2**53), 2**53), min_size=2, max_size=20))
def test_whole_numbers_deviate_like_doubles(values: list[int]) -> None:
    assume(len(set(values)) > 1)
    assert _one("stddev", "i", values) == _one("stddev", "x", [float(v) for v in values])
