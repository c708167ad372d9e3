from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.errors import CommitError
from schemas.names import TIMESTAMP
from tests.faults.synthetic import BEGIN_US, HOUR_US, record
from tests.faults.world import World, at
from transforms.commit.files import write_files
from transforms.commit.iceberg import Files
from transforms.commit.journal import now
from transforms.commit.landed import Landed
from transforms.commit.tables import REMOVED
from transforms.sources.identity import SOURCES, remembered


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_same_input_again_changes_nothing(world: World) -> None:
    first = world.commit(("a", 0, 100))
    assert first.added[world.plan.processed] == first.total[world.plan.processed]
    head = world.lake.commits().metadata_location
    assert world.commit(("a", 0, 100)) is None
    assert world.commit(("a", 20, 60), ("a", 0, 5)) is None
    assert world.lake.commits().metadata_location == head
    assert world.wrongs(("a", 0, 100)) == []


def test_a_stretch_that_is_partly_done_lands_its_new_rows_only(world: World) -> None:
    world.commit(("a", 0, 60), ("b", 0, 50))
    second = world.commit(("a", 40, 130), ("b", 10, 20))
    kept = sum(record("a", p)["destiny"] == "kept" for p in range(60, 130))
    assert second.added[world.plan.processed] == kept
    assert second.counts["kept", "", ""] == kept
    world.commit(("a", 0, 200))
    assert world.wrongs(("a", 0, 200), ("b", 0, 50)) == []


def test_a_position_read_twice_in_one_commit_lands_once(world: World) -> None:
    world.commit(("a", 0, 60), ("a", 30, 90), ("a", 0, 60))
    assert world.wrongs(("a", 0, 90)) == []


def test_files_and_positions_may_come_apart(world: World) -> None:
    world.commit(("a", 0, 30))
    whole = world.landed("a", 0, 100)
    apart = [
        Landed(files=whole.files),
        Landed(removed=whole.removed),
        Landed(done=whole.done),
    ]
    committed = world.committer().commit(apart, {})
    assert committed.counts["duplicate", "deduplicate-1", "id"] == sum(
        record("a", p)["destiny"] == "duplicate" for p in range(30, 100)
    )
    assert world.wrongs(("a", 0, 100)) == []


def test_positions_without_rows_are_done_and_in_the_ledger(world: World) -> None:
    committed = world.committer().commit([Landed(done={"empty": [(0, 7)]})], {})
    assert committed.counts == {}
    assert world.committer().commit([Landed(done={"empty": [(2, 7)]})], {}) is None
    ledger = world.lake.read(world.plan.operations("ledger")).to_pylist()
    assert [(r["_source"], r["ranges"], r["rows"]) for r in ledger] == [
        ("empty", [{"start": 0, "end": 7}], 0)
    ]


def _pane(hours: list[int], n: int) -> pa.Table:
    starts = [BEGIN_US + h * HOUR_US for h in hours]
    return pa.table(
        {
            "window_start": pa.array(starts, pa.int64()).cast(TIMESTAMP),
            "window_end": pa.array([s + HOUR_US for s in starts], pa.int64()).cast(TIMESTAMP),
            "n": pa.array([n] * len(starts), pa.int64()),
            "total": pa.array([n] * len(starts), pa.int64()),
        }
    )


def _counts(world: World) -> dict[int, int]:
    rows = world.lake.read("analytics.hourly").sort_by("window_start")
    hours = pc.divide(pc.subtract(rows["window_start"].cast(pa.int64()), BEGIN_US), HOUR_US)
    return dict(zip(hours.to_pylist(), rows["n"].to_pylist(), strict=True))


def _true(start: int, end: int) -> dict[int, int]:
    out = {}
    for p in range(start, end):
        if record("a", p)["destiny"] == "kept":
            out[p // 40] = out.get(p // 40, 0) + 1
    return out


def test_a_window_takes_the_run_s_pane_unless_earlier_rows_meet_it(world: World) -> None:
    first = world.committer().commit([world.landed("a", 0, 60)], {"hourly": _pane([0, 1], -1)})
    assert first.windows == {"hourly": 2}
    assert _counts(world) == {0: -1, 1: -1}
    world.committer().commit([world.landed("a", 60, 160)], {"hourly": _pane([1, 2, 3], -2)})
    # Hour 1 holds rows of both runs: only the lake knows all of them.
    assert _counts(world) == {0: -1, 1: _true(0, 160)[1], 2: -2, 3: -2}


def test_a_window_whose_rows_were_trimmed_is_recomputed(world: World) -> None:
    world.commit(("a", 0, 60))
    run = [world.landed("a", 0, 160)]
    world.committer().commit(run, {"hourly": _pane([0, 1, 2, 3], -1)})
    # The one file of the run meets every hour, and rows of it were dropped.
    assert _counts(world) == _true(0, 160)


def test_a_window_that_gets_no_new_row_is_left_alone(world: World) -> None:
    world.commit(("a", 0, 60))
    world.committer().commit([world.landed("a", 100, 160)], {"hourly": _pane([2, 3], -1)})
    assert _counts(world) == _true(0, 60) | {2: -1, 3: -1}


def test_a_changed_aggregate_is_computed_anew_over_everything(world: World) -> None:
    world.committer().commit([world.landed("a", 0, 160)], {"hourly": _pane([0, 1, 9], -1)})
    again = world.committer().commit([], {}, recompute=("hourly",))
    assert again.op == "refresh"
    assert again.windows == {"hourly": 5}
    assert _counts(world) == _true(0, 160)
    assert world.wrongs(("a", 0, 160)) == []


def test_a_rebuild_replaces_everything_in_one_commit(world: World) -> None:
    for k in range(3):
        world.commit(("a", 100 * k, 100 * k + 90))
    rebuilt = world.commit(("a", 50, 150), rebuild=True)
    assert rebuilt.op == "rebuild"
    assert world.wrongs(("a", 50, 150)) == []
    assert world.commit(("a", 50, 150)) is None
    world.commit(("a", 0, 90))
    assert world.wrongs(("a", 0, 150)) == []


def test_a_rebuild_fails_if_another_run_has_landed_since_it_began(world: World) -> None:
    world.commit(("a", 0, 30))
    began = world.asked()
    world.commit(("b", 0, 20))
    with pytest.raises(CommitError, match=r"whose rows would be lost; nothing was changed"):
        world.commit(("a", 0, 30), rebuild=True, asked=began)
    assert world.wrongs(("a", 0, 30), ("b", 0, 20)) == []


def test_a_rebuild_that_is_overtaken_at_its_intent_fails(world: World) -> None:
    world.commit(("a", 0, 30))
    began = world.asked()
    one = world.committer(point=at("before intent", lambda: world.commit(("b", 0, 20))))
    with pytest.raises(CommitError, match="whose rows would be lost"):
        one.commit([world.landed("a", 0, 30)], {}, rebuild=True, asked=began)
    assert world.wrongs(("a", 0, 30), ("b", 0, 20)) == []


def test_a_rebuild_over_an_empty_source_empties_the_tables(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(rebuild=True)
    assert world.wrongs() == []
    assert world.lake.row_counts()[world.plan.processed] == 0
    assert world.commit(rebuild=True) is None


def test_rows_that_were_erased_never_come_back(world: World) -> None:
    world.commit(("a", 0, 50))
    world.commit(("a", 50, 80))
    name = world.plan.operations("removed")
    rows = [
        {"_source": "a", "start": s, "end": e, "reason": "erased", "commit_id": "x", "at": now()}
        for s, e in ((10, 20), (90, 95))
    ]
    files = write_files(world.lake.table_info(name), pa.Table.from_pylist(rows, schema=REMOVED))
    world.land("erase", {name: Files(files, [])})
    assert world.committer().ask().removed == {"a": [(10, 20), (90, 95)]}
    world.commit(("a", 60, 100))
    assert world.wrongs(("a", 0, 90), ("a", 95, 100)) == []
    world.commit(("a", 0, 100), rebuild=True)
    assert world.wrongs(("a", 0, 10), ("a", 20, 90), ("a", 95, 100)) == []


def _source(name: str, size: int, modified: int = 0) -> dict[str, Any]:
    row = {"source": name, "size": size, "modified": modified, "etag": None, "hash": f"h{size}"}
    return row | {"end": size, "terminated": True}


def test_sources_are_remembered_and_the_newest_row_counts(world: World) -> None:
    one = world.committer()
    read = pa.Table.from_pylist([_source("a", 10), _source("b", 5)], schema=SOURCES)
    one.commit([world.landed("a", 0, 10)], {}, sources=read)
    assert one.ask().sources.to_pylist() == read.to_pylist()
    assert one.commit([], {}, sources=read) is None
    grown = pa.Table.from_pylist([_source("a", 30)], schema=SOURCES)
    one.commit([world.landed("a", 10, 30)], {}, sources=grown)
    names = {r["source"]: r["size"] for r in world.committer().ask().sources.to_pylist()}
    assert names == {"a": 30, "b": 5}


def test_a_rebuild_keeps_the_names_of_sources_that_it_goes_without(world: World) -> None:
    read = [_source("a", 10), _source("a@2", 20), _source("b", 5), _source("b@2", 6)]
    sources = pa.Table.from_pylist(read, schema=SOURCES)
    world.commit(("a", 0, 10), sources=sources)
    sources = pa.Table.from_pylist([_source("a@2", 20)], schema=SOURCES)
    world.commit(("a", 0, 10), sources=sources, rebuild=True)
    known = remembered(world.committer().ask().sources)
    assert {n: one.forgotten for n, one in known.items()} == {"a@2": False, "b": True, "b@2": True}


def test_the_plan_that_landed_rows_is_deployed_and_old_logic_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.lake.deployed_plan() is None
    world.commit(("a", 0, 10))
    assert world.commit(("a", 0, 10)) is None
    changed = World(tmp_path, hash="q", parts={"contract": "c", "steps": "t"})
    changed.runs = 10
    changed.commit(("a", 10, 20))
    deployed = world.lake.deployed_plan()
    assert (deployed.hash, deployed.parts["steps"], deployed.plan) == ("q", "t", "{}")
    assert deployed.held["steps"] == {"s", "t"}
    assert deployed.held["contract"] == {"c"}
    changed.commit(("a", 0, 20), rebuild=True)
    assert world.lake.deployed_plan().held["steps"] == {"t"}
    assert world.lake.deployed_plan(mode="stream") is None
    runs = world.lake.read(world.plan.operations("runs")).sort_by("seq")
    assert runs["run_id"].to_pylist() == ["run-1", "run-11", "run-12"]
