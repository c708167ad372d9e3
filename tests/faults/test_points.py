"""Every named point, without processes: a committer dies there, or others work while it sleeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.manifest import DataFile

from schemas.errors import CommitError
from tests.faults import job, oracle
from tests.faults.world import World, at
from transforms.commit import committer, intent
from transforms.commit.iceberg import stored
from transforms.commit.journal import tail
from transforms.commit.maintain.compact import Compaction

POINTS = [
    ("asked", 1),
    ("before intent", 1),
    ("after intent", 1),
    ("before send", 1),
    ("between tables", 1),
    ("before send", 3),
    ("between tables", 4),
    ("before done", 1),
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    one = World(tmp_path)
    one.commit(("a", 0, 50))
    return one


@pytest.mark.parametrize(("name", "nth"), POINTS)
def test_a_commit_that_dies_anywhere_is_whole_or_not_there(
    world: World, name: str, nth: int
) -> None:
    world.die_at(name, ("a", 50, 90), nth)
    visible = oracle.catalog(world.root)
    assert oracle.wrongs(visible, oracle.newest(visible), {("a", p) for p in range(50)}) == []
    world.commit(("a", 30, 90))
    assert world.wrongs(("a", 0, 90)) == []


@pytest.mark.parametrize(("name", "nth"), POINTS[1::2])
def test_a_committer_that_sleeps_anywhere_does_no_harm_when_it_wakes(
    world: World, name: str, nth: int
) -> None:
    def others() -> None:
        world.commit(("a", 60, 100))
        world.commit(("a", 90, 140))

    sleeper = world.committer(point=at(name, others, nth))
    sleeper.commit([world.landed("a", 50, 90)], {})
    assert world.wrongs(("a", 0, 140)) == []


def _sleep_past_expiry(world: World) -> None:
    def others() -> None:
        for k in range(5):
            one = world.committer(keep=3, fold_at=2)
            one.commit([world.landed("a", 100 + 10 * k, 110 + 10 * k)], {})

    sleeper = world.committer(point=at("after intent", others))
    sleeper.commit([world.landed("a", 50, 90)], {})


def _wrongs_after_sleep(world: World) -> list[str]:
    return world.wrongs(("a", 0, 90), ("a", 100, 150))


def test_a_sleeper_wakes_after_its_id_has_expired(world: World) -> None:
    _sleep_past_expiry(world)
    assert _wrongs_after_sleep(world) == []


def test_without_the_second_look_that_sleeper_lands_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent, "_land", job._land_blindly)
    monkeypatch.setattr(intent, "_LAND_TRIES", 2)
    with pytest.raises(CommitError):  # It cannot take out again what it took out before.
        _sleep_past_expiry(world)
    assert any("doubled" in wrong for wrong in _wrongs_after_sleep(world))


class _Answers:
    """Makes the catalog answer falsely, at the nth request."""

    def __init__(
        self, world: World, monkeypatch: pytest.MonkeyPatch, *, lands: bool, nth: int
    ) -> None:
        self.left, self.lands = nth, lands
        self.send = world.lake.catalog.commit_table
        monkeypatch.setattr(world.lake.catalog, "commit_table", self)

    def __call__(self, *request: Any) -> Any:
        self.left -= 1
        if self.left:
            return self.send(*request)
        if self.lands:
            self.send(*request)
        raise OSError


@pytest.mark.parametrize(
    ("nth", "lands"), [(1, True), (1, False), (2, True), (2, False), (4, True), (6, True)]
)
def test_a_catalog_that_answers_falsely_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, nth: int, lands: bool
) -> None:
    _Answers(world, monkeypatch, lands=lands, nth=nth)
    committed = world.commit(("a", 50, 90))
    assert committed is not None
    monkeypatch.undo()
    assert world.wrongs(("a", 0, 90)) == []


def test_a_commit_thought_lost_that_lands_late_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = []
    send = world.lake.catalog.commit_table

    def first_is_late(*request: Any) -> Any:
        if not late:
            late.append(request)
            raise OSError
        return send(*request)

    def arrives() -> None:
        if len(late) == 1:
            late.append(send(*late[0]))

    monkeypatch.setattr(world.lake.catalog, "commit_table", first_is_late)
    # The request arrives after the committer looked for it, and before it asks again.
    monkeypatch.setattr("transforms.commit.committer.declare", _then(intent.declare, arrives))
    committed = world.commit(("a", 50, 90))
    assert committed.added[world.plan.processed] > 0
    assert world.wrongs(("a", 0, 90)) == []


def _then(function: Callable[..., Any], after: Callable[[], Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        answer = function(*args)
        after()
        return answer

    return both


def _files(world: World) -> dict[str, list[DataFile]]:
    entry = tail(world.lake.commits())[-1]
    assert entry.state == "intent"
    return {n: stored(world.lake.commits().io, m).add for n, m in entry.parts.items()}


def test_an_intent_whose_files_are_gone_is_voided_and_its_positions_stay_open(world: World) -> None:
    world.die_at("after intent", ("a", 50, 90))
    Path(_files(world)[world.plan.processed][0].file_path.removeprefix("file://")).unlink()
    world.commit(("b", 0, 30))
    assert world.wrongs(("a", 0, 50), ("b", 0, 30)) == []
    world.commit(("a", 50, 90))
    assert world.wrongs(("a", 0, 90), ("b", 0, 30)) == []


def test_the_owner_of_a_voided_intent_says_so(world: World) -> None:
    def lose() -> None:
        Path(_files(world)[world.plan.processed][0].file_path.removeprefix("file://")).unlink()
        world.commit(("b", 0, 30))

    with pytest.raises(CommitError, match="some are gone"):
        world.committer(point=at("after intent", lose)).commit([world.landed("a", 50, 90)], {})
    assert world.wrongs(("a", 0, 50), ("b", 0, 30)) == []


def test_a_half_landed_intent_whose_files_are_gone_stops_everything_loudly(world: World) -> None:
    world.die_at("between tables", ("a", 50, 90))
    ledger = world.plan.operations("ledger")
    Path(_files(world)[ledger][0].file_path.removeprefix("file://")).unlink()
    with pytest.raises(CommitError, match="restore the files"):
        world.commit(("b", 0, 30))
    visible = oracle.catalog(world.root)
    assert oracle.wrongs(visible, oracle.newest(visible), {("a", p) for p in range(50)}) == []


def _sleep_compacting(world: World) -> None:
    """A compaction sleeps with its plan in hand, while others commit and compact."""

    def others() -> None:
        world.commit(("a", 80, 100))
        Compaction(world.committer(), world.plan).run()

    for first in (50, 60, 70):
        world.commit(("a", first, first + 10))
    Compaction(world.committer(point=at("before intent", others)), world.plan).run()


def test_a_compaction_that_sleeps_past_others_plans_anew(world: World) -> None:
    _sleep_compacting(world)
    world.commit(("a", 100, 140))
    assert world.wrongs(("a", 0, 140)) == []


def test_without_the_fence_it_does_harm_to_no_row_but_fails_on_files_that_are_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction takes files out, and a table takes none out twice: the fence saves its work."""
    monkeypatch.setattr(committer, "declare", job._declare_again)
    monkeypatch.setattr(intent, "_LAND_TRIES", 2)
    with pytest.raises(CommitError, match="did not take it"):
        _sleep_compacting(world)
    monkeypatch.undo()
    world.commit(("a", 100, 140))
    assert world.wrongs(("a", 0, 140)) == []
