"""A slow lake slows the reader: rows in flight stay within the permit, in memory nothing piles up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import stream
from beam_pipelines.stream import StreamEngine, build_stream
from beam_pipelines.streaming import LakePositions
from schemas.plan import Plan
from tests.pipelines.shop import START, Out, assert_tables, expected, make_folder, sales
from tests.streams import stream_plan
from tests.unit.transforms.raws import LOGS, MemoryReader, MemoryStream
from transforms.commit.committer import Committed
from transforms.commit.lake import open_lake
from transforms.commit.ranges import size
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.land import Shipment
from transforms.continuous.positions import DonePositions
from transforms.decode.messages import MessageDecoder
from transforms.sources.streams.read import ReadStream, Rhythm
from transforms.sources.streams.vector import Vector
from transforms.sources.streams.watermark import Pace

pytestmark = pytest.mark.stack

LINES = sales(0, 9_000).splitlines()
PERMIT, AT_ONCE, SLEEP_S = 2_000, 100, 5.0
READ = [0]


class Counting(MemoryReader):
    """Counts what is read, in this process: workers are its threads."""

    def poll(self, max_ms: int, max_bytes: int) -> pa.RecordBatch | None:
        batch = super().poll(max_ms, max_bytes)
        READ[0] += 0 if batch is None else batch.num_rows
        return batch


@dataclass(frozen=True)
class Source(MemoryStream):
    """Three partitions in memory."""

    def open(self, vector: Vector, share: int, shares: int) -> MemoryReader:
        return Counting(self, vector)


class Slow(StreamCommitter):
    """Sleeps in each commit."""

    def commit(
        self, shipments: Sequence[Shipment], memory: Memory
    ) -> tuple[Committed | None, Memory]:
        time.sleep(SLEEP_S)
        return super().commit(shipments, memory)


@pytest.fixture(autouse=True)
def _slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stream, "StreamCommitter", Slow)
    LOGS["x"] = {f"t/{i}": LINES[i::3] for i in range(3)}
    READ[0] = 0
    yield
    LOGS.clear()


def most_in_flight(plan: Plan, options: list[str], done: Any) -> int:
    """Run to the end; return the most rows that were read and had not landed."""
    source = Source("x", at_once=AT_ONCE, arrived_us=int(START.timestamp() * 1e6))
    engine = StreamEngine(
        run_id="run", started=time.time(), messages=MessageDecoder(plan.contract), key=(1, 2)
    )
    most, over = [0], threading.Event()

    def watch() -> None:
        landed = DonePositions(open_lake(plan), every=0)
        while not over.wait(0.1):
            read = READ[0]
            most.append(read - size(landed()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with beam.Pipeline(options=PipelineOptions(options)) as root:
            raw = root | ReadStream(
                source=source,
                contract=plan.contract,
                pace=Pace(),
                done=done,
                rhythm=Rhythm(in_flight_rows=PERMIT),
            )
            _ = build_stream(raw, plan, engine, open_lake(plan))
    finally:
        over.set()
        watcher.join()
    return max(most)


def test_a_slow_lake_slows_the_reader(tmp_path: Path, prism: Callable[[], list[str]]) -> None:
    plan = stream_plan(make_folder(tmp_path))
    most = most_in_flight(plan, prism(), LakePositions(plan))
    assert PERMIT // 2 < most <= PERMIT + 3 * AT_ONCE
    assert_tables(Out(plan.out), expected({"a": b"\n".join(LINES)}), warehouse=False)


def test_without_a_permit_everything_is_read_ahead(
    tmp_path: Path, prism: Callable[[], list[str]]
) -> None:
    plan = stream_plan(make_folder(tmp_path))
    assert most_in_flight(plan, prism(), None) > 2 * PERMIT
