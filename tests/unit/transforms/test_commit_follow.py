import dataclasses
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.synthetic import BEGIN_US, HOUR_US
from tests.faults.world import World
from transforms.commit import fold, journal
from transforms.commit.follow import FollowerTooFarError, commits_after
from transforms.commit.iceberg import stored
from transforms.commit.journal import now, tail


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _rows(paths: list[str]) -> int:
    return sum(pq.read_metadata(Path(p.removeprefix("file://"))).num_rows for p in paths)


def test_a_follower_is_told_each_commit_once_in_order(world: World) -> None:
    assert list(commits_after(world.lake, 0)) == []
    first = world.commit(("a", 0, 50))
    second = world.commit(("a", 50, 90))
    told = list(commits_after(world.lake, 0))
    assert [(d.seq, d.commit_id, d.op) for d in told] == [
        (first.seq, first.commit_id, "append"),
        (second.seq, second.commit_id, "append"),
    ]
    assert _rows(told[1].added[world.plan.processed]) == second.added[world.plan.processed]
    assert [d.seq for d in commits_after(world.lake, first.seq)] == [second.seq]
    assert list(commits_after(world.lake, second.seq)) == []


def test_touched_windows_and_the_files_they_replace_are_named(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(("a", 50, 90))
    first, second = commits_after(world.lake, 0)
    starts = [t.as_py().timestamp() * 1_000_000 for t in second.windows["hourly"]]
    assert starts == [BEGIN_US + HOUR_US, BEGIN_US + 2 * HOUR_US]
    assert second.replaced == {"analytics.hourly": first.added["analytics.hourly"]}
    assert first.replaced == {}


def test_a_rebuild_names_everything_it_replaces(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(("a", 50, 90))
    world.commit(("a", 0, 30), rebuild=True)
    first, second, third = commits_after(world.lake, 0)
    name = world.plan.processed
    assert third.op == "rebuild"
    assert sorted(third.replaced[name]) == sorted([*first.added[name], *second.added[name]])


def test_history_folds_and_followers_still_read_all_of_it(world: World) -> None:
    one = world.committer(fold_at=3)
    done = [one.commit([world.landed("a", 10 * k, 10 * k + 10)], {}) for k in range(8)]
    commits = world.lake.commits()
    assert journal.base_of(commits) == 6
    assert [e.state for e in tail(commits)] == ["base", "intent", "done", "intent", "done"]
    assert [d.commit_id for d in commits_after(world.lake, 0)] == [c.commit_id for c in done]
    assert [d.seq for d in commits_after(world.lake, 4)] == [5, 6, 7, 8]
    assert world.commit(("a", 0, 80)) is None
    assert world.wrongs(("a", 0, 80)) == []


def test_a_fold_that_fails_is_told_and_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "secret")

    monkeypatch.setattr(fold, "entries_table", full)
    done = world.committer(fold_at=1).commit([world.landed("a", 0, 10)], {})
    assert done.notes[0].startswith("old commits could not be put together (OSError)")
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
    for k in range(2):
        one.commit([world.landed("a", 10 * k, 10 * k + 10)], {})
    monkeypatch.setattr(fold, "now", lambda: now() + timedelta(days=8))
    for k in range(2, 4):
        one.commit([world.landed("a", 10 * k, 10 * k + 10)], {})
    with pytest.raises(FollowerTooFarError, match="load --rebuild"):
        list(commits_after(world.lake, 0))
    assert [d.seq for d in commits_after(world.lake, 2)] == [3, 4]
    assert world.wrongs(("a", 0, 40)) == []


def test_a_follower_of_another_lake_must_be_rebuilt(world: World) -> None:
    world.commit(("a", 0, 10))
    with pytest.raises(FollowerTooFarError):
        list(commits_after(world.lake, 5))


def test_an_open_intent_is_not_told(world: World) -> None:
    world.commit(("a", 0, 10))
    world.die_at("before done", ("a", 10, 20))
    assert [d.seq for d in commits_after(world.lake, 0)] == [1]


def test_a_voided_commit_is_passed_over(world: World) -> None:
    world.commit(("a", 0, 10))
    world.die_at("after intent", ("a", 10, 20))
    entry = tail(world.lake.commits())[-1]
    files = stored(world.lake.commits().io, entry.parts[world.plan.processed])
    Path(files.add[0].file_path.removeprefix("file://")).unlink()
    world.commit(("b", 0, 10))
    assert [d.seq for d in commits_after(world.lake, 0)] == [1, 3]
    assert [d.seq for d in commits_after(world.lake, 1)] == [3]


def test_an_entry_reads_back_as_it_was_written(world: World) -> None:
    world.commit(("a", 0, 90))
    entry = tail(world.lake.commits())[-1]
    again = journal.Entry.of(entry.row())
    for field in dataclasses.fields(entry):
        one, other = getattr(entry, field.name), getattr(again, field.name)
        assert str(one) == str(other)
