"""The splittable DoFn over a source in memory: once each, stamped, checkpointed, held back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from schemas.names import POSITION, SOURCE, WATERMARK
from tests.unit.transforms.raws import ACKED, CONTRACT, LOGS, MemoryStream, beat
from transforms.commit.ranges import Ranges
from transforms.sources.streams.estimator import ReaderWatermark
from transforms.sources.streams.live import Pool
from transforms.sources.streams.read import ReadStream, Rhythm, _ReadOn
from transforms.sources.streams.vector import VectorTracker
from transforms.sources.streams.watermark import Pace

PACE = Pace(disorder_us=1_000_000, idle_us=None)
SEEN: list[tuple[float, list[tuple[str, int, int | None]]]] = []


class See(beam.DoFn):
    def process(self, raw: pa.RecordBatch, at: Any = beam.DoFn.TimestampParam) -> None:
        marks = raw[WATERMARK].cast(pa.int64()).to_pylist()
        rows = zip(raw[SOURCE].to_pylist(), raw[POSITION].to_pylist(), marks, strict=True)
        SEEN.append((float(at), list(rows)))


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    LOGS["x"] = {
        "a": [beat(10 + i, i) for i in range(7)],
        "b": [beat(100 + i, i) for i in range(5)],
    }
    yield
    for store in (LOGS, ACKED):
        store.clear()
    SEEN.clear()


def run(**more: Any) -> None:
    stream = ReadStream(source=MemoryStream("x"), contract=CONTRACT, pace=PACE, **more)
    with beam.Pipeline(runner=FnApiRunner()) as root:
        _ = root | stream | beam.ParDo(See())


def positions() -> list[tuple[str, int]]:
    return sorted((source, position) for _, rows in SEEN for source, position, _ in rows)


EVERY = [("a", i) for i in range(7)] + [("b", i) for i in range(5)]


@pytest.mark.parametrize("call_ms", [0, 10_000], ids=["a poll a call", "one call"])
def test_a_bounded_stream_is_read_once_to_its_end(call_ms: int) -> None:
    run(rhythm=Rhythm(call_ms=call_ms))
    assert positions() == EVERY


def test_several_restrictions_share_the_partitions() -> None:
    run(shares=2)
    assert positions() == EVERY


def test_reading_goes_on_at_what_is_known() -> None:
    run(known={"a": 6, "b": 5})
    assert positions() == [("a", 6)]


def test_a_batch_has_its_lowest_event_time_and_the_watermark_before_it() -> None:
    run(rhythm=Rhythm(call_ms=0))
    first, second, third = SEEN[:3]
    assert [at for at, _ in SEEN[:3]] == [10.0, 12.0, 14.0]
    assert {mark for *_, mark in first[1]} == {None}
    assert {mark for *_, mark in second[1]} == {10_000_000}
    assert {mark for *_, mark in third[1]} == {12_000_000}


def called(dofn: Any, tracker: VectorTracker, estimator: ReaderWatermark) -> list[pa.RecordBatch]:
    class View:
        deferred = None

        def current_restriction(self) -> Any:
            return tracker.current_restriction()

        def try_claim(self, position: Any) -> bool:
            return tracker.try_claim(position)

        def defer_remainder(self, after: Any) -> None:
            View.deferred = tracker.try_split(0)

    return [output.value for output in dofn.read(0, View(), estimator)]


def opened(stream: MemoryStream, **more: Any) -> Any:
    dofn = _ReadOn(ReadStream(source=stream, contract=CONTRACT, pace=PACE, **more))
    dofn.setup()
    return dofn


def test_a_reader_stays_open_between_calls_and_is_opened_anew_where_it_does_not_stand() -> None:
    stream = MemoryStream("x", bounded=False)
    dofn = opened(stream, rhythm=Rhythm(call_ms=0))
    begin = dofn.initial_restriction(0)
    watermark = ReaderWatermark(MIN_TIMESTAMP)
    tracker = VectorTracker(begin)
    called(dofn, tracker, watermark)
    tracker = VectorTracker(tracker.current_restriction())
    called(dofn, tracker, watermark)
    assert len(stream.opened) == 1
    again = called(dofn, VectorTracker(begin), watermark)  # a bundle that failed is done again
    assert len(stream.opened) == 2
    assert again[0][POSITION].to_pylist() == [0, 1, 0, 1]
    dofn.teardown()


def test_what_a_checkpoint_came_before_is_read_by_whoever_goes_on() -> None:
    stream = MemoryStream("x", bounded=False)
    dofn = opened(stream, rhythm=Rhythm(call_ms=0))
    tracker = VectorTracker(dofn.initial_restriction(0))
    tracker.try_split(0)  # the runner, while the reader polls
    watermark = ReaderWatermark(MIN_TIMESTAMP)
    assert called(dofn, tracker, watermark) == []
    (batch,) = called(dofn, VectorTracker(tracker.current_restriction()), watermark)
    assert batch[POSITION].to_pylist() == [0, 1, 0, 1]
    assert len(stream.opened) == 1
    dofn.teardown()


def test_a_stream_without_a_permit_waits_and_acknowledges_what_has_landed() -> None:
    done: Ranges = {}
    stream = MemoryStream("x", bounded=False)
    rhythm = Rhythm(call_ms=10_000, in_flight_rows=4)
    dofn = opened(stream, rhythm=rhythm, done=lambda: done)
    now = [0]
    dofn._clock = type("Clock", (), {"wall": lambda _: 0, "steady": lambda _: now[0]})()
    tracker, watermark = VectorTracker(dofn.initial_restriction(0)), ReaderWatermark(MIN_TIMESTAMP)
    assert len(called(dofn, tracker, watermark)) == 1
    tracker = VectorTracker(tracker.current_restriction())
    now[0] += 1_000_000
    assert called(dofn, tracker, watermark) == []
    done.update({"a": [(0, 2)], "b": [(0, 2)]})
    now[0] += 1_000_000
    tracker = VectorTracker(tracker.current_restriction())
    assert len(called(dofn, tracker, watermark)) == 1
    assert ACKED["x"] == {"a": 2, "b": 2}
    dofn.teardown()


def test_a_stream_that_is_drained_ends_where_it_stands() -> None:
    asked = False
    stream = MemoryStream("x", bounded=False)
    dofn = opened(stream, rhythm=Rhythm(call_ms=0), draining=lambda: asked)
    watermark = ReaderWatermark(MIN_TIMESTAMP)
    tracker = VectorTracker(dofn.initial_restriction(0))
    called(dofn, tracker, watermark)
    stood = tracker.current_restriction().positions
    tracker, asked = VectorTracker(tracker.current_restriction()), True
    assert called(dofn, tracker, watermark) == []
    assert tracker.current_restriction().finished
    assert tracker.current_restriction().positions == stood
    tracker.check_done()
    dofn.teardown()


def test_the_watermark_is_that_of_the_partition_that_lags() -> None:
    dofn = opened(MemoryStream("x", bounded=False), rhythm=Rhythm(call_ms=0))
    watermark = ReaderWatermark(MIN_TIMESTAMP)
    called(dofn, VectorTracker(dofn.initial_restriction(0)), watermark)
    assert watermark.current_watermark() == Timestamp(11 - 1)
    dofn.teardown()


def test_readers_are_closed_when_the_last_user_leaves() -> None:
    closed = []
    live = type("Live", (), {"vector": 1, "reader": type("R", (), {"close": closed.append})})()
    live.reader.close = lambda: closed.append(1)
    pool = Pool()
    pool.use()
    pool.use()
    pool.put(0, live)
    pool.leave()
    assert not closed
    pool.leave()
    assert closed == [1]
