"""One process that lands the synthetic source, on a catalog that lies, dies and falls asleep."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

from schemas.names import TIMESTAMP
from tests.faults import synthetic
from transforms.commit import committer, intent
from transforms.commit.committer import Committer
from transforms.commit.lake import Lake
from transforms.commit.sqlite_catalog import SqliteCatalog

IS_OPEN, FINISH = intent.is_open, committer.finish


class Liar(SqliteCatalog):
    """Lands and denies it, refuses without landing, lands late; dies or stops before or after."""

    lie = kill = stop = 0.0

    def commit_table(self, table: Any, requirements: Any, updates: Any) -> Any:
        dice = random.random
        if dice() < self.stop:
            os.kill(os.getpid(), signal.SIGSTOP)
        if dice() < self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        how = "true"
        if dice() < self.lie:
            how = random.choice(["landed", "landed", "lost", "late"])
        if how == "late":
            threading.Thread(target=self._late, args=(table, requirements, updates)).start()
        if how in ("true", "landed"):
            answer = super().commit_table(table, requirements, updates)
            if dice() < self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "true":
                return answer
        raise random.choice(
            [CommitFailedException("409"), CommitStateUnknownException("500"), OSError("no answer")]
        )

    def _late(self, table: Any, requirements: Any, updates: Any) -> None:
        time.sleep(random.uniform(0.02, 1.0))
        try:
            super().commit_table(table, requirements, updates)
        except Exception:  # noqa: BLE001
            return


def _declare_again(hand: Any, commits: Any, entry: Any) -> bool:
    """A refused intent sent once more on the new head without asking, as pyiceberg's retry does."""
    while True:
        try:
            intent._append(hand, commits, entry)
        except Exception:  # noqa: BLE001
            time.sleep(random.random() * 0.05)
            commits = hand.lake.commits()
        else:
            return True


def _never_find(*_: Any) -> bool:
    return False


def _land_blindly(*args: Any, **kwargs: Any) -> Any:
    intent.is_open = lambda *_: True
    try:
        return LAND(*args, **kwargs)
    finally:
        intent.is_open = IS_OPEN


LAND = intent._land


def break_rule(name: str) -> None:
    """Switch off one rule of the commit: a control that must lose or double rows."""
    if name == "no fence":
        committer.declare = _declare_again
        intent.is_open = lambda *_: True
    elif name == "no recovery":
        committer.is_open = _never_find
    elif name == "no second look":
        intent._land = _land_blindly


def lake_of(root: Path, kind: type[SqliteCatalog] = SqliteCatalog) -> Lake:
    """The lake as the job sees it."""
    catalog = kind("lake", root / "catalog.db", f"file://{root}", busy_s=20)
    return Lake(catalog, "synthetic")


def panes(slices: list[tuple[str, int, int]]) -> dict[str, pa.Table]:
    """What a run aggregates over the slices that it read, those read twice counted twice."""
    n: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for one in slices:
        for row in synthetic.rows(*one, "kept"):
            hour = int(row["at"]) // synthetic.HOUR_US * synthetic.HOUR_US
            n[hour] += 1
            total[hour] += int(row["amount"])
    hours = sorted(n)
    columns = {
        "window_start": pa.array(hours, pa.int64()).cast(TIMESTAMP),
        "window_end": pa.array([h + synthetic.HOUR_US for h in hours], pa.int64()).cast(TIMESTAMP),
        "n": pa.array([n[h] for h in hours], pa.int64()),
        "total": pa.array([total[h] for h in hours], pa.int64()),
    }
    return {"hourly": pa.table(columns)}


def run(root: Path, seed: int, options: dict[str, Any]) -> None:
    """Land every slice, in a random order, some together."""
    logging.disable(logging.CRITICAL)
    random.seed(seed)
    lake = lake_of(root, Liar)
    Liar.lie, Liar.stop = options.get("lie", 0.0), options.get("stop", 0.0)
    die = options.get("die", 0.0)
    Liar.kill = die / 3

    def point(_: str) -> None:
        if random.random() < die:
            os.kill(os.getpid(), signal.SIGKILL)

    break_rule(options.get("broken", ""))
    plan = synthetic.plan(root)
    one = Committer(
        lake,
        plan,
        run_id=f"run-{seed}",
        point=point,
        keep=options.get("keep", 100),
        fold_at=options.get("fold", 8),
    )
    infos = {n: lake.table_info(n) for n in (plan.processed, plan.operations("refused"))}
    slices = [tuple(s) for s in json.loads((root / "slices.json").read_text())]
    random.shuffle(slices)
    while slices:
        count = random.randint(1, 3)
        group, slices = slices[:count], slices[count:]
        landed = [synthetic.landed(infos, *s) for s in group]
        one.commit(landed, panes(group) if random.random() < 0.5 else {})
    (root / f"finished-{seed}").touch()
