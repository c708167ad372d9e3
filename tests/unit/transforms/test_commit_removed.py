"""Rows taken out on purpose: packed, and counted within any ranges as if they were not."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.names import REMOVED
from transforms.commit.ranges import merged
from transforms.commit.removed import Removed, fold_removed

SPOTS = st.one_of(st.integers(0, 90), st.integers(0, 2**62))
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), SPOTS, st.sampled_from(["duplicate", "filtered"])),
    max_size=30,
)
RANGES = st.lists(st.tuples(SPOTS, SPOTS), max_size=5)


def _batch(rows: list[tuple[str, int, str]]) -> pa.RecordBatch:
    columns = [list(c) for c in zip(*rows, strict=True)] or [[], [], []]
    sources = pa.array(columns[0], pa.string()).dictionary_encode()
    arrays = [
        sources,
        pa.array(columns[1], pa.int64()),
        pa.array([0] * len(rows), pa.int32()),
        pa.array(columns[2], pa.string()),
        pa.array(["step"] * len(rows), pa.string()),
        pa.array(["rule"] * len(rows), pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=REMOVED)


@given(ROWS, RANGES)
def test_folded_rows_are_counted_as_the_rows_themselves(
    rows: list[tuple[str, int, str]], ranges: list[tuple[int, int]]
) -> None:
    own = merged({"a": ranges}).get("a", [])
    folded = fold_removed(_batch(rows))
    assert len({one.key for one in folded}) == len(folded)
    for source, destiny in {(s, d) for s, _, d in rows}:
        (one,) = [f for f in folded if f.key == (source, destiny, "step", "rule")]
        spots = sorted(p for s, p, d in rows if (s, d) == (source, destiny))
        assert one.positions().tolist() == spots
        assert one.rows == len(spots)
        assert one.among(own) == sum(any(a <= p < b for a, b in own) for p in spots)


def test_a_million_rows_take_few_bytes() -> None:
    spots = np.cumsum(np.random.default_rng(1).integers(200, 300, 1_000_000))
    rows = pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(spots), np.int32)), ["file:///a"]),
            pa.array(spots),
            pa.array(np.zeros(len(spots), np.int32)),
            *(pa.repeat(text, len(spots)) for text in ("filtered", "filter-1", "filter")),
        ],
        schema=REMOVED,
    )
    one: Removed
    (one,) = fold_removed(rows)
    assert one.rows == len(spots)
    assert len(one.packed) < 2 * len(spots)


def test_one_that_says_why_positions_hold_no_row_counts_none_wherever_it_is_cut() -> None:
    none = Removed(
        source="a", destiny="filtered", step="source", rule="gap",
        rows=0, first=3, last=9, packed=b"", width=1,
    )  # fmt: skip
    for ranges in ([], [(0, 5)], [(3, 10)], [(4, 6), (8, 20)]):
        assert none.among(ranges) == 0
    assert none.positions().tolist() == []
