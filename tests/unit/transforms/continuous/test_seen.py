"""The dedupe of a stream against a plain one: the first to arrive is kept, within the horizon."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP
from transforms.continuous.seen import Seen, look, pack
from transforms.duplicates import ids_of

HORIZON = 10
ROW = st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 2))
"""Id, event time, content."""


def _ids(rows: list[tuple[int, int, int]], first: int) -> pa.RecordBatch:
    size = len(rows)
    batch = pa.record_batch(
        {
            "id": pa.array([r[0] for r in rows]),
            "time": pa.array([r[1] for r in rows], TIMESTAMP),
            "other": pa.array([r[2] for r in rows]),
            "_source": pa.array(["s"] * size).dictionary_encode(),
            "_position": pa.array(range(first, first + size), pa.int64()),
            "_sequence": pa.array([0] * size, pa.int32()),
        }
    )
    return next(ids_of(batch, ["id"], "time", (1, 2), "chunk", 1, placed=True))[1]


def _plain(batches: list[list[tuple[int, int, int]]]) -> list[list[int]]:
    kept: list[tuple[int, int]] = []
    out = []
    for rows in batches:
        gone = []
        for i, (key, time, _) in enumerate(rows):
            if any(k == key and abs(t - time) <= HORIZON for k, t in kept):
                gone.append(i)
            else:
                kept.append((key, time))
        out.append(gone)
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=12), min_size=1, max_size=8))
def test_the_first_to_arrive_is_kept(batches: list[list[tuple[int, int, int]]]) -> None:
    seen, first, found = Seen(), 0, []
    for rows in batches:
        answer = look(_ids(rows, first), seen, HORIZON)
        seen.add(answer.kept)
        seen = Seen.of([pack(run) for run in seen.runs])
        found.append(answer.rows.tolist())
        first += len(rows)
    assert found == _plain(batches)


def test_a_row_sent_again_from_its_own_place_is_no_copy_and_is_remembered_once() -> None:
    seen = Seen()
    rows = [(1, 5, 0), (2, 5, 0)]
    seen.add(look(_ids(rows, 0), seen, HORIZON).kept)
    again = look(_ids(rows, 0), seen, HORIZON)
    assert again.rows.tolist() == []
    assert len(again.kept) == 0
    assert look(_ids(rows, 7), seen, HORIZON).rows.tolist() == [0, 1]


def test_copies_whose_content_differs_are_conflicts() -> None:
    seen = Seen()
    seen.add(look(_ids([(1, 5, 0)], 0), seen, HORIZON).kept)
    found = look(_ids([(1, 6, 0), (1, 5, 9), (3, 5, 0), (3, 5, 1), (1, 5, 0)], 1), seen, HORIZON)
    assert found.rows.tolist() == [0, 1, 3, 4]
    # The content hash is of all columns, event time included.
    assert found.conflict.tolist() == [True, True, True, False]


def test_many_batches_leave_few_runs_and_all_ids() -> None:
    seen = Seen()
    for i in range(64):
        seen.add(look(_ids([(i * 10 + j, i, 0) for j in range(10)], i * 10), seen, HORIZON).kept)
    assert len(seen.runs) < 8
    assert sum(map(len, seen.runs)) == 640
    assert len(seen.since(32)) == 320
    assert all(np.all(np.diff(run["low"].astype(object)) >= 0) for run in seen.runs)
