import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.synthetic import BEGIN_US, HOUR_US
from tests.faults.world import World
from transforms.commit import fold, journal
from transforms.commit.follow import FollowerTooFarError, Place, commits_after
from transforms.commit.iceberg import stored
from transforms.commit.journal import base_of, now, tail
from transforms.commit.tables import COMMITS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _place(committed: Any) -> Place:
    return Place(committed.seq, committed.commit_id)


def _rows(paths: list[str]) -> int:
    return sum(pq.read_metadata(Path(p.removeprefix("file://"))).num_rows for p in paths)


def test_a_follower_is_told_each_commit_once_in_order(world: World) -> None:
    assert list(commits_after(world.lake)) == []
    first = world.commit(("a", 0, 50))
    second = world.commit(("a", 50, 90))
    told = list(commits_after(world.lake))
    assert [(d.seq, d.commit_id, d.op) for d in told] == [
        (first.seq, first.commit_id, "append"),
        (second.seq, second.commit_id, "append"),
    ]
    assert _rows(told[1].added[world.plan.processed]) == second.added[world.plan.processed]
    assert [d.seq for d in commits_after(world.lake, _place(first))] == [second.seq]
    assert list(commits_after(world.lake, _place(second))) == []


def test_touched_windows_and_the_files_they_replace_are_named(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(("a", 50, 90))
    first, second = commits_after(world.lake)
    starts = [t.as_py().timestamp() * 1_000_000 for t in second.windows["hourly"]]
    assert starts == [BEGIN_US + HOUR_US, BEGIN_US + 2 * HOUR_US]
    assert second.replaced == {"analytics.hourly": first.added["analytics.hourly"]}
    assert first.replaced == {}


def test_a_rebuild_names_everything_it_replaces(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(("a", 50, 90))
    world.commit(("a", 0, 30), rebuild=True)
    first, second, third = commits_after(world.lake)
    name = world.plan.processed
    assert third.op == "rebuild"
    assert sorted(third.replaced[name]) == sorted([*first.added[name], *second.added[name]])


def test_history_folds_and_followers_still_read_all_of_it(world: World) -> None:
    one = world.committer(fold_at=3)
    done = [one.commit([world.landed("a", 10 * k, 10 * k + 10)], {}) for k in range(8)]
    commits = world.lake.commits()
    assert journal.base_of(commits) == 6
    assert [e.state for e in tail(commits)] == ["base", "intent", "done", "intent", "done"]
    assert [d.commit_id for d in commits_after(world.lake)] == [c.commit_id for c in done]
    assert [d.seq for d in commits_after(world.lake, _place(done[3]))] == [5, 6, 7, 8]
    assert world.commit(("a", 0, 80)) is None
    assert world.wrongs(("a", 0, 80)) == []


def test_history_from_before_a_column_was_there_is_read_and_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = pa.schema([field for field in COMMITS if field.name != "owed"])
    for module in ("tables", "journal"):
        monkeypatch.setattr(f"transforms.commit.{module}.COMMITS", older)
    world = World(tmp_path)
    world.commit(("a", 0, 10))
    monkeypatch.undo()
    world.lake.prepare(world.plan)
    one = world.committer(fold_at=2)
    done = one.commit([world.landed("a", 10, 20)], {}, asked=world.asked())
    assert done is not None
    assert done.notes == ()
    assert base_of(world.lake.commits()) == done.seq
    assert world.wrongs(("a", 0, 20)) == []


def test_a_fold_that_fails_is_told_and_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "secret")

    monkeypatch.setattr(fold, "entries_table", full)
    done = world.committer(fold_at=1).commit([world.landed("a", 0, 10)], {})
    assert done.notes[0].startswith(
        "old commits could not be put together (No space left on device)"
    )
    monkeypatch.undo()
    assert world.committer(fold_at=1).commit([world.landed("a", 10, 20)], {}).notes == ()
    assert journal.base_of(world.lake.commits()) == 2
    assert world.wrongs(("a", 0, 20)) == []


def test_a_committer_that_slept_through_a_fold_knows_what_is_done(world: World) -> None:
    sleeper = world.committer()
    sleeper.commit([world.landed("a", 0, 10)], {})
    other = world.committer(fold_at=2)
    for k in range(1, 5):
        other.commit([world.landed("a", 10 * k, 10 * k + 10)], {})
    assert sleeper.commit([world.landed("a", 0, 50)], {}) is None
    sleeper.commit([world.landed("a", 40, 60)], {})
    assert world.wrongs(("a", 0, 60)) == []


def test_a_follower_more_than_seven_days_behind_must_be_rebuilt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.committer(fold_at=2)
    done = [one.commit([world.landed("a", 10 * k, 10 * k + 10)], {}) for k in range(2)]
    monkeypatch.setattr(fold, "now", lambda: now() + timedelta(days=8))
    done += [one.commit([world.landed("a", 10 * k, 10 * k + 10)], {}) for k in range(2, 4)]
    for place in (Place(), _place(done[0]), _place(done[1])):
        with pytest.raises(FollowerTooFarError, match=r"7 days behind.*load --rebuild"):
            list(commits_after(world.lake, place))
    assert [d.seq for d in commits_after(world.lake, _place(done[2]))] == [4]
    assert world.wrongs(("a", 0, 40)) == []


def test_a_follower_of_another_lake_must_be_rebuilt(world: World, tmp_path: Path) -> None:
    done = [world.commit(("a", 10 * k, 10 * k + 10)) for k in range(3)]
    another = World(tmp_path / "another")
    places = [Place(5, "x"), Place(2, "x"), *map(_place, done)]
    for _ in range(2):  # begun anew: empty, then as long as the other
        for place in places:
            with pytest.raises(FollowerTooFarError, match=r"made from.*load --rebuild"):
                list(commits_after(another.lake, place))
        for k in range(3):
            another.commit(("a", 10 * k, 10 * k + 10))
    assert list(commits_after(world.lake, _place(done[-1]))) == []


def test_an_open_intent_is_not_told(world: World) -> None:
    world.commit(("a", 0, 10))
    world.die_at("before done", ("a", 10, 20))
    assert [d.seq for d in commits_after(world.lake)] == [1]


def test_a_voided_commit_is_passed_over(world: World) -> None:
    first = world.commit(("a", 0, 10))
    world.die_at("after intent", ("a", 10, 20))
    entry = tail(world.lake.commits())[-1]
    files = stored(world.lake.commits().io, entry.parts[world.plan.processed])
    Path(files.add[0].file_path.removeprefix("file://")).unlink()
    world.commit(("b", 0, 10))
    assert [d.seq for d in commits_after(world.lake)] == [1, 3]
    assert [d.seq for d in commits_after(world.lake, _place(first))] == [3]


def test_an_entry_reads_back_as_it_was_written(world: World) -> None:
    world.commit(("a", 0, 90))
    entry = tail(world.lake.commits())[-1]
    again = journal.Entry.of(entry.row())
    for field in dataclasses.fields(entry):
        one, other = getattr(entry, field.name), getattr(again, field.name)
        assert str(one) == str(other)
