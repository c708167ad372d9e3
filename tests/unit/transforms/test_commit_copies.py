"""Runs beside each other over copies of one row: of two copies the one that landed first stays."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.contract import Column
from schemas.errors import CommitError
from schemas.names import REMOVED, TIMESTAMP
from schemas.plan import Step
from tests.faults import synthetic
from tests.faults.synthetic import BEGIN_US, HOUR_US
from tests.faults.world import World, at
from transforms.commit import copies, ids
from transforms.commit.committer import Committed
from transforms.commit.landed import Landed
from transforms.commit.near import Asked
from transforms.commit.removed import fold_removed
from transforms.sinks.lake import FileWriter

Row = tuple[Any, int]
"""Id and event time in minutes."""
MINUTE_US = 60_000_000
HORIZON_US = 2 * HOUR_US


def _world(root: Path, by: tuple[str, ...] = ("id",), **changes: Any) -> World:
    dedupe = Step(
        id="unique",
        kind="deduplicate",
        parameters={"by": by, "horizon_us": HORIZON_US},
        input=pa.schema([]),
        output=pa.schema([]),
    )
    return World(root, steps=(dedupe,), **changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return _world(tmp_path)


def _landed(world: World, source: str, rows: Iterable[Row], column: str = "id") -> Landed:
    """One file of a run that keeps all of its rows."""
    info = world.lake.table_info(world.plan.processed)
    writer = FileWriter(info)
    made = [
        {column: value, "at": BEGIN_US + minute * MINUTE_US, "amount": 1}
        | {"_source": source, "_position": p, "_sequence": 0, "_arrived": BEGIN_US}
        for p, (value, minute) in enumerate(rows)
    ]
    writer.write(pa.RecordBatch.from_pylist(made, schema=pa.schema(list(info.arrow))))
    return Landed(files={info.name: tuple(writer.close())}, done={source: [(0, len(made))]})


def _panes(rows: Iterable[Row]) -> dict[str, pa.Table]:
    """What a run aggregates that knows nothing of others."""
    n = Counter(minute // 60 for _, minute in rows)
    starts = [BEGIN_US + h * HOUR_US for h in n]
    columns = {
        "window_start": pa.array(starts, pa.int64()).cast(TIMESTAMP),
        "window_end": pa.array([s + HOUR_US for s in starts], pa.int64()).cast(TIMESTAMP),
        "n": pa.array(list(n.values()), pa.int64()),
        "total": pa.array(list(n.values()), pa.int64()),
    }
    return {"hourly": pa.table(columns)}


def _run(world: World, source: str, rows: list[Row], asked: Asked) -> Committed:
    done = world.committer().commit([_landed(world, source, rows)], _panes(rows), asked=asked)
    assert done is not None
    return done


def _kept(world: World, column: str = "id") -> list[tuple[Any, str]]:
    rows = world.lake.read(world.plan.processed).to_pylist()
    return sorted(((r[column], r["_source"]) for r in rows), key=str)


def _hours(world: World) -> dict[int, int]:
    rows = world.lake.read("analytics.hourly").to_pylist()
    starts = [int(r["window_start"].timestamp()) * 1_000_000 - BEGIN_US for r in rows]
    return {s // HOUR_US: r["n"] for s, r in zip(starts, rows, strict=True)}


def _ledger(world: World) -> Counter[tuple[str, str, str | None]]:
    rows = world.lake.read(world.plan.operations("ledger")).to_pylist()
    counts: Counter[tuple[str, str, str | None]] = Counter()
    for r in rows:
        counts[r["_source"], r["destiny"], r["step"]] += r["rows"]
    return counts


ONE: list[Row] = [(1, 0), (2, 10), (3, 70), (4, 300)]
OTHER: list[Row] = [(2, 20), (5, 30), (4, 500), (6, 75), (3, 130)]
"""Copies of 2 and 3; 4 again beyond the horizon."""


def test_copies_that_two_runs_land_beside_each_other_are_kept_once(world: World) -> None:
    both = world.asked()
    first = _run(world, "a", ONE, both)
    second = _run(world, "b", OTHER, both)
    assert (first.copies, second.copies) == (0, 2)
    assert _kept(world) == [
        *((i, "a") for i in (1, 2, 3)),
        *((4, s) for s in "ab"),
        *((i, "b") for i in (5, 6)),
    ]
    assert second.counts == {("kept", "", ""): 3, ("duplicate", "unique", "duplicate"): 2}
    assert second.added[world.plan.processed] == 3
    assert _ledger(world) == {
        ("a", "kept", None): 4,
        ("b", "kept", None): 3,
        ("b", "duplicate", "unique"): 2,
    }
    # Aggregates are those of the rows that stay: hour 2 lost its only row, which made no window.
    assert _hours(world) == {0: 3, 1: 2, 5: 1, 8: 1}


def test_without_the_question_both_copies_stay(world: World) -> None:
    _run(world, "a", ONE, world.asked())
    assert _run(world, "b", OTHER, world.asked()).copies == 0
    assert Counter(i for i, _ in _kept(world)) == {1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1}


def test_a_run_that_is_overtaken_before_its_intent_asks_again(world: World) -> None:
    both = world.asked()
    overtaken = world.committer(point=at("before intent", lambda: _run(world, "a", ONE, both)))
    done = overtaken.commit([_landed(world, "b", OTHER)], _panes(OTHER), asked=both)
    assert done.copies == 2
    assert len(_kept(world)) == 7
    assert _hours(world) == {0: 3, 1: 2, 5: 1, 8: 1}


def test_a_run_whose_rows_have_all_landed_elsewhere_still_ends(world: World) -> None:
    both = world.asked()
    _run(world, "a", ONE, both)
    done = _run(world, "b", ONE, both)
    assert done.copies == 4
    assert _kept(world) == [(i, "a") for i in (1, 2, 3, 4)]
    assert _ledger(world)["b", "duplicate", "unique"] == 4
    assert world.committer().ask().done == {"a": [(0, 4)], "b": [(0, 4)]}


def test_rows_without_an_id_are_copies_of_nothing(tmp_path: Path) -> None:
    free = pa.schema([f.with_nullable(True) for f in synthetic.COLUMNS])
    plan = synthetic.plan(tmp_path)
    table = replace(plan.tables[plan.processed], schema=pa.schema([*free, *synthetic.POSITIONS]))
    world = _world(tmp_path, tables=plan.tables | {table.name: table})
    both = world.asked()
    _run(world, "a", [(None, 0), (1, 0)], both)
    assert _run(world, "b", [(None, 0), (1, 0)], both).copies == 1


def test_only_files_whose_event_times_meet_are_opened(world: World) -> None:
    both = world.asked()
    _run(world, "far", [(1, 4000)], both)
    (far,) = world.lake.files(world.plan.processed)
    _run(world, "a", ONE, both)
    hidden = Path(far.file_path.removeprefix("file://"))
    hidden.rename(hidden.with_suffix(".away"))
    assert _run(world, "b", OTHER, both).copies == 2


def test_a_committer_that_stays_opens_a_landed_file_once_and_again_only_for_copies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(world, "old", [(1, 0), (2, 0)], world.asked())
    (old,) = world.lake.files(world.plan.processed)
    opened: Counter[str] = Counter()
    rows = ids.rows_of

    def counted(info: Any, path: str, unique: Any) -> Any:
        opened[path] += 1
        return rows(info, path, unique)

    for module in (ids, copies):
        monkeypatch.setattr(module, "rows_of", counted)
    one = world.committer()
    for source, own in (("a", (3, 1)), ("b", (4, 2)), ("c", (5, 3))):
        one.commit([_landed(world, source, [own])], _panes([own]), asked=Asked())
        assert opened[old.file_path] == 1
    assert set(opened.values()) == {1}
    done = one.commit([_landed(world, "d", [(2, 3), (6, 3)])], _panes([(6, 3)]), asked=Asked())
    assert (done.copies, opened[old.file_path]) == (1, 2)
    assert [i for i, _ in _kept(world)] == [1, 2, 3, 4, 5, 6]


def test_a_snapshot_that_has_expired_is_no_excuse(world: World) -> None:
    _run(world, "old", [(9, 0), (1, 0)], world.asked())
    gone = Asked(seq=1, snapshot=12345)
    _run(world, "a", [(2, 0)], gone)
    assert _run(world, "b", [(2, 1), (3, 0)], gone).copies == 1


def test_a_run_fails_whose_own_copies_may_be_none_of_the_row_that_wins(world: World) -> None:
    """It took 150 for a copy of 60; another run lands 0, of which 60 is a copy and 150 is none."""
    began = world.asked()
    _run(world, "b", [(7, 0)], began)
    one = _landed(world, "a", [(7, 60)])
    places = {"_source": "a", "_position": 1, "_sequence": 0}
    gone = places | {"destiny": "duplicate", "step": _step(world), "rule": "duplicate"}
    removed = fold_removed(pa.RecordBatch.from_pylist([gone], schema=REMOVED))
    both = replace(one, removed=removed, done={"a": [(0, 2)]})
    with pytest.raises(CommitError, match="run again"):
        world.committer().commit([both], {}, asked=began)
    assert _kept(world) == [(7, "b")]


def _step(world: World) -> str:
    step = world.plan.deduplicate
    assert step is not None
    return step.id


def test_a_run_whose_lake_was_rebuilt_under_it_fails(world: World) -> None:
    _run(world, "a", ONE, world.asked())
    began = world.asked()
    world.committer().commit([_landed(world, "c", OTHER)], {}, rebuild=True, asked=began)
    with pytest.raises(CommitError, match="got a rebuild since"):
        _run(world, "b", ONE, began)
    world.committer().commit([_landed(world, "d", OTHER[:1])], {}, asked=world.asked())
    with pytest.raises(CommitError, match="got a rebuild since"):
        _run(world, "b", ONE, replace(began, snapshot=1))  # as if it had expired
    assert {s for _, s in _kept(world)} == {"c", "d"}


def test_ids_inside_an_open_object_are_compared(tmp_path: Path) -> None:
    key = Column(name="key", path="properties.key", type=pa.string(), logical="string")
    column = Column(
        name="properties",
        path="properties",
        type=pa.string(),
        logical="object",
        open=True,
        children=(key,),
    )
    plan = synthetic.plan(tmp_path)
    contract = replace(plan.contract, columns=(*plan.contract.columns, column))
    schema = pa.schema(
        [*synthetic.COLUMNS.remove(0), ("properties", pa.string()), *synthetic.POSITIONS]
    )
    table = replace(plan.tables[plan.processed], schema=schema)
    tables = plan.tables | {table.name: table}
    world = _world(tmp_path, ("properties.key",), contract=contract, tables=tables)
    both = world.asked()
    texts = ['{"key": "k", "more": 1}', '{"key": "m"}', '{"more": [{}], "key":"k"}']
    for source, few in (("a", texts[:2]), ("b", texts[2:])):
        landed = _landed(world, source, [(text, 0) for text in few], "properties")
        world.committer().commit([landed], {}, asked=both)
    assert _kept(world, "properties") == [(text, "a") for text in texts[:2]]
