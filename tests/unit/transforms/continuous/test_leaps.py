"""Event time that leaps, as in a replay: few timers for many windows and slices, none too late."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp

from schemas.names import TIMESTAMP
from tests.pipelines.shop import HOURLY, Out, make_folder, sales
from tests.streams import Middle, raw, stream_plan
from transforms.continuous.commit import CommitContinuously, _Commit, _to_the_committer
from transforms.continuous.committer import Memory
from transforms.continuous.deduplicate import _AnswerIds
from transforms.continuous.in_process import InProcess
from transforms.continuous.parcels import Answer
from transforms.continuous.seen import ID, Stay
from transforms.duplicates import ids_of

HOUR = 3_600_000_000


class Cell:
    """A value or bag of state."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def read(self) -> Any:
        return self.values[-1] if self.values else None

    def write(self, value: bytes) -> None:
        self.values = [value]

    def clear(self) -> None:
        self.values = []


class Bag(Cell):
    def read(self) -> list[bytes]:
        return list(self.values)

    def add(self, value: bytes) -> None:
        self.values.append(value)


class Timer:
    def __init__(self) -> None:
        self.at: int | None = None

    def set(self, at: Timestamp) -> None:
        self.at = at.micros

    def fires(self, watermark: int) -> Iterator[Timestamp]:
        """Yield the times at which it fires while event time leaps to the watermark."""
        while self.at is not None and self.at <= watermark:
            now, self.at = self.at, None
            yield Timestamp(micros=now)

    def clear(self) -> None:
        self.at = None


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    folder = make_folder(tmp_path)
    text = (folder / "pipeline.yaml").read_text().replace("size: 1h", "size: 1m")
    (folder / "pipeline.yaml").write_text(text)
    return Middle(stream_plan(folder))


class Committing:
    """A committer's state and timers after a first shipment and its tick."""

    def __init__(self, middle: Middle) -> None:
        self.do = _Commit(CommitContinuously(make=middle.committer, every_us=1_000_000))
        self.do.setup()
        waiting, count, self.memory = Bag(), Cell(), Cell()
        self.state = (waiting, count, self.memory)
        self.tick, self.close, end = Timer(), Timer(), Timer()
        _, shipment = _to_the_committer(middle.ship(raw(sales(0, 400).splitlines()))).value
        list(self.do.process((0, shipment), *self.state, self.tick, self.close, end))
        list(self.do.ticked(*self.state, self.tick, self.close))


def test_windows_that_end_in_one_leap_take_a_few_timers_and_all_become_final(
    middle: Middle,
) -> None:
    c = Committing(middle)
    starts = {row["window_start"] for row in Out(middle.plan.out).rows(HOURLY)}
    assert len(starts) > 100
    leap = int(max(starts).timestamp() * 1e6) + 48 * HOUR
    fired = 0
    for now in c.close.fires(leap):
        fired += 1
        c.do.closed(now, c.memory, c.tick, c.close)
    assert fired <= np.log2(len(starts)) + 2
    list(c.do.ticked(*c.state, c.tick, c.close))
    assert all(row["_final"] for row in Out(middle.plan.out).rows(HOURLY))


def test_a_window_that_is_told_complete_after_the_end_sets_no_tick(middle: Middle) -> None:
    c = Committing(middle)
    c.tick.clear()
    late = c.close.at
    assert late is not None
    list(c.do.ended(*c.state, c.tick, c.close))
    c.do.closed(Timestamp(micros=late), c.memory, c.tick, c.close)
    assert c.tick.at is None
    assert all(row["_final"] for row in Out(middle.plan.out).rows(HOURLY))


def test_windows_that_are_skipped_wait_for_the_next_tick_at_most(middle: Middle) -> None:
    one = middle.committer()
    one.commit([middle.ship(raw(sales(0, 400).splitlines()))], Memory())
    first = one.next_close_us()
    assert first is not None
    second, fourth = one.next_close_us(first), one.next_close_us(first, skip=2)
    assert second is not None
    assert fourth is not None
    assert first < second < fourth
    last = one.next_close_us(skip=10**9)
    assert last is not None
    assert one.next_close_us(last) is None
    # After a commit nothing is skipped.
    assert one.commit([], Memory(closed_us=first, closes=7))[1].closes == 0


def ids(times: list[int]) -> pa.RecordBatch:
    size = len(times)
    rows = pa.record_batch(
        {
            "id": pa.array(times),
            "time": pa.array(times, TIMESTAMP),
            "_source": pa.array(["s"] * size).dictionary_encode(),
            "_position": pa.array(times, pa.int64()),
            "_sequence": pa.array([0] * size, pa.int32()),
        }
    )
    return next(ids_of(rows, ["id"], "time", (1, 2), f"{bytes(12).hex()} 0", 1, placed=True))[1]


class Dedupe:
    """The state of one partition, and its timer."""

    def __init__(self, stay_us: int) -> None:
        self.do = _AnswerIds(Stay(horizon_us=stay_us))
        self.do.setup()
        self.ids, self.stamp, self.timer, self.fired = Bag(), Cell(), Timer(), 0

    def arrive(self, times: list[int]) -> Answer:
        ((_, encoded),) = self.do.process((0, ids(times)), self.ids, self.stamp, self.timer)
        return Answer.decode(encoded)

    def advance(self, watermark: int) -> None:
        for now in self.timer.fires(watermark):
            self.fired += 1
            self.do.forget(0, now, self.ids, self.stamp, self.timer)

    def oldest(self) -> int:
        return min(int(np.frombuffer(one, ID)["time"].min()) for one in self.ids.values)


def test_ids_of_many_slices_are_forgotten_by_a_few_timers_when_event_time_leaps() -> None:
    state = Dedupe(24 * HOUR)
    for day in range(0, 300, 10):
        state.arrive([(day * 24 + hour) * HOUR for hour in range(240)])
        state.advance(((day + 10) * 24 - 1) * HOUR)
    assert state.fired <= 60  # 1,200 slices
    assert state.oldest() >= (300 - 3) * 24 * HOUR - 10 * 24 * HOUR


def test_ids_are_forgotten_a_quarter_of_the_horizon_at_a_time_when_event_time_flows() -> None:
    state = Dedupe(24 * HOUR)
    for hour in range(240):
        state.arrive([hour * HOUR])
        state.advance(hour * HOUR)
        assert state.oldest() >= (hour - 31) * HOUR
    assert 30 <= state.fired <= 40


def other_place(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same ids at other positions: copies of the rows."""
    at = batch.schema.get_field_index("place")
    places = pa.array(batch["place"].to_numpy() + np.uint64(1))
    return batch.set_column(at, batch.schema.field(at), places)


def test_a_clock_that_runs_ahead_of_all_rows_forgets_none_of_them() -> None:
    """An idle source moves the watermark to the time of day; a replay of last year is behind it."""
    state = Dedupe(24 * HOUR)
    state.arrive([HOUR, 2 * HOUR])
    state.advance(10_000 * HOUR)
    answer = state.arrive([2 * HOUR, 3 * HOUR, 24 * HOUR])
    assert not answer.unsure
    state.advance(20_000 * HOUR)
    copies = other_place(ids([HOUR, 2 * HOUR, 3 * HOUR]))
    ((_, encoded),) = state.do.process((0, copies), state.ids, state.stamp, state.timer)
    assert sorted(Answer.decode(encoded).rows.tolist()) == [0, 1, 2]
    assert state.fired <= 5

    here, stay = InProcess(), Stay(horizon_us=24 * HOUR)
    here.answer(b"", ids([HOUR, 2 * HOUR]), stay, 10_000 * HOUR)
    answer = here.answer(b"", other_place(ids([HOUR, 2 * HOUR])), stay, 10_000 * HOUR)
    assert sorted(answer.rows.tolist()) == [0, 1]
    assert not answer.unsure


def test_a_row_whose_like_may_be_forgotten_says_so() -> None:
    state = Dedupe(24 * HOUR)
    here, stay = InProcess(), Stay(horizon_us=24 * HOUR)
    for hour in range(0, 240, 4):
        for answer in (
            state.arrive([hour * HOUR]),
            here.answer(b"", ids([hour * HOUR]), stay, hour * HOUR),
        ):
            assert not answer.unsure
        state.advance(hour * HOUR)
    assert state.arrive([100 * HOUR + 1]).unsure
    assert here.answer(b"", ids([100 * HOUR + 1]), stay, 240 * HOUR).unsure


@pytest.mark.parametrize("unsure", [True, False], ids=["asked", "control"])
def test_the_committer_asks_the_lake_for_rows_that_the_dedupe_is_not_sure_of(
    middle: Middle, *, unsure: bool
) -> None:
    one, lines = middle.committer(), sales(0, 30).splitlines()
    known = one.commit([middle.ship(raw(lines))], Memory())[1]
    middle.seen = type(middle.seen)()  # forgotten
    copies = replace(middle.ship(raw(lines[:9], first=100)), unsure=unsure)
    committed, _ = one.commit([copies], known)
    assert committed is not None
    ids_landed = [row["sale_id"] for row in Out(middle.plan.out).rows("processed_data.shop")]
    assert (len(ids_landed) == len(set(ids_landed))) is unsure
