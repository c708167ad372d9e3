"""`penstock run --stream` in a process of its own, which may kill itself at a point."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam  # noqa: F401 - the forkserver imports all that is slow, once
import confluent_kafka.admin  # noqa: F401
import duckdb  # noqa: F401
import grpc  # noqa: F401
import pyiceberg.catalog.sql  # noqa: F401
from apache_beam.runners.portability import portable_runner  # noqa: F401

from beam_pipelines import cli, commit_once, streaming  # noqa: F401
from runners.flink import launch as on_flink  # noqa: F401
from runners.prism import launch as on_prism  # noqa: F401
from tests.faults.disk import fill
from tests.faults.stream_rules import apply, lie_often
from transforms.commit.committer import Committer
from transforms.continuous.committer import StreamCommitter
from transforms.continuous.land import Landing

COMMITTER = (
    "asked",
    "before intent",
    "after intent",
    "before send",
    "between tables",
    "before done",
)
POINTS = (*COMMITTER, "before files", "after files", "after commit")
"""Those of the committer; files of a shard written or not; landed, and the runner not told."""


def run(
    folder: Path,
    sets: Sequence[str] = (),
    *,
    flags: Sequence[str] = ("--runner", "prism"),
    die: str = "",
    nth: int = 1,
    how: int = signal.SIGKILL,
    full: Path | None = None,
    rules: Sequence[str] = (),
    lie: float = 0.0,
    log: Path | None = None,
) -> None:
    """Run the command line over a pipeline folder.

    Args:
        folder: The pipeline.
        sets: Fields of the pipeline file, as `--set` takes them.
        flags: Of the command.
        die: Point at which the process kills itself the nth time that it comes there.
        nth: See `die`.
        how: Signal that it sends itself there.
        full: Disk that it fills there instead.
        rules: What is otherwise (`stream_rules.RULES`).
        lie: Probability that the catalog answers falsely.
        log: What the run says goes there.
    """
    _say_to(log)
    act = partial(os.kill, os.getpid(), how) if full is None else partial(fill, full)
    make_points(die, nth, act)
    apply(rules)
    if lie:
        lie_often(lie)
    words = [word for one in sets for word in ("--set", one)]
    sys.exit(cli.main(["run", str(folder), "--stream", "--json", *flags, *words]))


def stop(folder: Path, flags: Sequence[str], log: Path | None = None) -> None:
    """Stop a stream that runs by itself."""
    _say_to(log)
    sys.exit(cli.main(["stop", str(folder), "--json", *flags]))


def maintain(folder: Path, log: Path | None = None) -> None:
    """Put small files together and forget what is old, as often as can be, until killed."""
    _say_to(log)
    ages = ["--keep", "20", "--age", "30s", "--unlanded-age", "5m"]
    while cli.main(["maintain", str(folder), *ages]) == 0:
        pass


def _say_to(log: Path | None) -> None:
    logging.disable(logging.CRITICAL)
    out = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)


def make_points(die: str, nth: int, act: Callable[[], None]) -> None:
    """Make this process do something when it comes to a point for the nth time."""
    left = nth

    def point(there: str) -> None:
        nonlocal left
        if there == die:
            left -= 1
            if left == 0:
                act()

    commit_once.Committer = partial(Committer, point=point)  # type: ignore[misc]
    _wrap(Landing, "__call__", lambda: point("before files"), lambda: point("after files"))
    _wrap(StreamCommitter, "commit", lambda: None, lambda: point("after commit"))


def _wrap(owner: Any, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    inner = getattr(owner, name)

    def both(*args: Any, **kwargs: Any) -> Any:
        before()
        answer = inner(*args, **kwargs)
        after()
        return answer

    setattr(owner, name, both)
