"""Compaction: the same rows in fewer files, whoever else commits beside it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.faults.world import World
from transforms.commit.maintain.compact import Compaction

STRETCHES = [("a", 30 * k, 30 * k + 30) for k in range(6)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    one = World(tmp_path)
    for stretch in STRETCHES:
        one.commit(stretch)
    return one


def _tables(world: World) -> dict[str, pa.Table]:
    names = sorted(world.lake.last_done().snapshots)
    read = {name: world.lake.read(name) for name in names}
    return {n: t.sort_by([(c, "ascending") for c in _plain(t)]) for n, t in read.items()}


def _plain(table: pa.Table) -> list[str]:
    return [f.name for f in table.schema if not pa.types.is_nested(f.type)]


def _counts(world: World) -> dict[str, int]:
    return {n: len(world.lake.files(n)) for n in world.lake.last_done().snapshots}


def _compact(world: World, **options: object) -> Compaction:
    one = Compaction(world.committer(), world.plan, **options)
    one.run()
    return one


def test_all_tables_hold_the_same_rows_in_fewer_files(world: World) -> None:
    before, many = _tables(world), _counts(world)
    told = _compact(world).told
    assert _tables(world) == before
    few = _counts(world)
    processed = world.plan.processed
    assert (many[processed], few[processed]) == (6, 1)
    assert all(few[n] <= many[n] for n in many)
    assert (told[processed].files, told[processed].into) == (6, 1)
    assert world.wrongs(*STRETCHES) == []
