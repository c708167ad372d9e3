"""Expiry and sweeping: what nobody needs goes; what a reader, commit or follower needs stays."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.maintenance import Maintained, maintain
from schemas.errors import CommitError
from tests.faults import synthetic
from tests.faults.world import World
from transforms.commit import fold
from transforms.commit.follow import FollowerTooFarError
from transforms.commit.journal import now, tail
from transforms.commit.lake import read_at
from transforms.commit.maintain import expire, sweep
from transforms.commit.maintain.expire import outdated
from transforms.commit.maintain.named import Named
from transforms.commit.maintain.sweep import DAY_S, listed
from transforms.sinks.warehouse import Warehouse

STRETCHES = [("a", 30 * k, 30 * k + 30) for k in range(3)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    contract = replace(synthetic.plan(tmp_path).contract, primary_key=("id",))
    one = World(tmp_path / "lake", contract=contract)
    for stretch in STRETCHES:
        one.commit(stretch)
    return one


def _maintain(world: World, *tasks: str, **options: Any) -> Maintained:
    plan = replace(world.plan, out=world.root.parent)
    return maintain(plan, tasks or ("compact", "expire", "orphans"), **options)


def _age(world: World, days: float) -> None:
    """Let every file be older."""
    for path in _files(world):
        then = path.stat().st_mtime - days * DAY_S
        os.utime(path, (then, then))


def _files(world: World) -> set[Path]:
    return {p for p in world.root.rglob("*") if p.is_file() and "catalog.db" not in p.name}


def _later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Let the clock of expiry be ahead."""
    real = time.time
    monkeypatch.setattr(fold, "now", lambda: now() + timedelta(days=days))
    monkeypatch.setattr(expire.time, "time", lambda: real() + days * DAY_S)


def test_a_file_that_nothing_names_goes_when_it_is_old(world: World) -> None:
    world.landed("a", 0, 30)  # A worker that was killed, whose work another one did.
    before = _files(world)
    assert _maintain(world, "orphans").orphans.files == 0
    _age(world, 1.1)
    told = _maintain(world, "orphans").orphans
    gone = before - _files(world)
    assert told.files == len(gone)
    assert told.tables[world.plan.processed] >= 1
    assert world.wrongs(*STRETCHES) == []


def test_files_that_wait_in_a_savepoint_stay_and_land_weeks_later(world: World) -> None:
    shipment = pickle.dumps(world.landed("a", 90, 120))
    _age(world, 25)
    told = _maintain(world).orphans
    assert (told.waiting, told.waiting_bytes > 0) == (2, True)
    world.committer().commit([pickle.loads(shipment)], {}, asked=world.asked())
    assert world.wrongs(("a", 0, 120)) == []


def test_files_that_waited_too_long_are_told_and_nothing_half_lands(world: World) -> None:
    shipment = world.landed("a", 90, 120)
    _age(world, 31)
    assert _maintain(world).orphans.waiting == 0
    with pytest.raises(CommitError, match=r"some are gone.*without its checkpoint"):
        world.committer().commit([shipment], {}, asked=world.asked())
    assert world.wrongs(*STRETCHES) == []
    world.commit(("a", 90, 120))
    assert world.wrongs(("a", 0, 120)) == []


def test_without_waiting_for_rows_that_have_not_landed_that_shipment_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = world.landed("a", 90, 120)
    _age(world, 25)
    monkeypatch.setattr(sweep, "all_landed", lambda *_: True)
    _maintain(world)
    with pytest.raises(CommitError, match="some are gone"):
        world.committer().commit([shipment], {}, asked=world.asked())


def test_the_files_of_an_open_intent_stay(world: World) -> None:
    world.die_at("between tables", ("a", 90, 120))
    _age(world, 40)
    _maintain(world, "orphans")
    assert tail(world.lake.commits())[-1].state == "intent"
    world.commit(("b", 0, 20))
    assert world.wrongs(("a", 0, 120), ("b", 0, 20)) == []


def test_without_its_names_an_open_intent_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.die_at("between tables", ("a", 90, 120))
    _age(world, 40)
    monkeypatch.setattr(Named, "_of_history", lambda *_: ())
    _maintain(world, "orphans")
    with pytest.raises((CommitError, FileNotFoundError)):
        world.commit(("b", 0, 20))


def test_a_commit_declared_while_maintenance_deletes_keeps_its_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = world.landed("a", 90, 120)
    _age(world, 31)
    deleting = sweep.Sweep._delete
    world.runs = 50

    def meanwhile(*args: Any) -> None:
        if world.runs == 50:
            world.committer().commit([shipment], {}, asked=world.asked())
        deleting(*args)

    monkeypatch.setattr(sweep.Sweep, "_delete", meanwhile)
    _maintain(world, "orphans")
    assert world.wrongs(("a", 0, 120)) == []


def test_a_file_that_a_killed_writer_left_unfinished_goes(world: World) -> None:
    folder = world.root / "processed_data" / "synthetic" / "data"
    assert folder.is_dir()
    (folder / "half.parquet").write_bytes(b"PAR1 and then the power went")
    _age(world, 2)
    _maintain(world, "orphans")
    assert not (folder / "half.parquet").exists()


def test_a_reader_of_the_last_done_commit_goes_on_beside_maintenance(world: World) -> None:
    done, name = world.lake.last_done(), world.plan.processed
    table = world.lake.load(name)
    before = sorted(map(str, read_at(table, done.snapshots[name]).to_pylist()))
    _age(world, 2)
    _maintain(world)
    world.commit(("b", 0, 30))
    _age(world, 8)
    _maintain(world)
    assert sorted(map(str, read_at(table, done.snapshots[name]).to_pylist())) == before


def test_what_a_compaction_replaced_goes_after_seven_days(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {f.file_path for f in world.lake.files(world.plan.processed)}
    _maintain(world, "compact")
    table = world.lake.load(world.plan.processed)
    _age(world, 8)
    _maintain(world)
    assert old <= {f.path for f in listed(table)}
    world.commit(("a", 90, 110))
    _later(monkeypatch, 8)
    plan = _maintain(world, "expire", dry_run=True)
    told = _maintain(world, "expire")
    assert not old & {f.path for f in listed(table)}
    assert told.forgotten.commits > 0
    assert told.forgotten.snapshots
    assert plan.forgotten.snapshots <= told.forgotten.snapshots
    assert plan.forgotten.commits == told.forgotten.commits
    assert plan.expired.tables[world.plan.processed] >= len(old)
    assert world.wrongs(("a", 0, 110)) == []
    world.commit(("a", 60, 120))
    assert world.wrongs(("a", 0, 120)) == []


def test_a_dry_run_deletes_nothing_and_counts_what_would_be(world: World) -> None:
    world.landed("a", 0, 30)
    _age(world, 2)
    before = _files(world)
    would = _maintain(world, "expire", "orphans", dry_run=True, keep=1)
    assert _files(world) == before
    did = _maintain(world, "orphans")
    assert would.orphans.files == did.orphans.files > 0
    assert would.forgotten.snapshots


def test_maintenance_leaves_an_open_intent_of_a_dry_run_alone(world: World) -> None:
    world.die_at("between tables", ("a", 90, 120))
    _maintain(world, dry_run=True)
    assert tail(world.lake.commits())[-1].state == "intent"


def test_snapshots_beyond_those_kept_are_forgotten_but_never_the_last_done_one(
    world: World,
) -> None:
    done = world.lake.last_done().snapshots
    told = _maintain(world, "expire", keep=1).forgotten
    assert told.snapshots
    for name, snapshot in done.items():
        assert [s.snapshot_id for s in world.lake.load(name).metadata.snapshots] == [snapshot]
    assert world.wrongs(*STRETCHES) == []


def test_a_warehouse_that_is_behind_catches_up_after_maintenance(world: World) -> None:
    warehouse = Warehouse(world.plan, world.root / "warehouse.duckdb", patience_s=1)
    warehouse.load(world.lake)
    for stretch in (("a", 90, 120), ("a", 120, 150)):
        world.commit(stretch)
    _age(world, 6)
    _maintain(world, keep=1)
    world.commit(("a", 150, 180))
    _age(world, 0.9)
    _maintain(world, keep=1)
    loaded = warehouse.load(world.lake)
    assert loaded.anew == ""
    assert loaded.rows[world.plan.processed] == world.lake.row_counts()[world.plan.processed]
    anew = Warehouse(world.plan, world.root / "other.duckdb", patience_s=1)
    assert anew.load(world.lake, rebuild=True).rows == loaded.rows


def test_a_warehouse_too_far_behind_is_told_to_rebuild(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(world.plan, world.root / "warehouse.duckdb", patience_s=1)
    warehouse.load(world.lake)
    _maintain(world)
    world.commit(("a", 90, 120))
    _age(world, 9)
    _later(monkeypatch, 8)
    _maintain(world)
    with pytest.raises(FollowerTooFarError, match="load --rebuild"):
        warehouse.load(world.lake)
    assert warehouse.load(world.lake, rebuild=True).anew


def test_a_warehouse_that_is_up_to_date_with_an_idle_lake_follows_it_still(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(world.plan, world.root / "warehouse.duckdb", patience_s=1)
    _maintain(world)
    warehouse.load(world.lake)
    _age(world, 30)
    _later(monkeypatch, 30)
    for _ in range(2):
        _maintain(world)
    assert warehouse.load(world.lake).commits == 0
    world.commit(("a", 90, 120))
    loaded = warehouse.load(world.lake)
    assert (loaded.anew, loaded.commits) == ("", 1)
    assert loaded.rows[world.plan.processed] == world.lake.row_counts()[world.plan.processed]


def test_a_snapshot_that_was_replaced_a_moment_ago_stays_however_old_it_is(world: World) -> None:
    table = world.lake.load(world.plan.processed)
    first, second, third = table.metadata.snapshots
    args = (third.snapshot_id, 100)
    assert outdated(table, *args, third.timestamp_ms) == [first.snapshot_id]
    assert outdated(table, *args, third.timestamp_ms + 1) == [
        first.snapshot_id,
        second.snapshot_id,
    ]
    assert outdated(table, third.snapshot_id, 2, 0) == [first.snapshot_id]
    assert outdated(table, second.snapshot_id, 1, 0) == [first.snapshot_id]
