"""Sessions of commits, the way batches make them: replaced by key, read again where they must be."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.names import TIMESTAMP
from schemas.plan import Aggregate, Measure, Table, Window
from tests.aggregates import Row, by_key, expected
from tests.faults import synthetic
from tests.faults.world import World
from transforms.aggregate.partials import compute
from transforms.commit import refresh, session_keys, sessions
from transforms.commit.files import read_file
from transforms.commit.follow import commits_after
from transforms.commit.lake import files_at
from transforms.commit.landed import Landed
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

SPENT = "analytics.spent"
OF = Aggregate(
    name="spent",
    window=Window(type="sessions", gap_us=10),
    group_by=("g",),
    measures=(
        Measure(name="n", function="count", argument=None, argument_type=None, type=pa.int64()),
        Measure(
            name="total", function="sum", argument="i", argument_type=pa.int64(), type=pa.int64()
        ),
    ),
    input=pa.schema([("g", pa.string()), ("i", pa.int64())]),
    event_time="t",
    hash_key=1,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    rows = pa.schema([("t", TIMESTAMP), *OF.input, *synthetic.POSITIONS])
    tables = (
        Table(name="processed_data.synthetic", schema=rows),
        Table(name=SPENT, schema=OF.schema, partition_by=("month(window_start)",)),
    )
    return World(tmp_path, aggregates=(OF,), tables={t.name: t for t in tables})


def _land(world: World, start: int, rows: list[Row], *, pane: bool = False) -> Any:
    n = len(rows)
    plain = pa.table(
        {
            "t": pa.array([r["t"] for r in rows], pa.int64()).cast(TIMESTAMP),
            "g": pa.array([r["g"] for r in rows], pa.string()),
            "i": pa.array([r["i"] for r in rows], pa.int64()),
        }
    )
    whole = plain
    for name, values, kind in (
        ("_source", ["a"] * n, pa.string()),
        ("_position", range(start, start + n), pa.int64()),
        ("_sequence", [0] * n, pa.int32()),
        ("_arrived", [0] * n, pa.int64()),
    ):
        column = pa.array(values, kind)
        whole = whole.append_column(name, column.cast(TIMESTAMP) if name == "_arrived" else column)
    writer = FileWriter(world.lake.table_info(world.plan.processed))
    writer.write(whole)
    files = {world.plan.processed: tuple(writer.close())}
    landed = Landed(files=files, done={"a": [(start, start + n)]})
    panes = {"spent": compute(plain, OF, 0)} if pane else {}
    return world.committer().commit([landed], panes)


def _row(time: int, group: str | None = "a") -> Row:
    return {"t": time, "g": group, "i": time}


def _some(seed: int) -> list[Row]:
    rng = random.Random(seed)
    return [_row(rng.randrange(300), rng.choice(["a", "b", "c", None])) for _ in range(60)]


@pytest.mark.parametrize("pane", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_commits_in_any_order_leave_the_sessions_of_all_rows(
    world: World, seed: int, *, pane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "_FILE_ROWS", 4)
    monkeypatch.setattr(session_keys, "_MOST", 3)
    rows, landed = _some(seed), 0
    for end in (5, 6, 25, 40, 60):
        _land(world, landed, rows[landed:end], pane=pane)
        landed = end
        found = by_key(world.lake.read(SPENT), OF)
        assert found == expected(rows[:landed], OF)


def test_sessions_that_no_new_row_joins_stay_as_they_are(world: World) -> None:
    _land(world, 0, [_row(0), _row(50), _row(0, "b"), _row(0, None)])
    _land(world, 4, [_row(5), _row(60)])
    found = {(r["g"], r["total"], r["n"], r["_epoch"]) for r in world.lake.read(SPENT).to_pylist()}
    # 60 is the gap after 50: another session, beside the one that is there.
    old = {("b", 0, 1, 1), (None, 0, 1, 1), ("a", 50, 1, 1)}
    assert found == old | {("a", 5, 2, 2), ("a", 60, 1, 2)}


def test_earlier_rows_are_read_only_of_sessions_that_new_ones_join(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        _land(world, number, [_row(100 * number)])
    read: list[str] = []
    before = sessions.read_batches

    def spy(info: TableInfo, path: str, columns: Any) -> Any:
        read.append(path)
        return before(info, path, columns)

    monkeypatch.setattr(sessions, "read_batches", spy)
    _land(world, 5, [_row(205), _row(305, "b")])
    assert len(read) == 1
    found = {(r["g"], r["n"]) for r in world.lake.read(SPENT).to_pylist()}
    assert found == {("a", 1), ("a", 2), ("b", 1)}


def test_what_followers_are_told_is_enough_to_have_the_same_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "_FILE_ROWS", 4)
    monkeypatch.setattr(session_keys, "_MOST", 3)
    rows = _some(3)
    for start in range(0, 60, 15):
        _land(world, start, rows[start : start + 15])
    table = world.lake.load(SPENT)
    info = TableInfo.of(table)
    paths = {
        f.file_path: f
        for snapshot in table.metadata.snapshots
        for f in files_at(table, snapshot.snapshot_id)
    }
    mirror: list[Row] = []
    for commit in commits_after(world.lake):
        stretches = [(s["first"], s["last"]) for s in commit.stretches["spent"].to_pylist()]
        assert 0 < len(stretches) <= 3
        added = [
            row for path in commit.added[SPENT] for row in read_file(info, paths[path]).to_pylist()
        ]

        def within(row: Row, stretches: list[Any] = stretches) -> bool:
            return any(first <= row["window_start"] <= last for first, last in stretches)

        mirror = [row for row in mirror if not within(row)]
        mirror += [row for row in added if within(row)]
    theirs = world.lake.read(SPENT).to_pylist()
    assert sorted(map(repr, mirror)) == sorted(map(repr, theirs))
