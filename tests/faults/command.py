"""`penstock run` in a process of its own, which may kill itself at a named point or lose a rule."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam  # noqa: F401 - the forkserver imports all that is slow, once
import pyiceberg.catalog.sql  # noqa: F401

from beam_pipelines import batch, cli, commit_once, progress_screen  # noqa: F401
from beam_pipelines.cli import flags
from runners import direct  # noqa: F401
from tests.faults.job import break_rule
from transforms.commit.committer import Committer
from transforms.sinks.warehouse import Warehouse

PLAN_OF, TAKE = flags.plan_of, Warehouse._take
COMMITTER = (
    "asked",
    "before intent",
    "after intent",
    "before send",
    "between tables",
    "before done",
)
WAREHOUSE = ("before load", "in load")
POINTS = (*COMMITTER, *WAREHOUSE)


def run(folder: Path, die: str = "", nth: int = 1, meet: str = "", rule: str = "") -> None:
    """Run the command line over a pipeline folder; small blocks, so that there are many.

    Args:
        folder: The pipeline.
        die: Point at which the process kills itself the nth time that it comes there.
        nth: See `die`.
        meet: A folder; before its first intent the process waits there for a second one.
        rule: Rule of the commit that is switched off (`job.break_rule`).
    """
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    left = nth

    def point(there: str) -> None:
        nonlocal left, meet
        if there == "before intent" and meet:
            _wait(Path(meet))
            meet = ""
        if there == die:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    break_rule(rule)
    commit_once.Committer = functools.partial(Committer, point=point)
    batch.follow = _after(lambda: point("before load"), batch.follow)
    Warehouse._take = _after(lambda: point("in load"), TAKE)
    flags.plan_of = _small_blocks
    sys.exit(cli.main(["run", str(folder), "--json"]))


def _small_blocks(args: Any) -> Any:
    plan = PLAN_OF(args)
    return replace(plan, source=replace(plan.source, block_bytes=20_000))


def _after(first: Callable[[], Any], then: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        first()
        return then(*args)

    return both


def _wait(meet: Path) -> None:
    (meet / str(os.getpid())).touch()
    until = time.monotonic() + 20
    while len(list(meet.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
