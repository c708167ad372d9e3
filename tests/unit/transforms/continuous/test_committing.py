"""The committer of a stream: nothing twice, aggregates equal to the lake's rows at every commit."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PROCESSED,
    START,
    Out,
    by_group,
    by_key,
    expected,
    hourly,
    make_folder,
    plain_row,
    sales,
)
from tests.streams import Middle, commit, raw, spread, stream_plan
from transforms.continuous.committer import Memory
from transforms.continuous.positions import DonePositions
from transforms.continuous.rollup import ALWAYS

LINES = sales(0, 400, broken=4, copies=40).splitlines()


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


def _holds(middle: Middle) -> None:
    """The aggregate is what the kept rows give."""
    out = Out(middle.plan.out)
    rows = [plain_row(row) for row in out.rows(PROCESSED)]
    assert by_group(out.rows(HOURLY)) == hourly(rows)


def test_commits_add_up_to_one_batch_run(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    batches = spread(LINES, partitions=3, size=40)
    for at in range(0, len(batches), 4):
        memory = commit(one, memory, middle.ship(*batches[at : at + 4]))
        _holds(middle)
    want = expected({"a": b"\n".join(LINES)})
    out = Out(middle.plan.out)
    assert by_key(out.rows(PROCESSED)).keys() == want["rows"].keys()
    counts: Counter[str] = Counter()
    for row in out.rows(LEDGER):
        counts[row["destiny"]] += row["rows"]
    assert counts == Counter({k: v for k, v in want["counts"].items() if v and k != "read"})
    assert memory.asked.seq == len(out.done())


def test_a_replay_in_another_cut_lands_nothing_twice(middle: Middle) -> None:
    half = len(LINES) // 2
    first = middle.ship(raw(LINES[:half]))
    memory = commit(middle.committer(), Memory(), first)
    # The process dies before its checkpoint: its state is gone, and the source reads again.
    again, one = Middle(middle.plan), middle.committer()
    memory = commit(one, Memory(), first)
    assert len(Out(middle.plan.out).done()) == 1
    memory = commit(one, memory, again.ship(raw(LINES[: half - 30])), again.ship(raw([], "e")))
    memory = commit(one, memory, again.ship(raw(LINES[half - 30 :], first=half - 30)))
    want = expected({"a": b"\n".join(LINES)})
    out = Out(middle.plan.out)
    assert by_key(out.rows(PROCESSED)) == want["rows"]
    assert by_group(out.rows(HOURLY)) == want["hourly"]
    assert memory.asked.seq == len(out.done()) == 2


def test_a_copy_that_wins_after_a_restart_does_not_land_beside_the_first_winner(
    middle: Middle,
) -> None:
    line = next(x for x in LINES if b'"de"' in x and b"50" in x)
    commit(middle.committer(), Memory(), middle.ship(raw([line], "c/t/0")))
    again, one = Middle(middle.plan), middle.committer()
    memory = commit(one, Memory(), again.ship(raw([line], "c/t/1")))
    assert memory.asked.seq == 0  # c/t/0 has not been read again: the dedupe may lack its ids
    out = Out(middle.plan.out)
    assert [row["_source"] for row in out.rows(PROCESSED)] == ["c/t/0"]
    destinies = sorted(
        (r["_source"], r["destiny"], r["rows"]) for r in out.rows(LEDGER) if r["rows"]
    )
    assert destinies == [("c/t/0", "kept", 1), ("c/t/1", "duplicate", 1)]
    memory = commit(one, memory, again.ship(raw([line], "c/t/0")))
    assert memory.asked.seq == 2


def test_a_new_process_reads_open_windows_back_from_the_lake(middle: Middle) -> None:
    memory = Memory()
    for at in range(0, len(LINES), 150):
        memory = commit(
            middle.committer(), memory, middle.ship(raw(LINES[at : at + 150], first=at))
        )
        _holds(middle)


def test_windows_are_final_when_event_time_is_complete(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw(LINES)))
    out = Out(middle.plan.out)
    assert not any(row["_final"] for row in out.rows(HOURLY))
    hour = timedelta(hours=1)
    assert one.next_close_us() == int((START + hour).timestamp() * 1e6)
    for closed, starts in (
        (one.next_close_us(), {START}),
        (ALWAYS, {START + hour * i for i in (0, 1, 2)}),
    ):
        memory = commit(one, Memory(memory.asked, memory.handed, closed))
        final = {row["window_start"] for row in out.rows(HOURLY) if row["_final"]}
        assert final == starts
    assert one.next_close_us() is None
    seqs = len(out.done())
    commit(one, memory)
    assert len(out.done()) == seqs
    _holds(middle)


def test_a_late_row_is_in_the_lake_and_the_ledger_but_in_no_window(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    line = next(x for x in LINES if b"T00:" in x and b"50" in x)
    memory = commit(one, memory, middle.ship(raw([line], watermark=START)))
    before = Out(middle.plan.out).rows(HOURLY)
    late = line.replace(b'"s0', b'"t0')
    watermark = START + timedelta(hours=1)
    commit(one, memory, middle.ship(raw([late], first=1, watermark=watermark)))
    out = Out(middle.plan.out)
    assert len(out.rows(PROCESSED)) == 2
    assert out.rows(HOURLY) == before
    assert Counter(r["destiny"] for r in out.rows(LEDGER)) == {"kept": 1, "late": 1}


def test_done_positions_follow_the_lake_at_most_once_an_interval(middle: Middle) -> None:
    now = [0.0]
    done = DonePositions(middle.lake, every=1.0, clock=lambda: now[0])
    assert done() == {}
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw(LINES[:50])))
    assert done() == {}
    now[0] = 1.0
    assert done() == {"c/t/0": [(0, 50)]}
    commit(one, memory, middle.ship(raw(LINES[50:60], first=50)))
    now[0] = 2.5
    assert done() == {"c/t/0": [(0, 60)]}
