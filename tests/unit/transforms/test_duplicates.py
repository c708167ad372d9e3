"""Which rows are duplicates, against a slow oracle that reads the definition aloud."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP
from transforms.duplicates import LAKE, chunk_name, duplicates, ids_of

Row = tuple[str, int, str, int, int]  # source, position, id, event time, content
KEY = (11, 12)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    source, position, ident, time, content = zip(*rows, strict=True)
    return pa.record_batch(
        {
            "id": pa.array(ident, pa.string()),
            "time": pa.array(time, TIMESTAMP),
            "content": pa.array(content, pa.int64()),
            "_source": pa.array(source).dictionary_encode(),
            "_position": pa.array(position, pa.int64()),
            "_sequence": pa.array([0] * len(rows), pa.int32()),
        }
    )


def _found(chunks: list[list[Row]], lake: list[Row], horizon: int) -> dict[tuple[str, int], bool]:
    ids: list[list[pa.RecordBatch]] = [[], [], []]
    where: dict[str, list[Row]] = {}
    for rows in chunks:
        name = chunk_name(rows[0][0], rows[0][1])
        where[name] = rows
        for p, b in ids_of(_batch(rows), ["id"], "time", KEY, name, 3, placed=bool(lake)):
            ids[p].append(b)
    if lake:
        for p, b in ids_of(_batch(lake), ["id"], "time", KEY, LAKE, 3, placed=True):
            ids[p].append(b)
    out = {}
    for part in ids:
        for chunk, rows, conflict in duplicates(part[::-1], horizon):
            for r, c in zip(rows.tolist(), conflict.tolist(), strict=True):
                out[where[chunk][r][:2]] = c
    return out


def _oracle(chunks: list[list[Row]], lake: list[Row], horizon: int) -> dict[tuple[str, int], bool]:
    places = {(r[0], r[1], r[2]) for r in lake}
    new = sorted((r for rows in chunks for r in rows), key=lambda r: r[:2])
    kept = [*lake, *(r for r in new if r[:3] in places)]
    out = {}
    for r in new:
        if r[:3] in places:
            continue
        near = [k for k in kept if k[2] == r[2] and abs(k[3] - r[3]) <= horizon]
        if near:
            out[r[:2]] = True
        else:
            kept.append(r)
    return out


rows_of_a_source = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=6
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(rows_of_a_source, min_size=1, max_size=4),
    rows_of_a_source,
    st.integers(0, 7),
    st.booleans(),
)
def test_the_duplicates_are_those_of_the_definition(
    files: list[list[tuple[str, int, int]]],
    held: list[tuple[str, int, int]],
    horizon: int,
    lake_is_empty: bool,
) -> None:
    chunks = [
        [(f"file{f}", p * 10, i, t, c) for p, (i, t, c) in enumerate(rows)]
        for f, rows in enumerate(files)
    ]
    lake = [] if lake_is_empty else [("old", p, i, t, c) for p, (i, t, c) in enumerate(held)]
    kept_lake: list[Row] = []
    for r in lake:  # the lake never holds duplicates
        if not any(k[2] == r[2] and abs(k[3] - r[3]) <= horizon for k in kept_lake):
            kept_lake.append(r)
    assert set(_found(chunks, kept_lake, horizon)) == set(_oracle(chunks, kept_lake, horizon))


def test_the_first_by_source_and_position_wins_whatever_the_order_of_arrival() -> None:
    chunks = [[("b", 0, "x", 5, 1), ("b", 9, "y", 5, 1)], [("a", 7, "x", 5, 1)]]
    assert _found(chunks, [], 10) == {("b", 0): False}


def test_a_row_of_the_lake_wins_over_a_new_one() -> None:
    assert set(_found([[("a", 7, "x", 5, 1)]], [("z", 1, "x", 9, 1)], 10)) == {("a", 7)}


def test_a_row_that_is_read_again_is_no_duplicate_of_itself() -> None:
    row = ("a", 7, "x", 5, 1)
    assert _found([[row, ("a", 8, "x", 5, 1)]], [row], 10) == {("a", 8): False}


def test_rows_further_apart_than_the_horizon_are_both_kept() -> None:
    rows = [("a", 0, "x", 0, 1), ("a", 1, "x", 10, 1), ("a", 2, "x", 11, 1)]
    assert set(_found([rows], [], 10)) == {("a", 1)}


def test_duplicates_that_differ_are_told_from_true_copies() -> None:
    rows = [("a", 0, "x", 0, 1), ("a", 1, "x", 0, 1), ("a", 2, "x", 0, 2)]
    assert _found([rows], [], 10) == {("a", 1): False, ("a", 2): True}


def test_rows_with_a_null_id_are_never_duplicates() -> None:
    batch = _batch([("a", 0, "x", 0, 1), ("a", 1, "x", 0, 1)])
    nulls = batch.set_column(0, "id", pa.array([None, None], pa.string()))
    assert list(ids_of(nulls, ["id"], "time", KEY, "c", 2)) == []


def test_many_copies_of_one_id_are_found_in_one_pass() -> None:
    n = 50_000
    rows = [("a", i, "same", 0, 0) for i in range(n)]
    assert len(_found([rows], [], 10)) == n - 1
    assert np.array_equal(sorted(p for _, p in _found([rows], [], 10)), np.arange(1, n))
