"""What moves a stream's watermark, and what does not."""

from __future__ import annotations

import time

import hypothesis.strategies as st
import pytest
from hypothesis import given

from transforms.sources.streams.clock import Quiet, SystemClock
from transforms.sources.streams.watermark import Pace, Progress, watermark

PACE = Pace(disorder_us=100, idle_us=50)
NOW = 1_000_000
times = st.integers(0, 2 * NOW)
partitions = st.lists(
    st.builds(Progress, st.none() | times, st.none() | st.integers(0, 200)), max_size=6
)


@given(before=st.none() | times, partitions=partitions)
def test_it_never_goes_back(before: int | None, partitions: list[Progress]) -> None:
    after = watermark(before, partitions, NOW, PACE)
    assert before is None or (after is not None and after >= before)


@given(partitions=partitions)
def test_it_is_behind_every_partition_that_is_not_idle(partitions: list[Progress]) -> None:
    after = watermark(None, partitions, NOW, PACE)
    for high, quiet in partitions:
        if quiet is None or quiet < 50:
            assert after is None or (high is not None and after <= high - 100)


@given(partitions=partitions)
def test_a_row_on_time_for_its_partition_is_never_behind_it(partitions: list[Progress]) -> None:
    after = watermark(None, partitions, NOW, PACE)
    for high, quiet in partitions:
        if high is not None and (quiet is None or quiet < 50):
            assert after is None or after <= high - PACE.disorder_us


def test_a_partition_nothing_is_known_of_holds_it() -> None:
    assert watermark(None, [Progress(500), Progress(None)], NOW, PACE) is None
    assert watermark(7, [Progress(500), Progress(None)], NOW, PACE) == 7


def test_an_idle_partition_lets_go_only_after_its_end_was_reported_and_time_has_passed() -> None:
    busy = Progress(NOW)
    assert watermark(None, [busy, Progress(300, None)], NOW, PACE) == 200
    assert watermark(None, [busy, Progress(300, 49)], NOW, PACE) == 200
    assert watermark(None, [busy, Progress(300, 50)], NOW, PACE) == NOW - 150
    assert watermark(None, [busy, Progress(None, 50)], NOW, PACE) == NOW - 150


def test_without_an_idle_time_a_quiet_partition_holds_it_for_ever() -> None:
    pace = Pace(disorder_us=100, idle_us=None)
    assert watermark(None, [Progress(NOW), Progress(300, 10**12)], NOW, pace) == 200


def test_without_partitions_nothing_is_known() -> None:
    assert watermark(None, [], NOW, PACE) is None
    assert watermark(5, [], NOW, PACE) == 5


def test_a_clock_that_is_put_forward_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, real = SystemClock(), time.time_ns
    before = clock.wall()
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3600 * 10**9)
    assert clock.wall() < before + 60_000_000
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    assert clock.wall() < before - 3_000_000_000


def test_quiet_counts_from_the_last_row_or_from_when_reading_began() -> None:
    quiet = Quiet(began=100)
    assert quiet.lasts("a", 150) == 50
    quiet.heard(["a"], 140)
    assert (quiet.lasts("a", 150), quiet.lasts("b", 150)) == (10, 50)
