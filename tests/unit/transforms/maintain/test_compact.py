"""Compaction: the same rows in fewer files, whoever else commits beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import CommitError
from tests.faults import synthetic
from tests.faults.world import World, at
from transforms.commit import intent
from transforms.commit.bounds import bounds
from transforms.commit.evolve import create_or_fit
from transforms.commit.files import read_batches, write_files
from transforms.commit.follow import commits_after
from transforms.commit.iceberg import Files
from transforms.commit.lake import read_at
from transforms.commit.maintain import compact
from transforms.commit.maintain.bins import packed
from transforms.commit.maintain.compact import Compaction, Group
from transforms.commit.maintain.look import look
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

STRETCHES = [("a", 30 * k, 30 * k + 30) for k in range(3)]
HOURLY = "analytics.hourly"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return _filled(World(tmp_path))


def _filled(world: World) -> World:
    for stretch in STRETCHES:
        world.commit(stretch)
    return world


def _laid_out(root: Path, **layout: Any) -> World:
    plan = synthetic.plan(root)
    processed = replace(plan.tables[plan.processed], **layout)
    return World(root, tables=plan.tables | {plan.processed: processed})


def _rows(world: World, name: str) -> list[str]:
    return sorted(map(str, world.lake.read(name).to_pylist()))


def _tables(world: World) -> dict[str, list[str]]:
    return {name: _rows(world, name) for name in world.lake.last_done().snapshots}


def _counts(world: World) -> dict[str, int]:
    return {n: len(world.lake.files(n)) for n in world.lake.last_done().snapshots}


def _compact(world: World, target: int = compact.TARGET, **options: Any) -> Compaction:
    one = Compaction(world.committer(**options), world.plan, target)
    one.run()
    return one


def test_all_tables_hold_the_same_rows_in_fewer_files(world: World) -> None:
    before, many = _tables(world), _counts(world)
    told = _compact(world).told
    assert _tables(world) == before
    few, processed = _counts(world), world.plan.processed
    assert (many[processed], few[processed]) == (3, 1)
    assert all(few[n] <= many[n] for n in many)
    assert (told[processed].files, told[processed].into) == (3, 1)
    assert world.wrongs(*STRETCHES) == []


def test_what_has_been_compacted_is_left_alone(world: World) -> None:
    _compact(world)
    seq = world.lake.last_done().seq
    assert _compact(world).told == {}
    assert world.lake.last_done().seq == seq


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(world: World) -> None:
    files = {p for p in world.root.rglob("*") if p.is_file()}
    one = Compaction(world.committer(), world.plan)
    one.dry_run()
    assert {p for p in world.root.rglob("*") if p.is_file()} == files
    done = _compact(world).told
    assert {n: (t.files, t.bytes, t.into) for n, t in one.told.items()} == {
        n: (t.files, t.bytes, t.into) for n, t in done.items()
    }


def test_a_commit_that_lands_while_files_are_rewritten_stays(world: World) -> None:
    compacting = world.committer(point=at("before intent", lambda: world.commit(("a", 90, 120))))
    Compaction(compacting, world.plan).run()
    assert world.wrongs(("a", 0, 120)) == []
    assert _counts(world)[world.plan.processed] == 2


def test_a_committer_that_planned_before_a_compaction_lands_after_it(world: World) -> None:
    beside = world.committer(point=at("before intent", lambda: _compact(world)))
    beside.commit([world.landed("a", 80, 120)], {})  # Its window replaces rows of a moved file.
    assert world.wrongs(("a", 0, 120)) == []


def test_two_compactions_of_the_same_files_land_once(world: World) -> None:
    slow = world.committer(point=at("before intent", lambda: _compact(world)))
    one = Compaction(slow, world.plan)
    one.run()
    assert one.told == {}
    assert world.wrongs(*STRETCHES) == []


def test_without_a_look_at_its_inputs_the_slower_one_blocks_the_lake(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "still_there", lambda lake, state, made: list(made))
    monkeypatch.setattr(intent, "_LAND_TRIES", 2)
    with pytest.raises(CommitError, match="did not take it"):
        Compaction(
            world.committer(point=at("before intent", lambda: _compact(world))), world.plan
        ).run()


@pytest.mark.parametrize("name", ["before intent", "after intent", "between tables", "before done"])
def test_a_compaction_that_dies_anywhere_is_finished_or_forgotten(world: World, name: str) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _compact(world, point=at(name, die))
    world.commit(("a", 90, 120))
    assert world.wrongs(("a", 0, 120)) == []


def test_a_compaction_whose_new_files_are_gone_is_voided(world: World) -> None:
    def lose() -> None:
        entry = world.lake.commits().scan("state = 'intent'").to_arrow().sort_by("seq")
        assert entry["op"][-1].as_py() == "compact"
        for path in world.root.rglob("processed_data*/**/data/*.parquet"):
            if path.as_uri() not in {f.file_path for f in before}:
                path.unlink()

    before = world.lake.files(world.plan.processed)
    with pytest.raises(CommitError, match="some are gone"):
        _compact(world, point=at("after intent", lose))
    assert world.wrongs(*STRETCHES) == []


def test_partitions_are_kept_and_old_ones_follow_the_present_spec(tmp_path: Path) -> None:
    world = _filled(_laid_out(tmp_path, partition_by=("bucket(2, id)",)))
    name = world.plan.processed
    _compact(world)
    files = world.lake.files(name)
    assert sorted(f.partition[0] for f in files) == [0, 1]
    changed = replace(world.plan.tables[name], partition_by=("bucket(3, id)",))
    create_or_fit(world.lake.catalog, changed)
    _compact(world)
    files, spec = world.lake.files(name), world.lake.load(name).spec().spec_id
    assert {f.spec_id for f in files} == {spec - 1}
    for k in range(90, 450, 120):
        world.commit(("a", k, k + 120))
    _compact(world)
    files = world.lake.files(name)
    assert sorted(f.partition[0] for f in files if f.spec_id == spec) == [0, 1, 2]
    assert world.wrongs(("a", 0, 450)) == []


def test_with_a_sort_order_every_file_is_sorted_once(tmp_path: Path) -> None:
    world = _filled(_laid_out(tmp_path, sort_by=("amount",), partition_by=("bucket(2, id)",)))
    name, before = world.plan.processed, _rows(world, world.plan.processed)
    _compact(world)
    files = world.lake.files(name)
    order = world.lake.load(name).sort_order().order_id
    assert [f.sort_order_id for f in files] == [order, order]
    for file in files:
        amounts = pq.read_table(file.file_path.removeprefix("file://"))["amount"].to_pylist()
        assert amounts == sorted(amounts)
    assert _rows(world, name) == before
    assert name not in _compact(world).told


def test_a_large_file_is_sorted_by_itself(tmp_path: Path) -> None:
    world = _laid_out(tmp_path, sort_by=("amount",))
    world.commit(("a", 0, 90))
    told = _compact(world, target=10).told
    assert (told[world.plan.processed].files, told[world.plan.processed].into) == (1, 1)
    assert world.wrongs(("a", 0, 90)) == []


def test_bounds_and_positions_of_the_new_file_span_those_of_the_old(world: World) -> None:
    name, schema = world.plan.processed, world.lake.load(world.plan.processed).schema()
    old = world.lake.files(name)
    _compact(world)
    (new,) = world.lake.files(name)
    for column in ("at", "_source", "_position"):
        each = [bounds(f, schema, column) for f in old]
        assert bounds(new, schema, column) == (min(e[0] for e in each), max(e[1] for e in each))
    assert new.record_count == sum(f.record_count for f in old)


def test_a_column_that_came_later_is_null_in_rows_that_are_older(world: World) -> None:
    name = world.plan.processed
    table = world.plan.tables[name]
    wider = replace(table, schema=table.schema.append(pa.field("added", pa.string())))
    create_or_fit(world.lake.catalog, wider)
    _compact(world)
    rows = world.lake.read(name)
    assert rows["added"].null_count == rows.num_rows > 0
    assert world.wrongs(*STRETCHES) == []


def test_the_state_before_a_compaction_can_still_be_read(world: World) -> None:
    before, name = world.lake.last_done(), world.plan.processed
    rows = _rows(world, name)
    _compact(world)
    old = read_at(world.lake.load(name), before.snapshots[name])
    assert sorted(map(str, old.to_pylist())) == rows


def test_windows_are_computed_anew_from_compacted_files(world: World) -> None:
    _compact(world)
    world.commit(recompute=["hourly"])
    assert world.wrongs(*STRETCHES) == []
    world.commit(("b", 0, 100))
    assert world.wrongs(*STRETCHES, ("b", 0, 100)) == []


def test_a_rebuild_that_began_before_a_compaction_replaces_all_of_it(world: World) -> None:
    asked = world.asked()
    _compact(world)
    world.commit(("a", 0, 50), rebuild=True, asked=asked)
    assert world.wrongs(("a", 0, 50)) == []


def test_a_compaction_has_no_positions_and_no_windows(world: World) -> None:
    done = look(world.lake).done
    _compact(world)
    last = list(commits_after(world.lake))[-1]
    assert (last.op, last.windows, last.entries[0].done) == ("compact", {}, {})
    assert look(world.lake).done == done


def test_all_rows_of_one_position_lie_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, rows = World(tmp_path), _positions(9_000, per_position=7)
    name = world.plan.processed
    for half in (rows.slice(0, 3_500), rows.slice(3_500)):
        files = write_files(world.lake.table_info(name), half)
        world.land("append", {name: Files(files, [])})
    table, group = world.lake.load(name), Group(name, tuple(world.lake.files(name)))
    monkeypatch.setattr(compact, "FileWriter", partial(FileWriter, group_rows=1_000))
    assert len(compact.rewritten(table, group)) == 1
    monkeypatch.setattr(compact, "_WHOLE", 64)  # As a writer does that has a target.
    monkeypatch.setattr(compact, "read_batches", _in_batches_of(1_000))
    files = compact.rewritten(table, group)
    ends = [bounds(f, table.schema(), "_position") for f in files]
    assert any(one[1] == other[0] for one, other in pairwise(sorted(ends)))


def _in_batches_of(rows: int) -> Any:
    def batches(info: TableInfo, path: str) -> Any:
        return [b for t in read_batches(info, path) for b in pa.table(t).to_batches(rows)]

    return batches


def _positions(count: int, per_position: int) -> pa.Table:
    at_us = [synthetic.BEGIN_US] * count
    columns = {
        "id": range(count),
        "at": at_us,
        "amount": range(count),
        "_source": ["a"] * count,
        "_position": [i // per_position for i in range(count)],
        "_sequence": [i % per_position for i in range(count)],
        "_arrived": at_us,
        "_watermark": [None] * count,
    }
    schema = pa.schema([*synthetic.COLUMNS, *synthetic.POSITIONS])
    return pa.table({n: pa.array(list(v), schema.field(n).type) for n, v in columns.items()})


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([5], []),
        ([5, 5], [[0, 1]]),
        ([90, 1, 1, 1], [[1, 2, 3]]),
        ([50, 30, 30, 1], [[0, 1, 3]][:0]),
        ([75, 99, 1000], []),
        ([40, 40, 40, 40], [[0, 1], [2, 3]]),
    ],
)
def test_neighbours_are_put_together_up_to_the_target(
    sizes: list[int], groups: list[list[int]]
) -> None:
    assert packed(sizes, 100) == groups


def test_a_table_that_is_tended_again_and_again_is_not_written_anew_each_time() -> None:
    files, written = [], Counter[str]()
    for _ in range(1_000):
        files.append(1)
        groups = packed(files, 1 << 20)
        taken = {i for group in groups for i in group}
        made = [sum(files[i] for i in group) for group in groups]
        written["bytes"] += sum(made)
        files = [f for i, f in enumerate(files) if i not in taken] + made
    assert sum(files) == 1_000
    assert len(files) <= 12
    assert written["bytes"] / 1_000 <= 12
