"""The warehouse holds what the lake's done commits say, whenever and however it is loaded."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.faults.disk import fill, small_disk
from tests.faults.synthetic import HOUR_US, record
from tests.faults.synthetic import plan as synthetic_plan
from tests.faults.world import World
from transforms.commit.files import write_files
from transforms.commit.follow import DoneCommit, FollowerTooFarError
from transforms.commit.iceberg import Files
from transforms.commit.journal import after, now
from transforms.commit.tables import COMMITS, SOURCES
from transforms.sinks.duckdb_file import WarehouseError, transaction
from transforms.sinks.warehouse import Warehouse

REFUSED, LEDGER = "operations.synthetic_refused", "operations.synthetic_ledger"
OPERATIONS = ("refused", "ledger", "runs", "sources", "removed")
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
    assert loaded.seq == warehouse.load(world.lake).seq == world.lake.last_done().seq
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


def _rows(table: pa.Table) -> list[str]:
    return sorted(map(str, table.select(sorted(table.column_names)).to_pylist()))


def _assert_operations(world: World, warehouse: Warehouse) -> None:
    with duckdb.connect(str(warehouse.path), read_only=True) as c:
        c.execute("SET TimeZone = 'UTC'")
        for name in OPERATIONS:
            full = world.plan.operations(name)
            lake = world.lake.read(full)
            held = c.sql(f"FROM {full}").to_arrow_table().cast(lake.schema)
            assert _rows(held) == _rows(lake), name
        commits = c.sql("FROM operations.synthetic_commits").to_arrow_table()
    done = [e.row() for e in after(world.lake.commits(), 0) if e.state == "done"]
    schema = pa.schema([COMMITS.field(n) for n in commits.column_names])
    assert _rows(commits.cast(schema)) == _rows(pa.Table.from_pylist(done, schema=schema))


def _source(size: int) -> pa.Table:
    row = {"source": "a", "size": size, "modified": now(), "hash": "", "end": size}
    return pa.Table.from_pylist([row | {"terminated": True}], schema=SOURCES)


def test_the_operations_tables_are_those_of_the_lake(world: World, warehouse: Warehouse) -> None:
    world.commit(("a", 0, 60), sources=_source(60))
    world.commit(("a", 60, 140), sources=_source(140))
    world.commit(("b", 0, 80))
    first = warehouse.load(world.lake)
    assert first.rows[REFUSED] > 1
    _assert_operations(world, warehouse)
    world.commit(("b", 80, 120))
    loaded = warehouse.load(world.lake)
    assert loaded.added[REFUSED] == loaded.rows[REFUSED] - first.rows[REFUSED]
    _assert_operations(world, warehouse)
    world.commit(("a", 0, 100), sources=_source(100), rebuild=True)
    warehouse.load(world.lake)
    _assert_operations(world, warehouse)
    warehouse.load(world.lake, rebuild=True)
    _assert_operations(world, warehouse)
    world.commit(("a", 100, 130))
    warehouse.load(world.lake)
    _assert_operations(world, warehouse)
    _assert_holds(warehouse, ("a", 0, 130))


def test_a_lake_begun_anew_or_restored_is_noticed_and_said(
    world: World, warehouse: Warehouse, tmp_path: Path
) -> None:
    world.commit(("a", 0, 40))
    shutil.copy(world.root / "catalog.db", tmp_path / "older.db")
    world.commit(("a", 40, 90))
    warehouse.load(world.lake)
    begun = World(tmp_path / "begun", contract=world.plan.contract)
    for _ in range(3):  # it has fewer commits, as many, more
        with pytest.raises(FollowerTooFarError, match="load --rebuild"):
            warehouse.load(begun.lake)
        begun.commit(("b", 10 * begun.runs, 10 * begun.runs + 10))
    _assert_holds(warehouse, ("a", 0, 90))
    assert warehouse.load(begun.lake, rebuild=True).seq == 3
    _assert_holds(warehouse, ("b", 0, 30))
    shutil.copy(tmp_path / "older.db", world.root / "catalog.db")
    restored = Warehouse(world.plan, tmp_path / "restored.duckdb")
    restored.load(world.lake)
    shutil.copy(restored.path, warehouse.path)
    world.commit(("b", 0, 20))
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 40), ("b", 0, 20))
    shutil.copy(tmp_path / "older.db", world.root / "catalog.db")
    with pytest.raises(FollowerTooFarError, match="restored from an older copy"):
        warehouse.load(world.lake)


def test_a_new_warehouse_of_a_lake_with_a_long_history_takes_it_at_once(
    world: World, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.sinks.warehouse._REPLAYED", 2)
    for k in range(3):
        world.commit(("a", 20 * k, 20 * k + 20))
    loaded = warehouse.load(world.lake)
    assert (loaded.seq, loaded.commits, loaded.note) == (3, 3, "")
    _assert_holds(warehouse, ("a", 0, 60))
    _assert_operations(world, warehouse)
    world.commit(("a", 60, 80))
    assert warehouse.load(world.lake).commits == 1
    _assert_holds(warehouse, ("a", 0, 80))


def test_a_table_that_is_gone_comes_back_with_its_rows(world: World, warehouse: Warehouse) -> None:
    world.commit(("a", 0, 50))
    warehouse.load(world.lake)
    for table in (PROCESSED, HOURLY):
        with duckdb.connect(str(warehouse.path)) as c:
            c.execute(f"DROP TABLE {table}")
        world.commit(("a", 0, 50 + 10 * world.runs))
        assert f"{table} was gone" in warehouse.load(world.lake).note
        _assert_holds(warehouse, ("a", 0, 40 + 10 * world.runs))
    warehouse.path.unlink()
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 40 + 10 * world.runs))


def test_another_key_makes_fact_anew(world: World, warehouse: Warehouse) -> None:
    world.commit(("a", 0, 50))
    no_key = replace(world.plan, contract=replace(world.plan.contract, primary_key=()))
    other = Warehouse(no_key, warehouse.path)
    assert other.load(world.lake).rows[FACT] == len(_kept(("a", 0, 50)))
    world.commit(("a", 50, 60))
    assert "was one row per kept position" in warehouse.load(world.lake).note
    _assert_holds(warehouse, ("a", 0, 60))


def test_what_duckdb_refuses_is_said_without_a_value_and_changes_nothing(
    world: World, warehouse: Warehouse
) -> None:
    world.commit(("a", 0, 20))
    warehouse.load(world.lake)
    with duckdb.connect(str(warehouse.path)) as c:
        c.execute(f"CREATE UNIQUE INDEX mine ON {LEDGER} (destiny, seq % 1)")
    world.commit(("a", 20, 40))
    with pytest.raises(WarehouseError) as caught:
        warehouse.load(world.lake)
    said = str(caught.value)
    assert f"ConstraintException for {LEDGER}" in said
    assert "load --rebuild" in said
    assert "kept" not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    _assert_holds(warehouse, ("a", 0, 20))
    warehouse.load(world.lake, rebuild=True)
    _assert_holds(warehouse, ("a", 0, 40))


@pytest.mark.parametrize("rows", [2_000, 2_000_000])
def test_a_full_disk_is_told_as_that(tmp_path: Path, rows: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "warehouse.duckdb"
        with transaction(path) as c:
            c.execute("CREATE TABLE t (a BIGINT)")
        fill(disk)
        with pytest.raises(WarehouseError) as caught, transaction(path) as c:
            c.execute(f"INSERT INTO t SELECT hash(range) // 3 FROM range({rows})")
        with pytest.raises(WarehouseError) as unmade, transaction(disk / "another.duckdb"):
            pass
    room = "; make room on its disk, and run `penstock load`"
    assert f"got No space left on device for the warehouse{room}" in str(caught.value)
    assert f"got No space left on device for {disk / 'another.duckdb'}{room}" in str(unmade.value)


_KILLED = """
import os, signal, sys
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tests.faults.synthetic import plan
from transforms.commit.lake import Lake, local_catalog
from transforms.sinks import warehouse
root = Path(sys.argv[1])
taken = []
def take(c, table, commit, footers, then=warehouse.take):
    then(c, table, commit, footers)
    taken.append(table.name)
    if len(taken) == 10:  # the second table of the second commit
        os.kill(os.getpid(), signal.SIGKILL)
warehouse.take = take
one = replace(plan(root), contract=replace(plan(root).contract, primary_key=("id",)))
lake = Lake(local_catalog(root), one.name)
warehouse.Warehouse(one, root / "warehouse.duckdb").load(lake)
"""


def test_a_load_killed_half_way_and_run_again_has_its_effect_once(
    world: World, warehouse: Warehouse
) -> None:
    world.commit(("a", 0, 50))
    warehouse.load(world.lake)
    world.commit(("a", 50, 90))
    world.commit(("b", 0, 40))
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(world.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    _assert_holds(warehouse, ("a", 0, 50))
    warehouse.load(world.lake)
    _assert_holds(warehouse, ("a", 0, 90), ("b", 0, 40))
    _assert_operations(world, warehouse)
