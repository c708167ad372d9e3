"""Replays of dead letters, killed -9 at any time, side by side: each row lands once."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pipelines.balance import balance
from beam_pipelines.cli import main
from beam_pipelines.dead_letters import Choice
from beam_pipelines.replay import replay
from schemas.planning import load_plan
from tests.pipelines.shop import (
    CONTRACT,
    PIPELINE,
    PROCESSED,
    REFUSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from transforms.commit import closing
from transforms.commit.closing import PLACE, Closing, Places, held
from transforms.commit.lake import open_lake

PIECES = "- {name: pieces, logicalType: integer}"
STRICT = CONTRACT.replace(PIECES, PIECES[:-1] + ", logicalTypeOptions: {maximum: 1}}")
LAKE = PIPELINE.replace("  warehouse: {}\n", "")
POINTS = ("after intent", "between tables", "before done")
PATIENCE = 120


def too_strict(root: Path, content: bytes) -> Path:
    """A folder whose rows landed under a contract that was too strict, and has been put right."""
    folder = make_folder(root, contract=STRICT, pipeline=LAKE)
    (folder / "data" / "a.jsonl").write_bytes(content)
    assert main(["run", str(folder), "--json"]) == 0
    (folder / "contract.odcs.yaml").write_text(CONTRACT)
    return folder


def wrongs(folder: Path, content: bytes) -> list[str]:
    """What is wrong at the end, by an oracle that knows the input only."""
    out, found = Out(folder / "out"), []
    try:
        assert_tables(out, expected({"a": content}), warehouse=False)
    except AssertionError as error:
        found.append(f"tables: {str(error)[:80]}")
    places = Counter((r["_source"], r["_position"]) for r in out.rows(PROCESSED))
    found += [f"{n} rows at {place}" for place, n in places.items() if n > 1]
    if (left := len(out.rows(REFUSED))) != (want := expected({"a": content})["counts"]["refused"]):
        found.append(f"{left} dead letters of {want}")
    plan = load_plan(folder)
    return found + list(balance(open_lake(plan), plan, "").faults)


def half_wrongs(folder: Path) -> list[str]:
    """What readers must never see, at any time: a row that is kept and a dead letter, or twice."""
    plan = load_plan(folder)
    lake = open_lake(plan)
    both = [lake.read(n, list(PLACE)).to_pylist() for n in (plan.processed, REFUSED)]
    places = Counter(tuple(row.values()) for rows in both for row in rows)
    return [f"{place} is there {n} times" for place, n in places.items() if n > 1]


def without_closing() -> None:
    """Switch off that rows are taken out of the dead letters with the commit that lands them."""
    real = closing.closed

    def open_still(wanted: Closing, table: Any, at: int | None) -> Any:
        return replace(real(wanted, table, at), files=closing.Files([], []))

    closing.closed = open_still


def run(folder: Path, die: str, nth: int, rule: str = "", size: int = 25) -> None:
    """Replay in a process of its own, which kills itself at a point; small rounds."""
    logging.disable(logging.CRITICAL)
    left = nth
    if rule:
        without_closing()

    def point(there: str) -> None:
        nonlocal left
        left -= there == die
        if there == die and not left:
            os.kill(os.getpid(), signal.SIGKILL)

    replay(load_plan(folder), Choice(), point=point, size=size)


def started(*args: Any) -> Any:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.faults.test_replay_kills"])
    process = forks.Process(target=run, args=args)
    process.start()
    return process


def killed(*args: Any) -> None:
    process = started(*args)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL, args


def test_a_replay_that_is_killed_goes_on_and_lands_each_row_once(tmp_path: Path) -> None:
    content = sales(0, 200, broken=4)
    folder = too_strict(tmp_path, content)
    for nth, point in enumerate(POINTS, 1):
        killed(folder, point, nth)
        assert half_wrongs(folder) == []
    replay(load_plan(folder), Choice())
    assert wrongs(folder, content) == []


def test_rows_that_are_not_closed_with_their_commit_land_again(tmp_path: Path) -> None:
    content = sales(0, 60, broken=4)
    folder = too_strict(tmp_path, content)
    for _ in range(2):
        process = started(folder, "", 1, "no closing", 1000)
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert any("rows at" in w for w in wrongs(folder, content))


def overtaken(folder: Path) -> list[str]:
    """Let another replay close everything while one is between its look and its intent."""
    content = (folder / "data" / "a.jsonl").read_bytes()
    plan, slept = load_plan(folder), []

    def others(point: str) -> None:
        if point == "asked" and not slept:
            slept.append(point)
            replay(plan, Choice())

    replay(plan, Choice(), point=others)
    assert slept
    return wrongs(folder, content)


def test_a_replay_that_was_overtaken_lands_nothing_again(tmp_path: Path) -> None:
    assert overtaken(too_strict(tmp_path, sales(0, 60, broken=4))) == []


def test_without_a_look_at_what_is_open_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = closing.closed

    def blind(wanted: Closing, table: Any, at: int | None) -> Any:
        def there(rows: pa.Table) -> pa.Table:
            left = Places(held(table, at, Places(rows), rows.select(PLACE).schema))
            return rows.filter(pa.array(left.at(rows) >= 0))

        left = replace(wanted, closed=there(wanted.closed), changed=there(wanted.changed))
        return real(left, table, at)

    monkeypatch.setattr(closing, "closed", blind)
    assert any("rows at" in w for w in overtaken(too_strict(tmp_path, sales(0, 60, broken=4))))


@pytest.mark.stack
@pytest.mark.parametrize("seed", range(3))
def test_replays_side_by_side_that_are_killed_at_any_time_land_each_row_once(
    seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    content = sales(0, 1500, seed=seed, broken=12, copies=40)
    folder = too_strict(tmp_path, content)
    alive: list[Any] = []
    kills, until = 0, time.monotonic() + PATIENCE
    while kills < 30 and time.monotonic() < until:
        while len(alive) < 2:
            die = rng.choice(["", "asked", "before send", *POINTS])
            alive.append(started(folder, die, rng.randint(1, 4), "", rng.choice([7, 20, 60])))
        time.sleep(rng.uniform(0, 1.5))
        rng.choice(alive).kill()
        for process in alive:
            process.join(0.2)
        kills += sum(p.exitcode == -signal.SIGKILL for p in alive)
        alive = [p for p in alive if p.exitcode is None]
        assert half_wrongs(folder) == []
    for process in alive:
        process.kill()
        process.join(PATIENCE)
    replay(load_plan(folder), Choice())
    assert kills >= 10
    assert wrongs(folder, content) == []
