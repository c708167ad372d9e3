"""`Derive` and `Filter` as anyone would use them in a pipeline of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from schemas.expressions import Place, check
from schemas.names import POSITION_FIELDS
from transforms.batches import BatchCoder
from transforms.derive import Derive
from transforms.filter import Filter

OpenPipeline = Callable[[], beam.Pipeline]
SCHEMA = pa.schema([pa.field("text", pa.string()), *POSITION_FIELDS])
PLACE = Place(Path("here"), 1)


def _batch(start: int, texts: list[str | None]) -> pa.RecordBatch:
    size = len(texts)
    sources = pa.array(["file"] * size).dictionary_encode()
    arrived = pa.array([0] * size, SCHEMA.field("_arrived").type)
    place = [pa.array(range(start, start + size), pa.int64()), pa.array([0] * size, pa.int32())]
    watermark = pa.nulls(size, SCHEMA.field("_watermark").type)
    columns = [pa.array(texts, pa.string()), sources, *place, arrived, watermark]
    return pa.record_batch(columns, schema=SCHEMA)


def _positions(batch: pa.RecordBatch) -> list[int]:
    found: list[int] = batch["_position"].to_pylist()
    return found


def _numbers(batch: pa.RecordBatch) -> list[tuple[int, int]]:
    return list(zip(batch["_position"].to_pylist(), batch["number"].to_pylist(), strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_every_row_leaves_on_exactly_one_side(open_pipeline: OpenPipeline, threads: int) -> None:
    number = check("CAST(text AS BIGINT)", SCHEMA, place=PLACE)
    after = SCHEMA.append(pa.field("number", number.type))
    positive = check("number > 0", after, place=PLACE, expect=pa.bool_())
    with open_pipeline() as root:
        batches = [_batch(0, ["5", "x", "0"]), _batch(3, [None, "7"]), _batch(5, ["y"])]
        rows = root | beam.Create(batches).with_output_types(pa.RecordBatch)
        derived = rows | "derive" >> Derive(step="d", columns={"number": number}, threads=threads)
        kept = derived.rows | "filter" >> Filter(step="f", condition=positive, threads=threads)
        refused = (derived.refused, kept.refused) | beam.Flatten() | beam.FlatMap(_positions)
        removed = kept.removed | "removed" >> beam.FlatMap(_positions)
        numbers = kept.rows | "numbers" >> beam.FlatMap(_numbers)
        assert_that(numbers, equal_to([(0, 5), (4, 7)]), label="kept")
        assert_that(removed, equal_to([2, 3]), label="filtered")
        assert_that(refused, equal_to([1, 5]), label="failed")


def test_every_side_travels_as_arrow() -> None:
    root = beam.Pipeline(runner="FnApiRunner")
    rows = root | beam.Create([_batch(0, ["1"])]).with_output_types(pa.RecordBatch)
    out = rows | Derive(step="d", columns={"n": check("1", SCHEMA, place=PLACE)})
    for side in out:
        assert side.element_type is pa.RecordBatch
        assert isinstance(beam.coders.registry.get_coder(side.element_type), BatchCoder)
