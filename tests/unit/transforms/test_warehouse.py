"""The warehouse holds what the lake's done commits say, whenever and however it is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.faults.synthetic import HOUR_US, record
from tests.faults.synthetic import plan as synthetic_plan
from tests.faults.world import World
from transforms.commit.files import write_files
from transforms.commit.follow import DoneCommit
from transforms.commit.iceberg import Files
from transforms.sinks.warehouse import Warehouse

PROCESSED, FACT, HOURLY = "processed_data.synthetic", "analytics.fact_synthetic", "analytics.hourly"
Stretch = tuple[str, int, int]


@pytest.fixture
def world(tmp_path: Path) -> World:
    contract = replace(synthetic_plan(tmp_path).contract, primary_key=("id",))
    return World(tmp_path, contract=contract)


@pytest.fixture
def warehouse(world: World) -> Warehouse:
    return Warehouse(world.plan, world.root / "warehouse.duckdb", patience_s=0.3)


def _ask(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse.path), read_only=True) as c:
        return c.execute(query).fetchall()


def _kept(*stretches: Stretch) -> dict[tuple[str, int], dict[str, Any]]:
    places = {(s, p) for s, start, end in stretches for p in range(start, end)}
    return {(s, p): r for s, p in places if (r := record(s, p))["destiny"] == "kept"}


def _assert_holds(warehouse: Warehouse, *stretches: Stretch) -> None:
    kept = _kept(*stretches)
    rows = _ask(
        warehouse, f'SELECT _source, _position, id, epoch_us("at"), amount FROM {PROCESSED}'
    )
    assert len(rows) == len(kept)
    assert {r[:2]: r[2:] for r in rows} == {
        place: (r["id"], r["at"], r["amount"]) for place, r in kept.items()
    }
    latest: dict[int, int] = {}
    for r in kept.values():
        latest[r["id"]] = max(r["at"], latest.get(r["id"], 0))
    facts = _ask(warehouse, f'SELECT id, epoch_us("at") FROM {FACT}')
    assert sorted(facts) == sorted(latest.items())
    hours: dict[int, list[int]] = {}
    for r in kept.values():
        hours.setdefault(r["at"] // HOUR_US * HOUR_US, []).append(r["amount"])
    windows = _ask(warehouse, f"SELECT epoch_us(window_start), n, total FROM {HOURLY}")
    assert sorted(windows) == sorted((h, len(a), sum(a)) for h, a in hours.items())


def test_a_load_takes_each_commit_once(world: World, warehouse: Warehouse) -> None:
    assert warehouse.place().seq == 0
    world.commit(("a", 0, 100))
    first = warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 100))
    assert first.commits == 1
    assert first.added == first.rows
    world.commit(("a", 60, 170), ("b", 0, 90))
    # From the first commit on: the one that is there is skipped.
    second = warehouse.load(world.lake)
    assert second.commits == 1
    _assert_holds(warehouse, ("a", 0, 170), ("b", 0, 90))
    assert second.rows[PROCESSED] - second.added[PROCESSED] == first.rows[PROCESSED]
    third = warehouse.load(world.lake)
    assert third.commits == 0
    assert set(third.added.values()) == {0}


def test_several_commits_in_one_load_give_what_one_load_each_gives(
    world: World, warehouse: Warehouse
) -> None:
    world.commit(("a", 0, 70))
    world.commit(("b", 0, 120))
    world.commit(("a", 70, 140))
    assert warehouse.load(world.lake).commits == 3
    _assert_holds(warehouse, ("a", 0, 140), ("b", 0, 120))


def test_a_rebuild_of_the_lake_replaces_everything(world: World, warehouse: Warehouse) -> None:
    world.commit(("a", 0, 100))
    warehouse.load(world.lake)
    world.commit(("b", 0, 60), rebuild=True)
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("b", 0, 60))


def test_a_compaction_changes_nothing(world: World, warehouse: Warehouse) -> None:
    world.commit(("a", 0, 100))
    warehouse.load(world.lake)
    info = world.lake.table_info(PROCESSED)
    files = world.lake.files(PROCESSED)
    again = write_files(info, world.lake.read(PROCESSED))
    world.land("compact", {PROCESSED: Files(again, files)})
    loaded = warehouse.load(world.lake)
    assert loaded.commits == 1
    assert set(loaded.added.values()) == {0}
    _assert_holds(warehouse, ("a", 0, 100))


def test_a_warehouse_built_anew_holds_what_the_lake_holds(
    world: World, warehouse: Warehouse
) -> None:
    world.commit(("a", 0, 100))
    world.commit(("a", 100, 130), ("b", 5, 80))
    warehouse.load(world.lake)
    with duckdb.connect(str(warehouse.path)) as c:
        c.execute(f"DELETE FROM {PROCESSED}; UPDATE {HOURLY} SET n = 0; CREATE TABLE mine (x INT)")
    loaded = warehouse.load(world.lake, rebuild=True)
    _assert_holds(warehouse, ("a", 0, 130), ("b", 5, 80))
    assert loaded.seq == warehouse.place().seq == world.lake.last_done().seq
    assert _ask(warehouse, "SELECT count(*) FROM mine") == [(0,)]
    world.commit(("b", 80, 100))
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 130), ("b", 5, 100))


def test_an_empty_lake_is_an_empty_warehouse(world: World, warehouse: Warehouse) -> None:
    loaded = warehouse.load(world.lake, rebuild=True)
    assert loaded.seq == 0
    assert set(loaded.rows.values()) == {0}


def test_a_load_that_fails_half_way_leaves_nothing_of_it(
    world: World, warehouse: Warehouse
) -> None:
    world.commit(("a", 0, 50))
    warehouse.load(world.lake)
    world.commit(("a", 50, 90))
    world.commit(("b", 0, 40))

    taken = []

    class Interrupted(Warehouse):
        def _take(self, c: Any, commit: DoneCommit, *rest: Any) -> None:
            if taken:
                raise InterruptedError
            super()._take(c, commit, *rest)
            taken.append(commit.seq)

    with pytest.raises(InterruptedError):
        Interrupted(world.plan, warehouse.path).load(world.lake)
    assert taken == [2]
    _assert_holds(warehouse, ("a", 0, 50))
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 90), ("b", 0, 40))


def test_a_file_that_is_no_database_is_refused_with_a_message(
    world: World, warehouse: Warehouse
) -> None:
    warehouse.path.write_bytes(b"no database" * 1000)
    with pytest.raises(Exception, match="must be a DuckDB file"):
        warehouse.load(world.lake)


def test_a_table_that_held_smaller_numbers_takes_greater_ones(
    world: World, warehouse: Warehouse
) -> None:
    with duckdb.connect(str(warehouse.path)) as c:
        c.execute(
            f"CREATE SCHEMA analytics; CREATE TABLE {HOURLY} (window_start TIMESTAMPTZ NOT NULL, "
            "window_end TIMESTAMPTZ NOT NULL, n INTEGER NOT NULL, gone INTEGER NOT NULL)"
        )
    world.commit(("a", 0, 60))
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 60))
