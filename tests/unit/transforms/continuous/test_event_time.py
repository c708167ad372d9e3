"""What a source's partitions do to event time, and what becomes of their rows in the lake.

The source's own code reads, stamps and holds the watermark; a control shows what a simpler
watermark would do to the same messages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.pipelines.shop import HOURLY, LEDGER, REFUSED, START, Out, make_folder
from tests.streams import Middle, commit, stream_plan
from tests.unit.transforms.raws import LOGS, MemoryStream
from transforms.continuous.committer import Memory
from transforms.sources.streams import live
from transforms.sources.streams.event_times import EventTimes
from transforms.sources.streams.live import Live
from transforms.sources.streams.permit import Permit
from transforms.sources.streams.watermark import Pace, Progress

MINUTE_US = 60_000_000
HOUR = timedelta(hours=1)
PACE = Pace(disorder_us=MINUTE_US, idle_us=10 * MINUTE_US, max_future_us=5 * MINUTE_US)
NOW = START + 12 * HOUR
FAR = datetime.fromisoformat("2099-01-01T00:00:00+00:00")


def us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def sales(*times: datetime) -> Iterator[bytes]:
    for at in times:
        row = {"sale_id": f"{at}", "sold_at": at.isoformat().replace("+00:00", "Z")}
        yield json.dumps(row | {"country": "de", "properties": {"amount": 50}}).encode()


def every(minutes: int, first: datetime, count: int) -> list[datetime]:
    return [first + timedelta(minutes=minutes * i) for i in range(count)]


class Clock:
    """A clock that the test moves."""

    def __init__(self, at: datetime) -> None:
        self.us = us(at)

    def wall(self) -> int:
        return self.us

    def steady(self) -> int:
        return self.us


class Stream:
    """Partitions read two messages of each a poll, every poll a commit."""

    def __init__(self, folder: Path, pace: Pace = PACE, arrived: datetime = NOW) -> None:
        plan = stream_plan(make_folder(folder))
        self.middle = Middle(plan, max_future_us=pace.max_future_us)
        self.memory, self.committer = Memory(), self.middle.committer()
        self.clock, self.known = Clock(NOW), None
        source = MemoryStream("x", bounded=False, arrived_us=us(arrived))
        vector = source.begin({}, 0, 1)
        times = EventTimes(plan.contract, pace.max_future_us)
        reader, permit = source.open(vector, 0, 1), Permit(None, 0, self.clock)
        self.live = Live(reader, vector, times, pace, permit, self.clock)

    def read(self) -> None:
        """Read all there is."""
        while (step := self.live.next(0, 0)) is not None:
            batch = self.live.taken(step, self.known)
            self.known = self.live.watermark(self.known)
            if batch is None:
                return
            self.memory = commit(self.committer, self.memory, self.middle.ship(batch))

    def destinies(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in Out(self.middle.plan.out).rows(LEDGER):
            counts[row["destiny"]] += row["rows"]
        return counts


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    yield
    LOGS.clear()


def newest(
    before: int | None, partitions: Iterable[Progress], now_us: int, pace: Pace
) -> int | None:
    """The naive watermark: it follows the newest row."""
    del now_us
    highs = [p.high_us - pace.disorder_us for p in partitions if p.high_us is not None]
    return max([*highs, *([] if before is None else [before])], default=None)


def _lags(folder: Path) -> Stream:
    LOGS["x"] = {
        "a": list(sales(*every(20, START + 2 * HOUR, 6))),
        "b": list(sales(*every(20, START + timedelta(seconds=1), 6))),
    }
    stream = Stream(folder)
    stream.read()
    return stream


def test_no_row_of_a_partition_that_lags_by_hours_is_late(tmp_path: Path) -> None:
    assert _lags(tmp_path).destinies() == {"kept": 12}


def test_with_a_watermark_that_follows_the_newest_row_they_are_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "watermark", newest)
    assert _lags(tmp_path).destinies()["late"] == 4


def _silent(folder: Path) -> Stream:
    LOGS["x"] = {"a": list(sales(*every(40, NOW - 3 * HOUR, 4))), "b": []}
    stream = Stream(folder)
    stream.read()
    return stream


def test_a_silent_partition_holds_event_time_so_that_what_comes_after_all_is_not_late(
    tmp_path: Path,
) -> None:
    stream = _silent(tmp_path)
    assert stream.known is None
    LOGS["x"]["b"] += sales(NOW - 2.5 * HOUR)
    stream.read()
    assert stream.destinies() == {"kept": 5}


def test_an_idle_partition_lets_event_time_go_on_to_what_it_could_still_bring(
    tmp_path: Path,
) -> None:
    stream = _silent(tmp_path)
    stream.clock.us += PACE.idle_us or 0
    stream.read()
    assert stream.known == us(NOW - timedelta(minutes=1))
    LOGS["x"]["b"] += sales(NOW - timedelta(seconds=30))
    stream.read()
    assert stream.destinies() == {"kept": 5}


def test_a_watermark_that_passes_silent_partitions_by_makes_their_rows_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "watermark", newest)
    stream = _silent(tmp_path)
    LOGS["x"]["b"] += sales(NOW - 2.5 * HOUR)
    stream.read()
    assert stream.destinies()["late"] == 1


def _jump(folder: Path, pace: Pace = PACE, arrived: datetime = NOW) -> Stream:
    times = every(5, NOW - HOUR, 6)
    LOGS["x"] = {"a": list(sales(*times[:3], FAR, *times[3:]))}
    stream = Stream(folder, pace, arrived)
    stream.read()
    return stream


def test_a_row_of_the_year_2099_is_refused_and_moves_nothing(tmp_path: Path) -> None:
    stream = _jump(tmp_path)
    assert stream.destinies() == {"kept": 6, "refused": 1}
    assert stream.known == us(NOW - timedelta(minutes=36))
    out = Out(stream.middle.plan.out)
    assert [row["rule"] for row in out.rows(REFUSED)] == ["event_time"]
    assert {row["window_start"].year for row in out.rows(HOURLY)} == {2026}


def test_without_max_future_everything_after_it_is_late(tmp_path: Path) -> None:
    pace = Pace(disorder_us=MINUTE_US, max_future_us=100 * 365 * 24 * 60 * MINUTE_US)
    counts = _jump(tmp_path, pace).destinies()
    assert counts["late"] == 3  # Those of the polls after it.
    assert counts["refused"] == 0


def test_a_producer_whose_clock_jumped_stamps_arrivals_too_and_still_moves_nothing(
    tmp_path: Path,
) -> None:
    stream = _jump(tmp_path, arrived=FAR)
    assert stream.destinies()["late"] == 0
    assert stream.known == us(NOW - timedelta(minutes=36))
