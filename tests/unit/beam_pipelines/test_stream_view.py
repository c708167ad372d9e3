"""What is seen of a stream beside it: what its commits say, and nothing read while none ends."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import stream_view
from beam_pipelines.stream_view import Lookout
from tests.pipelines.shop import HOURLY, Out, make_folder, sales
from tests.streams import Middle, commit, raw, spread, stream_plan
from transforms.commit.committer import Committer
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.positions import DonePositions
from transforms.continuous.rollup import ALWAYS

LINES = sales(0, 400, broken=4, copies=40).splitlines()


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


def lookout(middle: Middle) -> Lookout:
    return Lookout(middle.lake, middle.plan, "run", seq=0, done={}, opened=0.0)


def test_counts_positions_and_windows_are_those_of_the_commits(middle: Middle) -> None:
    one, memory, seen = middle.committer(), Memory(), lookout(middle)
    batches = spread(LINES, partitions=3, size=40)
    assert seen.look().commits == 0
    for at in range(0, len(batches), 4):
        memory = commit(one, memory, middle.ship(*batches[at : at + 4]))
        seen.look()
    view = seen.view
    out = Out(middle.plan.out)
    assert view.rows.total() == len(LINES)
    assert view.rows["kept"] == len(out.rows("processed_data.shop"))
    assert view.rows["refused"] == 4
    assert view.done == DonePositions(middle.lake)()
    assert view.commits == len(out.done())
    newest = max(row["window_start"] for row in out.rows(HOURLY))
    rows = view.newest["sales_hourly"]
    assert rows[0].start_us == newest.timestamp() * 1e6
    assert not any(row.final for row in rows)


def test_what_another_run_lands_beside_it_is_done_and_not_counted(middle: Middle) -> None:
    seen = lookout(middle)
    memory = commit(middle.committer(), Memory(), middle.ship(raw(LINES[:100])))
    own = seen.look()
    beside = StreamCommitter(Committer(middle.lake, middle.plan, run_id="batch"), middle.plan)
    memory = commit(beside, memory, middle.ship(raw(LINES[100:300], first=100)))
    view = seen.look()
    assert (view.seq, view.commits, view.rows) == (own.seq, 1, own.rows)
    assert (view.rates, view.newest) == (own.rates, own.newest)
    assert view.done == DonePositions(middle.lake)()
    commit(middle.committer(), memory, middle.ship(raw(LINES[300:], first=300)))
    assert seen.look().rows.total() == len(LINES) - 200


def test_final_windows_are_seen_beside_open_ones(middle: Middle) -> None:
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw(LINES)))
    commit(one, Memory(memory.asked, memory.handed, ALWAYS))
    rows = lookout(middle).look().newest["sales_hourly"]
    assert rows
    assert all(row.final for row in rows)


def test_only_rows_with_new_values_are_marked_as_changed(middle: Middle) -> None:
    one, seen = middle.committer(), lookout(middle)
    memory = commit(one, Memory(), middle.ship(raw(LINES)))
    before = seen.look().newest["sales_hourly"]
    assert all(row.changed for row in before)
    at = datetime.fromtimestamp(before[0].start_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sale = {"sale_id": "new", "sold_at": at, "country": "de", "properties": {"amount": 60}}
    commit(one, memory, middle.ship(raw([json.dumps(sale).encode()], first=len(LINES))))
    after = seen.look().newest["sales_hourly"]
    assert [row.groups for row in after if row.changed] == [("Germany", "big")]
    assert len(after) > 1


def test_no_file_is_read_while_no_commit_ends(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    seen = lookout(middle)
    first = seen.look()

    def read(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(stream_view, "after", read)
    assert seen.look() is first


def test_a_look_that_fails_is_made_up_for_by_the_next(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    seen = lookout(middle)
    with monkeypatch.context() as broken:
        broken.setattr(stream_view, "stored", raises)
        with pytest.raises(FileNotFoundError):
            seen.look()
    assert seen.look().rows.total() == len(LINES)


def raises(*_: Any) -> Any:
    raise FileNotFoundError
