"""What a stream keeps in its process: found again there, taken once, forgotten in time."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import PenstockError
from transforms.continuous.in_process import InProcess, kept_size
from transforms.continuous.parcels import Parcel, is_answer, new_token
from transforms.continuous.seen import Stay
from transforms.duplicates import PLACED
from transforms.outcome import Outcome

ROWS = pa.record_batch({"a": [1, 2, 3]})
HOUR = 3_600_000_000
STAY = Stay(horizon_us=HOUR, lateness_us=HOUR)


def parcel() -> Parcel:
    return Parcel(token=new_token(), outcome=Outcome(ROWS), done={"s": [(0, 3)]}, records={"s": 3})


def ids(*low: int, time_us: int, place: int = 0) -> pa.RecordBatch:
    size = len(low)
    columns = {
        "low": np.array(low, np.uint64),
        "high": np.zeros(size, np.uint64),
        "time": np.full(size, time_us, np.int64),
        "content": np.zeros(size, np.uint32),
        "row": np.arange(size, dtype=np.uint32),
        "place": np.arange(place, place + size, dtype=np.uint64),
    }
    schema = PLACED.with_metadata({b"chunk": b"new"})
    return pa.RecordBatch.from_arrays([pa.array(columns[n]) for n in schema.names], schema=schema)


def test_a_parcel_is_found_by_what_stands_for_it_wherever_workers_unpickle_its_keeper() -> None:
    here, one = InProcess(), parcel()
    kept = here.keep(one)
    assert not is_answer(kept)
    assert kept_size(kept) == ROWS.nbytes
    there = pickle.loads(pickle.dumps(here))
    assert there.take(kept) is one
    with pytest.raises(KeyError):
        here.take(kept)


def test_a_keeper_that_is_gone_or_in_another_process_is_an_error() -> None:
    here = InProcess()
    pickled = pickle.dumps(here)
    del here
    gc.collect()
    with pytest.raises(PenstockError, match="must be used there"):
        pickle.loads(pickled)


def test_a_row_repeats_one_of_any_parcel_before_it_within_the_horizon() -> None:
    here = InProcess()
    assert not len(here.answer(new_token(), ids(1, 2, time_us=0), STAY, 0).rows)
    again = here.answer(new_token(), ids(3, 2, time_us=0, place=10), STAY, 0)
    assert again.rows.tolist() == [1]
    late = here.answer(new_token(), ids(2, time_us=2 * HOUR, place=20), STAY, 0)
    assert not len(late.rows)


def test_ids_are_kept_while_a_row_may_repeat_them_and_no_longer() -> None:
    here, watermark = InProcess(), 0
    here.answer(new_token(), ids(*range(100), time_us=0), STAY, watermark)
    sizes = []
    for step in range(1, 12):
        watermark = step * HOUR // 4
        time_us = watermark + HOUR // 8
        low = range(1000 * step, 1000 * step + 100)
        here.answer(new_token(), ids(*low, time_us=time_us, place=1000 * step), STAY, watermark)
        sizes.append(here.seen)
    assert sizes[6] == 800  # of two hours, in slices of half an hour
    assert max(sizes) <= 1100
    assert sizes[-1] < 1200 - 100
