"""Sessions: where they end, what makes two of them one, and whose rows they hold."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import Sessions, TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Window
from tests.aggregates import Row, aggregate, batch, by_key, measure
from transforms.aggregate.partials import compute, merge, partial
from transforms.aggregate.sessions import joined
from transforms.aggregate.windows import late

GAP = 10
OF = aggregate(measure("n", "count"), window=Window(type="sessions", gap_us=GAP))


def _found(rows: list[Row]) -> dict[tuple[Any, ...], tuple[int, int]]:
    table = compute([batch(rows)], OF, 0)
    return {key: (row["window_end"], row["n"]) for key, row in by_key(table, OF).items()}


def test_a_row_exactly_the_gap_after_the_last_begins_another_session() -> None:
    rows = [{"t": t, "g": "a"} for t in (0, 9, 19, 28)]
    assert _found(rows) == {(0, "a"): (19, 2), (19, "a"): (38, 2)}


def test_sessions_are_beams() -> None:
    times = {"a": [0, 9, 19, 28, 100], "b": [5, 15, 14, 24, 35], "c": [7]}
    rows = [{"t": t, "g": g} for g, all_ in times.items() for t in all_]
    wanted = [(g, start, end, n) for (start, g), (end, n) in _found(rows).items()]
    with beam.Pipeline(runner=FnApiRunner()) as root:
        sessions = (
            root
            | beam.Create([(row["g"], row["t"]) for row in rows])
            | beam.Map(lambda pair: TimestampedValue((pair[0], 1), pair[1]))
            | beam.WindowInto(Sessions(GAP))
            | beam.CombinePerKey(sum)
            | beam.Map(
                lambda pair, window=beam.DoFn.WindowParam: (
                    pair[0],
                    int(window.start),
                    int(window.end),
                    pair[1],
                )
            )
        )
        assert_that(sessions, equal_to(wanted))


def test_null_is_a_group_like_others() -> None:
    rows = [{"t": t, "g": g} for t in (0, 5) for g in (None, "", "a")]
    assert _found(rows) == {(0, g): (15, 2) for g in (None, "", "a")}


def test_without_groups_all_rows_share_their_sessions() -> None:
    of = aggregate(measure("n", "count"), window=OF.window, group_by=())
    table = compute([batch([{"t": t, "g": str(t)} for t in (0, 5, 30)])], of, 0)
    assert {key: row["n"] for key, row in by_key(table, of).items()} == {(0,): 2, (30,): 1}


def test_a_row_that_comes_last_joins_what_was_apart() -> None:
    parts = [partial(batch([{"t": t, "g": "a"}]), OF) for t in (0, 18, 9)]
    assert merge(pa.Table.from_batches(parts[:2]), OF).num_rows == 2
    assert merge(pa.Table.from_batches(parts), OF).num_rows == 1


def test_a_chain_of_a_hundred_thousand_rows_is_one_session() -> None:
    order = np.random.default_rng(3).permutation(100_000)
    times = [pa.array(part * 9, pa.int64()).cast(TIMESTAMP) for part in np.array_split(order, 7)]
    batches = [pa.record_batch({"t": t, "g": pa.repeat("a", len(t))}) for t in times]
    of = aggregate(measure("n", "count"), window=OF.window, types=pa.schema([("g", pa.string())]))
    (found,) = compute(batches, of, 0).to_pylist()
    assert found["n"] == 100_000
    assert found["window_end"].microsecond == (99_999 * 9 + GAP) % 1_000_000


@pytest.mark.parametrize(("watermark", "is_late"), [(12, False), (13, True), (None, False)])
def test_a_row_is_late_for_the_session_that_it_is_by_itself(
    watermark: int | None, *, is_late: bool
) -> None:
    window = Window(type="sessions", gap_us=GAP, allowed_lateness_us=2)
    of = aggregate(measure("n", "count"), window=window)
    # With the row at 5, in time, both would be one session to 15; which rows are late must not
    # hang on what else has come.
    rows = batch([{"t": 1, "g": "a", WATERMARK: watermark}, {"t": 5, "g": "a", WATERMARK: 5}])
    assert late(rows, of).to_pylist() == [is_late, False]
    found = by_key(compute([rows], of, 0), of)
    assert {key[0]: row["n"] for key, row in found.items()} == ({5: 1} if is_late else {1: 2})


def test_a_late_row_bridges_nothing() -> None:
    rows = [{"t": 0, "g": "a"}, {"t": 9, "g": "a", WATERMARK: 19}, {"t": 18, "g": "a"}]
    assert sorted(_found(rows)) == [(0, "a"), (18, "a")]


@settings(max_examples=200, deadline=None)
@given(
    stretches=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-30, 30), st.integers(1, 25)), max_size=30
    )
)
def test_stretches_are_one_session_if_a_chain_of_overlaps_joins_them(
    stretches: list[tuple[int, int, int]],
) -> None:
    keys = np.array([key for key, _, _ in stretches], np.int64)
    starts = np.array([start for _, start, _ in stretches], np.int64)
    ends = starts + np.array([length for _, _, length in stretches], np.int64)
    found = joined([keys], starts, ends)
    assert found.count == len(set(found.ids.tolist()))
    for i in range(len(keys)):
        for j in range(i, len(keys)):
            assert (found.ids[i] == found.ids[j]) == _chained(stretches, i, j), (i, j)


def _chained(stretches: list[tuple[int, int, int]], one: int, other: int) -> bool:
    reached, before = {one}, set[int]()
    while reached != before:
        before = set(reached)
        for k, (key, start, length) in enumerate(stretches):
            for r in before:
                a = stretches[r]
                overlap = start < a[1] + a[2] and a[1] < start + length
                if key == a[0] and overlap:
                    reached.add(k)
    return other in reached


def test_sessions_agree_with_gaps_and_islands_in_duckdb() -> None:
    rng = np.random.default_rng(11)
    n, gap = 20_000, 1_800_000_000
    rows = pa.table(
        {
            "t": pa.array(rng.integers(0, 40 * 86_400_000_000, n), pa.int64()).cast(TIMESTAMP),
            "g": pa.array([f"u{k}" if k else None for k in rng.zipf(1.5, n) % 50]),
            "i": pa.array(rng.integers(-100, 100, n)),
        }
    )
    of = aggregate(
        measure("n", "count"),
        measure("total", "sum", "i"),
        window=Window(type="sessions", gap_us=gap),
        types=pa.schema([("g", pa.string()), ("i", pa.int64())]),
    )
    found = by_key(compute(rows.to_batches(max_chunksize=999), of, 0), of)
    wanted = duckdb.sql(
        f"""
        WITH marked AS (
            SELECT g, i, epoch_us(t) AS t,
                   coalesce(epoch_us(t) - lag(epoch_us(t)) OVER w >= {gap}, true)::INT AS new
            FROM rows WINDOW w AS (PARTITION BY g ORDER BY t)
        ), numbered AS (
            SELECT *, sum(new) OVER (PARTITION BY g ORDER BY t) AS session FROM marked
        )
        SELECT g, min(t) AS a, max(t) + {gap} AS z, count(*) AS n, sum(i)::BIGINT AS total
        FROM numbered GROUP BY g, session
        """
    ).fetchall()
    assert len(wanted) > 3_000
    assert {(a, g): (z, n, total) for g, a, z, n, total in wanted} == {
        key: (row["window_end"], row["n"], row["total"]) for key, row in found.items()
    }
