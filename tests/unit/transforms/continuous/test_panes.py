"""When a stream's windows get their rows: early, on time and late, as the trigger says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.pipelines.shop import (
    HOURLY,
    PIPELINE,
    PROCESSED,
    START,
    Out,
    by_group,
    hourly,
    make_folder,
    plain_row,
    sales,
)
from tests.streams import Middle, commit, raw, stream_plan
from transforms.commit.committer import Committer
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.land import Shipment
from transforms.continuous.rollup import ALWAYS

LINES = sales(0, 300).splitlines()
HOUR = timedelta(hours=1)
ON_TIME = "{type: after_watermark}"
EVERY_MINUTE = (
    "{type: after_watermark, early: {type: after_processing_time, delay: 60s}, "
    "late: {type: after_processing_time, delay: 60s}}"
)
EVERY_HUNDRED = "{type: after_watermark, early: {type: after_count, count: 100}}"


def of_hour(hour: int, lines: list[bytes] = LINES) -> list[bytes]:
    """The sales of one hour."""
    return [x for x in lines if f"T{hour:02}:".encode() in x]


class Stream:
    """One committer after the other over one lake, with a clock that the test moves."""

    def __init__(self, folder: Path, trigger: str) -> None:
        window = f"size: 1h, allowed_lateness: 30m, trigger: {trigger}}}"
        pipeline = PIPELINE.replace("size: 1h}", window)
        self.middle = Middle(stream_plan(make_folder(folder, pipeline=pipeline)))
        self.now, self.offset, self.memory = 1_000_000.0, 0, Memory()
        self.restart()

    def restart(self, memory: Memory | None = None) -> None:
        """Go on in a new process, with this or all of what the state says."""
        own = Committer(self.middle.lake, self.middle.plan, run_id="run")
        self.committer = StreamCommitter(own, self.middle.plan, clock=lambda: self.now)
        self.memory = self.memory if memory is None else memory

    def ship(self, lines: list[bytes], watermark: datetime | None = None) -> Shipment:
        batch: pa.RecordBatch = raw(lines, first=self.offset, watermark=watermark)
        self.offset += len(lines)
        return self.middle.ship(batch)

    def land(self, *shipments: Shipment, closed: datetime | int | None = None) -> None:
        """Commit; event time is complete up to `closed`."""
        if closed is not None:
            us = closed if isinstance(closed, int) else int(closed.timestamp() * 1e6)
            self.memory = replace(self.memory, closed_us=us)
        self.memory = commit(self.committer, self.memory, *shipments)

    def rows(self) -> int:
        """Rows of the lake that the aggregate counts."""
        out = Out(self.middle.plan.out)
        found = by_group(out.rows(HOURLY))
        return sum(count for count, _, _ in found.values())

    def behind(self) -> set[datetime]:
        """Windows whose rows are not what the kept rows give."""
        out = Out(self.middle.plan.out)
        found = by_group(out.rows(HOURLY))
        want = hourly(plain_row(r) for r in out.rows(PROCESSED))
        return {key[0] for key in found.keys() | want.keys() if found.get(key) != want.get(key)}

    def whole(self) -> bool:
        """Whether the aggregate is what all kept rows give."""
        return not self.behind()

    def kept(self) -> int:
        return len(Out(self.middle.plan.out).rows(PROCESSED))

    def final(self) -> set[bool]:
        return {row["_final"] for row in Out(self.middle.plan.out).rows(HOURLY)}


@pytest.fixture
def on_time(tmp_path: Path) -> Stream:
    return Stream(tmp_path, ON_TIME)


def test_without_an_early_part_a_window_has_rows_from_its_end_on(on_time: Stream) -> None:
    first, second = of_hour(0), of_hour(1)
    on_time.land(on_time.ship(first[:50] + second[:10]))
    assert on_time.committer.next_close_us() == int((START + HOUR).timestamp() * 1e6)
    on_time.land(on_time.ship(first[50:]))
    assert (on_time.rows(), on_time.committer.next_fire_us()) == (0, None)
    on_time.land(closed=START + HOUR)
    assert {r["window_start"] for r in Out(on_time.middle.plan.out).rows(HOURLY)} == {START}
    assert on_time.final() == {False}
    before = on_time.rows()
    late = [line.replace(b'"s0', b'"t0') for line in first]
    on_time.land(on_time.ship(late))
    assert on_time.rows() == 2 * before
    on_time.land(closed=START + 1.5 * HOUR)
    assert on_time.final() == {True}
    on_time.land(closed=ALWAYS)
    assert on_time.whole()


def test_an_early_pane_comes_a_delay_after_the_first_row_and_holds_all_rows(tmp_path: Path) -> None:
    stream = Stream(tmp_path, EVERY_MINUTE)
    first = of_hour(0)
    stream.land(stream.ship(first[:20]))
    stream.now += 59
    stream.land(stream.ship(first[20:40]))
    assert stream.rows() == 0
    assert stream.committer.next_fire_us() == int((stream.now + 1) * 1e6)
    stream.now += 1
    stream.land()
    assert stream.whole()
    assert stream.committer.next_fire_us() is None
    count = stream.rows()
    stream.land(stream.ship(first[40:]))
    assert stream.rows() == count
    stream.now += 60
    stream.land(stream.ship(of_hour(1)))
    # What the hour had before is in its second pane, too: panes accumulate.
    assert stream.rows() > count
    assert stream.behind() == {START + HOUR}
    stream.land(closed=ALWAYS)
    assert stream.whole()


def test_late_rows_wait_for_the_late_part(tmp_path: Path) -> None:
    stream = Stream(tmp_path, EVERY_MINUTE)
    first = of_hour(0)
    stream.land(stream.ship(first[:20]))
    stream.land(closed=START + HOUR)
    assert stream.whole()
    on_time = stream.rows()
    stream.land(stream.ship(first[20:]))
    assert stream.rows() == on_time
    stream.now += 60
    stream.land()
    assert stream.whole()
    assert stream.rows() > on_time


def test_a_pane_may_wait_for_so_many_rows(tmp_path: Path) -> None:
    stream = Stream(tmp_path, EVERY_HUNDRED)
    several = [x.replace(b'"s0', b'"%d' % i) for i in range(3) for x in of_hour(0)]
    stream.land(stream.ship(several[:60]))
    stream.now += 3600
    stream.land()
    assert (stream.rows(), stream.committer.next_fire_us()) == (0, None)
    stream.land(stream.ship(several[60:]))
    assert stream.kept() > 100
    assert stream.whole()


@pytest.mark.parametrize("memory", [None, Memory()], ids=["its state", "no state"])
def test_a_restart_loses_no_window_that_has_no_row_yet(
    on_time: Stream, memory: Memory | None
) -> None:
    on_time.land(on_time.ship(LINES))
    assert on_time.rows() == 0
    on_time.restart(memory)
    on_time.land(closed=START + HOUR)
    assert 0 < on_time.rows() < on_time.kept()
    on_time.restart(memory)
    on_time.land(closed=ALWAYS)
    assert on_time.whole()
    assert on_time.final() == {True}


def test_a_window_lost_to_memory_would_never_get_its_rows(
    on_time: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.commit.state._owed", lambda before, _: before)
    on_time.land(on_time.ship(LINES))
    on_time.restart()
    on_time.land(closed=ALWAYS)
    assert on_time.rows() == 0


def test_after_a_restart_an_early_pane_comes_at_once(tmp_path: Path) -> None:
    stream = Stream(tmp_path, EVERY_MINUTE)
    stream.land(stream.ship(LINES))
    stream.restart()
    stream.now += 1
    stream.land()
    assert stream.whole()


def test_a_shipment_that_is_handed_in_again_leaves_its_windows_owed(on_time: Stream) -> None:
    shipped = on_time.ship(LINES)
    on_time.land(shipped)
    on_time.restart(Memory())
    on_time.land(shipped, closed=START + HOUR)
    on_time.land(closed=ALWAYS)
    assert on_time.whole()


def test_copies_found_by_the_committer_bring_no_pane_forward(on_time: Stream) -> None:
    on_time.land(on_time.ship(LINES[:100]))
    again = Stream.__new__(Stream)
    again.__dict__ |= on_time.__dict__ | {"middle": Middle(on_time.middle.plan)}
    again.restart(Memory())
    again.land(again.ship(LINES[:150]))  # Copies at other positions: trimmed, and recomputed.
    assert again.rows() == 0
    assert again.kept() > on_time.offset // 2
    again.land(closed=ALWAYS)
    assert again.whole()


def test_a_batch_run_beside_it_writes_what_is_owed(on_time: Stream) -> None:
    on_time.land(on_time.ship(LINES[:200]))
    batch = Committer(on_time.middle.lake, on_time.middle.plan, run_id="batch")
    assert batch.commit([], {}) is not None
    assert on_time.whole()
    assert batch.commit([], {}) is None
    on_time.land(on_time.ship(LINES[200:]), closed=ALWAYS)
    assert on_time.whole()


def test_what_is_owed_outlives_the_fold_of_old_commits(on_time: Stream) -> None:
    own = Committer(on_time.middle.lake, on_time.middle.plan, run_id="run", fold_at=2)
    on_time.committer = StreamCommitter(own, on_time.middle.plan)
    for at in range(0, 60, 10):
        on_time.land(on_time.ship(LINES[at : at + 10]))
    on_time.restart(Memory())
    on_time.land(closed=ALWAYS)
    assert on_time.whole()
