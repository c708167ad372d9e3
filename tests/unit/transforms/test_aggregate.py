"""Rows to finished rows: any cut and any order of the same rows give the same table."""

from __future__ import annotations

import math
from datetime import UTC, date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Measure, Window
from tests.aggregates import FIXED, INPUT, Row, aggregate, batch, by_key, expected, measure
from transforms.aggregate.partials import (
    compute,
    finish,
    input_columns,
    merge,
    partial,
)
from transforms.aggregate.windows import AggregateError

WINDOWS = [
    FIXED,
    Window(type="fixed", size_us=10, offset_us=3, allowed_lateness_us=4),
    Window(type="sliding", size_us=10, period_us=5),
    Window(type="sliding", size_us=10, period_us=4, offset_us=1, allowed_lateness_us=2),
    Window(type="global"),
    Window(type="sessions", gap_us=5),
    Window(type="sessions", gap_us=1, allowed_lateness_us=3),
]

# Exact measures: their values must be the very same, to the last bit.
EXACT = (
    measure("rows", "count"),
    measure("n", "count", "x"),
    measure("sum_x", "sum", "x"),
    measure("sum_i", "sum", "i"),
    measure("sum_d", "sum", "d"),
    measure("low_x", "min", "x"),
    measure("high_x", "max", "x"),
    measure("low_s", "min", "s"),
    measure("high_s", "max", "s"),
    measure("high_b", "max", "b"),
    measure("low_day", "min", "day"),
    measure("high_at", "max", "at"),
    measure("low_d", "min", "d"),
    measure("first_x", "first", "x"),
    measure("last_s", "last", "s"),
    measure("last_raw", "last", "raw"),
    measure("distinct", "approx_count_distinct", "s"),
)

maybe = lambda strategy: st.none() | strategy  # noqa: E731
doubles = st.floats(allow_nan=False, allow_infinity=False)
rows_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "t": st.integers(-40, 40),
            "g": maybe(st.sampled_from(["a", "b", ""])),
            "h": maybe(st.integers(0, 1)),
            "x": maybe(doubles),
            "i": maybe(st.integers(-(2**55), 2**55)),
            "d": maybe(st.decimals(-(10**17), 10**17, places=2)),
            "s": maybe(st.text(max_size=3)),
            "b": maybe(st.booleans()),
            "day": maybe(st.dates(date(1, 1, 1), date(9999, 1, 1))),
            "at": maybe(st.datetimes(timezones=st.just(UTC))),
            "raw": maybe(st.binary(max_size=3)),
            WATERMARK: maybe(st.integers(-40, 40)),
        }
    ),
    min_size=1,
    max_size=25,
)


def _cut(rows: list[Row], cuts: list[int]) -> list[list[Row]]:
    edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [rows[a:b] for a, b in pairwise(edges)]


@settings(max_examples=25, deadline=None)
@given(
    rows=rows_strategy,
    window=st.sampled_from(WINDOWS),
    group_by=st.sampled_from([(), ("g",), ("h", "g"), ("b", "day")]),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    data=st.data(),
)
def test_any_cut_and_order_of_rows_gives_what_a_loop_over_them_gives(
    rows: list[Row],
    window: Window,
    group_by: tuple[str, ...],
    cuts: list[int],
    data: st.DataObject,
) -> None:
    of = aggregate(*EXACT, window=window, group_by=group_by)
    pieces = _cut(data.draw(st.permutations(rows)), cuts)
    partials = [made for piece in pieces if (made := partial(batch(piece), of)) is not None]
    if not partials:
        assert expected(rows, of) == {}
        return
    # Merge in a tree of which one side may be empty: merging must be associative.
    at = data.draw(st.integers(0, len(partials)))
    sides = [
        merge(pa.Table.from_batches(side), of) for side in (partials[:at], partials[at:]) if side
    ]
    merged = merge(pa.concat_tables(data.draw(st.permutations(sides))), of)
    table = finish(merged, of, epoch=3, final=True)
    assert table.schema == of.schema
    table.validate(full=True)
    assert _plain(by_key(table, of)) == _plain(expected(rows, of))
    assert set(table["_epoch"].to_pylist()) <= {3}
    assert set(table["_final"].to_pylist()) <= {True}


def _plain(found: dict[tuple[Any, ...], Row]) -> dict[tuple[Any, ...], Row]:
    """Make 0.0 and -0.0 the same, which they are."""
    return {
        key: {n: v + 0.0 if isinstance(v, float) else v for n, v in row.items()}
        for key, row in found.items()
    }


@settings(max_examples=25, deadline=None)
@given(
    rows=rows_strategy,
    window=st.sampled_from(WINDOWS),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_tables_of_two_cuts_are_the_same_to_the_last_bit(
    rows: list[Row], window: Window, cuts: list[int]
) -> None:
    of = aggregate(*EXACT, measure("mean", "avg", "x"), window=window)
    once = compute(pa.Table.from_batches([batch(rows)]), of, 0)
    again = compute((batch(piece) for piece in _cut(rows[::-1], cuts)), of, 0)
    assert once == again


def test_only_the_windows_asked_for_are_given() -> None:
    of = aggregate(measure("n", "count"), window=Window(type="sliding", size_us=10, period_us=5))
    rows = pa.Table.from_batches([batch({"t": t, "g": "a"} for t in range(30))])
    starts = pa.array([5, 10], pa.int64()).cast(TIMESTAMP)
    table = compute(rows, of, 1, starts)
    assert {key[0]: row["n"] for key, row in by_key(table, of).items()} == {5: 10, 10: 10}


def test_no_rows_give_an_empty_table_of_the_right_columns() -> None:
    of = aggregate(measure("n", "count"))
    assert compute(pa.Table.from_batches([batch([])]), of, 0) == of.schema.empty_table()
    assert compute([], of, 0) == of.schema.empty_table()
    assert partial(batch([]), of) is None


def test_a_row_counts_only_in_the_windows_it_is_not_late_for() -> None:
    window = Window(type="sliding", size_us=10, period_us=5, allowed_lateness_us=2)
    of = aggregate(measure("n", "count"), window=window)
    # At watermark 12 the window [0, 10) is closed with its lateness, [5, 15) is not.
    table = compute([batch([{"t": 7, "g": "a", WATERMARK: 12}])], of, 0)
    assert [key[0] for key in by_key(table, of)] == [5]


def test_rows_without_a_watermark_column_are_never_late() -> None:
    of = aggregate(measure("n", "count"))
    rows = batch([{"t": 7, "g": "a", WATERMARK: 100}])
    assert partial(rows, of) is None
    assert partial(rows.drop_columns([WATERMARK]), of) is not None


def test_rows_come_ordered_by_window_and_group() -> None:
    of = aggregate(measure("n", "count"))
    rows = [{"t": t, "g": g} for t in (25, 5, 15) for g in ("b", None, "a")]
    table = compute([batch(rows)], of, 0)
    keys = list(by_key(table, of))
    assert keys == [(s, g) for s in (0, 10, 20) for g in ("a", "b", None)]


def test_a_path_becomes_a_column_without_dots() -> None:
    types = pa.schema([("p.kind", pa.string())])
    of = aggregate(measure("n", "count"), group_by=("p.kind",), types=types)
    rows = pa.record_batch({"t": pa.array([1], TIMESTAMP), "p.kind": ["a"]})
    table = compute([rows], of, 0)
    assert table["p_kind"].to_pylist() == ["a"]
    assert input_columns(of) == ["t", "p.kind", WATERMARK]


def test_a_dictionary_column_groups_and_measures_like_plain_text() -> None:
    of = aggregate(measure("distinct", "approx_count_distinct", "s"), measure("high", "max", "s"))
    plain = batch([{"t": 1, "g": g, "s": s} for g in ("a", "b") for s in ("x", "y", None)])
    coded = plain
    for name in ("g", "s"):
        at = coded.schema.get_field_index(name)
        coded = coded.set_column(at, name, coded[name].dictionary_encode())
    assert compute([coded], of, 0) == compute([plain], of, 0)


def test_an_expression_is_evaluated_and_one_that_fails_on_a_row_stops_the_run() -> None:
    of = aggregate(
        Measure(
            name="total",
            function="sum",
            argument='CAST((("i" * 9000000000000000000)) AS BIGINT)',
            argument_type=pa.int64(),
            type=pa.int64(),
        )
    )
    table = compute([batch([{"t": 1, "i": 1}])], of, 0)
    assert table["total"].to_pylist() == [9_000_000_000_000_000_000]
    with pytest.raises(
        AggregateError, match=r"a\.total must be computable .* fails on 2"
    ) as raised:
        compute([batch([{"t": 1, "i": 77}, {"t": 1, "i": 77}, {"t": 1, "i": 1}])], of, 0)
    assert "77" not in str(raised.value)


def test_a_row_without_event_time_stops_the_run() -> None:
    with pytest.raises(AggregateError, match="event time t must be there"):
        partial(batch([{"t": None}]), aggregate(measure("n", "count")))


def test_decimal_and_date_groups_are_groups() -> None:
    of = aggregate(measure("n", "count"), group_by=("d", "day"), types=INPUT)
    rows = [
        {"t": 1, "d": Decimal("1.00"), "day": date(2020, 1, 1)},
        {"t": 1, "d": Decimal("1.00"), "day": date(2020, 1, 1)},
        {"t": 1, "d": None, "day": date(2020, 1, 1)},
    ]
    found = by_key(compute([batch(rows)], of, 0), of)
    assert sorted(row["n"] for row in found.values()) == [1, 2]


def test_more_rows_than_fit_one_exact_step_are_cut() -> None:
    count = (1 << 20) + 5
    rows = pa.record_batch(
        {
            "t": pa.repeat(pa.scalar(1, TIMESTAMP), count),
            "g": pa.nulls(count, pa.string()),
            "x": pa.repeat(0.1, count),
        }
    )
    table = compute([rows], aggregate(measure("sum", "sum", "x")), 0)
    assert table["sum"].to_pylist() == [math.fsum([0.1] * count)]
