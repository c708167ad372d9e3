"""One process that tends the synthetic lake again and again, until it is killed or told to end."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas.errors import CommitError
from tests.faults import synthetic
from tests.faults.job import Liar, lake_of
from transforms.commit.committer import Committer
from transforms.commit.maintain import compact
from transforms.commit.maintain.compact import Compaction
from transforms.commit.maintain.expire import forget
from transforms.commit.maintain.look import look, tables_of
from transforms.commit.maintain.named import Named
from transforms.commit.maintain.sweep import Sweep

STOP = "tended"


def break_rule(name: str) -> None:
    """Switch off one rule of maintenance: a control that must lose or double rows."""
    if name == "no look at inputs":
        compact.still_there = lambda lake, state, made: list(made)
    elif name == "no names":
        Named.learn = lambda *_: None


def run(root: Path, seed: int, options: dict[str, Any]) -> None:
    """Compact, expire and sweep in turn; files are old after `age` seconds."""
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
    plan = replace(synthetic.plan(root), out=root)
    keep, age = options.get("keep", 100), options.get("age", 5.0)
    while not (root / STOP).exists():
        committer = Committer(
            lake, plan, run_id=f"upkeep-{seed}", point=point, keep=keep, fold_at=8
        )
        try:
            Compaction(committer, plan).run()
            tables = tables_of(lake, plan, look(lake))
            forget(committer, tables, keep=keep)
            Sweep(lake=lake, tables=tables, age_s=age).run()
        except CommitError:  # Told loudly; the next round does better.
            (root / f"told-{time.time_ns()}").touch()
        time.sleep(random.random() * 0.2)
    (root / f"finished-upkeep-{seed}").touch()
