"""How far a source is ahead of the lake, and how fast the lake grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from beam_pipelines.stream_lag import Behind, behind
from beam_pipelines.stream_status import rate
from transforms.commit.journal import Entry
from transforms.sources.streams.vector import Place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_what_waits_is_what_lies_before_the_end_and_is_not_done() -> None:
    places = {
        "a": Place(position=0, end=100, label="t/0"),
        "b": Place(position=0, end=100, label="t/1"),
        "c": Place(position=0, end=100, label="t/2"),
        "d": Place(position=7, end=9),
    }
    done = {"a": [(0, 40), (60, 90)], "b": [(0, 100)], "e": [(0, 5)]}
    assert behind(places, done) == [Behind("t/2", 100), Behind("t/0", 30), Behind("d", 2)]


def test_a_hole_before_what_was_done_first_waits_too() -> None:
    places = {"a": Place(position=0, end=10, label="t/0")}
    assert behind(places, {"a": [(4, 10)]}) == [Behind("t/0", 4)]
    later = {"a": Place(position=90, end=100, label="t/0")}  # `start: latest`, or old ones are gone
    assert behind(later, {"a": [(4, 80)]}) == [Behind("t/0", 20)]


def test_a_partition_that_lost_its_messages_or_has_no_end_waits_for_nothing() -> None:
    places = {"a": Place(position=5, end=5), "b": Place(position=0)}
    assert behind(places, {"a": [(0, 9)]}) == []


def entry(seconds_ago: float, rows: int, op: str = "append") -> Entry:
    return Entry(
        seq=1,
        commit_id="c",
        run_id="r",
        state="done",
        op=op,
        at=NOW - timedelta(seconds=seconds_ago),
        done={"a": [(0, rows)]},
        parts={},
        snapshots={},
        totals={},
    )


def test_the_rate_is_what_the_last_commits_landed_by_the_time_between_them() -> None:
    commits = [
        entry(9000, 99),
        entry(30, 7),
        entry(20, 100),
        entry(15, 9, "compact"),
        entry(10, 60),
    ]
    assert rate(commits, NOW) == pytest.approx(160 / 20)
    assert rate(commits[:2], NOW) is None
    assert rate([], NOW) is None
