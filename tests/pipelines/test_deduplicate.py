"""`Deduplicate` as anyone would use it in a pipeline of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from schemas.names import TIMESTAMP
from transforms.deduplicate import Deduplicate
from transforms.spill import open_spill

OpenPipeline = Callable[[], beam.Pipeline]


def _batch(source: str, start: int, ids: list[str]) -> pa.RecordBatch:
    n = len(ids)
    return pa.record_batch(
        {
            "id": pa.array(ids),
            "time": pa.array(range(n), TIMESTAMP),
            "_source": pa.array([source] * n).dictionary_encode(),
            "_position": pa.array(range(start, start + n), pa.int64()),
            "_sequence": pa.array([0] * n, pa.int32()),
        }
    )


def _places(batch: pa.RecordBatch) -> list[tuple[str, int]]:
    return list(zip(batch["_source"].to_pylist(), batch["_position"].to_pylist(), strict=True))


@pytest.mark.parametrize("spilled", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_id_is_kept_once_and_its_copies_are_reported(
    open_pipeline: OpenPipeline, tmp_path: Path, *, spilled: bool, threads: int
) -> None:
    spill = open_spill(tmp_path / "spill", "r") if spilled else None
    step = Deduplicate("dedupe", ("id",), 10, "time", (1, 2), 3, spill, None, threads)
    with open_pipeline() as root:
        batches = [_batch("b", 0, ["x", "y"]), _batch("a", 5, ["x", "z", "x"])]
        sides = root | beam.Create(batches).with_output_types(pa.RecordBatch) | step
        kept = sides.rows | "kept" >> beam.FlatMap(_places)
        lost = sides.removed | "lost" >> beam.FlatMap(_places)
        assert_that(kept, equal_to([("a", 5), ("a", 6), ("b", 1)]), label="kept rows")
        assert_that(lost, equal_to([("a", 7), ("b", 0)]), label="duplicates")


def _held(first: int, last: int) -> list[pa.RecordBatch]:
    assert (first, last) == (-10, 11)
    return [_batch("lake", 0, ["x"])]


def test_rows_of_the_lake_near_the_runs_event_times_win(open_pipeline: OpenPipeline) -> None:
    step = Deduplicate("dedupe", ("id",), 10, "time", (1, 2), 3, None, _held)
    with open_pipeline() as root:
        rows = root | beam.Create([_batch("a", 5, ["x", "z"])]).with_output_types(pa.RecordBatch)
        kept = (rows | step).rows | "kept" >> beam.FlatMap(_places)
        assert_that(kept, equal_to([("a", 6)]))
