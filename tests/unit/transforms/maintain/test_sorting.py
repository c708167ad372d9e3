"""Rows of many batches in the order of their table."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.commit.maintain import sorting
from transforms.commit.maintain.sorting import Order, in_order

ROW = st.tuples(st.none() | st.integers(-3, 3), st.text(max_size=3), st.integers(0, 99))
SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string()), ("_position", pa.int64())])
UP = Order(1, (("a", "ascending", "at_end"), ("_position", "ascending", "at_end")))
DOWN = Order(1, (("b", "descending", "at_start"), ("a", "ascending", "at_start")))


def _batches(batches: list[list[tuple[int | None, str, int]]]) -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_pylist(
            [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA
        )
        for rows in batches
    ]


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(ROW, max_size=9), max_size=5), rows=st.sampled_from([1, 4, 1000]))
def test_sorted_rows_are_the_rows_in_order(
    batches: list[list[tuple[int | None, str, int]]], rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_ROWS", rows)
        made = [r for b in in_order(_batches(batches), UP) for r in b.to_pylist()]
    every = [dict(zip(SCHEMA.names, r, strict=True)) for b in batches for r in b]
    keys = [(r["a"] is None, r["a"] or 0, r["_position"]) for r in made]
    assert keys == sorted(keys)
    assert sorted(map(str, made)) == sorted(map(str, every))


def test_nulls_and_direction_are_those_of_the_order() -> None:
    rows = [(None, "x", 1), (2, "x", 2), (1, "y", 3)]
    made = [r["_position"] for b in in_order(_batches([rows]), DOWN) for r in b.to_pylist()]
    assert made == [3, 1, 2]
