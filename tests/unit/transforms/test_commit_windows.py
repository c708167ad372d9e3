"""Windows recomputed from the lake: paths read out of JSON text again, all kinds of windows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from schemas.names import TIMESTAMP
from schemas.plan import Aggregate, Measure, Table, Window
from tests.faults import synthetic
from tests.faults.world import World
from transforms.commit.landed import Landed
from transforms.sinks.lake import FileWriter

MINUTE_US = 60_000_000


def _aggregate(window: Window) -> Aggregate:
    total = Measure(
        name="total",
        function="sum",
        argument='"properties.amount"',
        argument_type=pa.int64(),
        type=pa.int64(),
    )
    return Aggregate(
        name="spent",
        window=window,
        group_by=("properties.kind",),
        measures=(total,),
        input=pa.schema([("properties.kind", pa.string()), ("properties.amount", pa.int64())]),
        event_time="at",
        hash_key=1,
    )


def _world(root: Path, window: Window) -> World:
    aggregate = _aggregate(window)
    processed = pa.schema([("at", TIMESTAMP), ("properties", pa.string()), *synthetic.POSITIONS])
    spent = pa.schema(
        [
            ("window_start", TIMESTAMP),
            ("window_end", TIMESTAMP),
            *((name, pa.string()) for name in aggregate.group_names),
            ("total", pa.int64()),
            ("_epoch", pa.int64()),
            ("_rows", pa.int64()),
            ("_final", pa.bool_()),
        ]
    )
    tables = (
        Table(name="processed_data.synthetic", schema=processed),
        Table(name="analytics.spent", schema=spent, partition_by=("day(window_start)",)),
    )
    return World(root, aggregates=(aggregate,), tables={t.name: t for t in tables})


def _land(world: World, start: int, rows: list[tuple[int, str]], **options: object) -> object:
    writer = FileWriter(world.lake.table_info(world.plan.processed))
    n = len(rows)
    writer.write(
        pa.table(
            {
                "at": pa.array([m * MINUTE_US for m, _ in rows], pa.int64()).cast(TIMESTAMP),
                "properties": [text for _, text in rows],
                "_source": ["a"] * n,
                "_position": range(start, start + n),
                "_sequence": pa.array([0] * n, pa.int32()),
                "_arrived": pa.array([0] * n, pa.int64()).cast(TIMESTAMP),
            }
        )
    )
    files = {world.plan.processed: tuple(writer.close())}
    landed = Landed(files=files, done={"a": [(start, start + n)]})
    return world.committer().commit([landed], {}, **options)


def _spent(world: World) -> dict[tuple[int, str], tuple[int, int]]:
    (kind,) = world.plan.aggregates[0].group_names
    return {
        (round(r["window_start"].timestamp()) // 60, r[kind]): (r["total"], r["_epoch"])
        for r in world.lake.read("analytics.spent").to_pylist()
    }


def test_paths_are_read_out_of_the_text_again(tmp_path: Path) -> None:
    world = _world(tmp_path, Window(type="fixed", size_us=10 * MINUTE_US))
    _land(world, 0, [(1, '{"kind":"x","amount":1}'), (12, '{"kind":"y","amount":5,"z":0}')])
    assert _spent(world) == {(0, "x"): (1, 1), (10, "y"): (5, 1)}
    _land(world, 2, [(2, '{"amount":10,"kind":"x"}'), (3, '{"kind":"w"}')])
    assert _spent(world) == {(0, "x"): (11, 2), (0, "w"): (None, 2), (10, "y"): (5, 1)}


def test_a_sliding_window_is_touched_by_each_row_it_holds(tmp_path: Path) -> None:
    window = Window(type="sliding", size_us=10 * MINUTE_US, period_us=5 * MINUTE_US)
    world = _world(tmp_path, window)
    _land(world, 0, [(12, '{"kind":"x","amount":1}')])
    _land(world, 1, [(16, '{"kind":"x","amount":2}')])
    assert _spent(world) == {(5, "x"): (1, 1), (10, "x"): (3, 2), (15, "x"): (2, 2)}


def test_the_global_window_is_computed_from_everything(tmp_path: Path) -> None:
    world = _world(tmp_path, Window(type="global"))
    _land(world, 0, [(1, '{"kind":"x","amount":1}')])
    _land(world, 1, [(1_000_000, '{"kind":"x","amount":2}')])
    assert _spent(world) == {(0, "x"): (3, 2)}
