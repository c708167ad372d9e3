"""The same rows as a batch and as a stream: shuffled, in copies, over several partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders import FastPrimitivesCoder, PickleCoder, TupleCoder, registry
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import TimestampedValue

from beam_pipelines.stream import StreamEngine, build_stream
from runners.direct import Direct
from schemas.plan import Plan
from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PIPELINE,
    PROCESSED,
    START,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from tests.streams import spread, stream_plan
from transforms.commit.lake import open_lake
from transforms.continuous.in_process import InProcess
from transforms.continuous.land import Shipment
from transforms.decode.messages import MessageDecoder

LINES = sales(0, 1500, broken=5, copies=120).splitlines()


def stamped(batch: pa.RecordBatch) -> TimestampedValue:
    """Give a batch its time, as the source does."""
    return TimestampedValue(batch, START.timestamp())


def build(
    root: beam.Pipeline,
    plan: Plan,
    batches: list[pa.RecordBatch],
    *,
    ticks: bool,
    here: InProcess | None = None,
) -> None:
    """Run these batches through the stream."""
    engine = StreamEngine(
        run_id="run",
        started=time.time(),
        messages=MessageDecoder(plan.contract),
        key=(1, 2),
        ticks=ticks,
        here=here,
    )
    raw = (
        root
        | beam.Create(batches, reshuffle=False).with_output_types(pa.RecordBatch)
        | beam.Map(stamped).with_output_types(pa.RecordBatch)
    )
    _ = build_stream(raw, plan, engine, open_lake(plan))


def check(plan: Plan, lines: list[bytes]) -> None:
    """The lake holds what a batch run over these lines would leave."""
    out = Out(plan.out)
    want = expected({"a": b"\n".join(lines)})
    assert_tables(out, want, warehouse=False)
    counts: dict[str, int] = {}
    for row in out.rows(LEDGER):
        counts[row["destiny"]] = counts.get(row["destiny"], 0) + row["rows"]
    assert counts == {k: n for k, n in want["counts"].items() if n and k != "read"}
    assert all(row["_final"] for row in out.rows(HOURLY))
    assert {row["_source"] for row in out.rows(PROCESSED)} == {"c/t/0", "c/t/1", "c/t/2"}


@pytest.mark.parametrize("trigger", ["", ", trigger: {type: after_watermark}"])
def test_a_stream_gives_the_tables_of_a_batch(tmp_path: Path, trigger: str) -> None:
    pipeline = PIPELINE.replace("size: 1h}", f"size: 1h{trigger}}}")
    plan = stream_plan(make_folder(tmp_path, pipeline=pipeline))
    with Direct().pipeline() as root:
        build(root, plan, spread(LINES, partitions=3, size=100), ticks=False)
    check(plan, LINES)


def test_a_stream_that_keeps_its_rows_in_the_process_gives_them_too(tmp_path: Path) -> None:
    plan, here = stream_plan(make_folder(tmp_path)), InProcess()
    with Direct().pipeline() as root:
        build(root, plan, spread(LINES, partitions=3, size=100), ticks=False, here=here)
    check(plan, LINES)


@pytest.mark.stack
@pytest.mark.parametrize("kept", ["by the runner", "in the process"])
def test_a_stream_gives_the_tables_of_a_batch_on_prism(
    tmp_path: Path, prism: Callable[[], list[str]], kept: str
) -> None:
    plan = stream_plan(make_folder(tmp_path))
    here = InProcess() if kept == "in the process" else None
    with beam.Pipeline(options=PipelineOptions(prism())) as root:
        build(root, plan, spread(LINES, partitions=3, size=100), ticks=True, here=here)
    check(plan, LINES)


def test_no_element_of_a_stream_is_pickled_by_beam(tmp_path: Path) -> None:
    plan = stream_plan(make_folder(tmp_path))
    root = beam.Pipeline()
    build(root, plan, spread(LINES[:10], partitions=1, size=10), ticks=True)
    pickled = {
        (c.producer.full_label, c.element_type)
        for c in _collections(root)
        if any(isinstance(x, FastPrimitivesCoder | PickleCoder) for x in _coders(c.element_type))
    }
    # A shipment is small, and the step that makes it runs together with the one that takes it.
    assert {kind for _, kind in pickled} == {Shipment}, pickled


def _collections(root: beam.Pipeline) -> Iterator[Any]:
    parts = [root.transforms_stack[0]]
    while parts:
        part = parts.pop()
        parts += part.parts
        yield from part.outputs.values()


def _coders(kind: Any) -> list[Any]:
    coder = registry.get_coder(kind)
    return [coder, *(coder.coders() if isinstance(coder, TupleCoder) else ())]
