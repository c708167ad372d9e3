"""`penstock run --stream` in a process of its own, which may kill itself or lose a protection."""

from __future__ import annotations

import functools
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam  # noqa: F401 - the forkserver imports all that is slow, once
import confluent_kafka.admin  # noqa: F401
import duckdb  # noqa: F401
import grpc  # noqa: F401
import pyiceberg.catalog.sql  # noqa: F401
from apache_beam.runners.portability import portable_runner  # noqa: F401

from beam_pipelines import cli, commit_once, streaming
from runners import prism  # noqa: F401
from tests.faults import job
from transforms.commit import draft
from transforms.commit.committer import Committer
from transforms.commit.sqlite_catalog import SqliteCatalog
from transforms.continuous.committer import StreamCommitter
from transforms.continuous.land import Landing
from transforms.sources.streams import live
from transforms.sources.streams.read import ReadStream  # noqa: F401

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
    die: str = "",
    nth: int = 1,
    rules: Sequence[str] = (),
    lie: float = 0.0,
    log: Path | None = None,
) -> None:
    """Run the command line over a pipeline folder, on prism.

    Args:
        folder: The pipeline.
        sets: Fields of the pipeline file, as `--set` takes them.
        die: Point at which the process kills itself the nth time that it comes there.
        nth: See `die`.
        rules: Protections that are switched off (`RULES`).
        lie: Probability that the catalog answers falsely.
        log: What the run says goes there.
    """
    logging.disable(logging.CRITICAL)
    out = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    _make_points(die, nth)
    for rule in rules:
        RULES[rule]()
    if lie:
        random.seed(os.getpid())
        job.Liar.lie = lie
        SqliteCatalog.commit_table = _lying  # type: ignore[method-assign]
    flags = [word for one in sets for word in ("--set", one)]
    sys.exit(cli.main(["run", str(folder), "--stream", "--runner", "prism", "--json", *flags]))


def _make_points(die: str, nth: int) -> None:
    left = nth

    def point(there: str) -> None:
        nonlocal left
        if there == die:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    commit_once.Committer = functools.partial(Committer, point=point)  # type: ignore[misc]
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


COMMIT_TABLE = SqliteCatalog.commit_table


def _lying(self: SqliteCatalog, *request: Any) -> Any:
    """Land and deny it, or refuse without landing."""
    how = random.random()
    if how > job.Liar.lie:
        return COMMIT_TABLE(self, *request)
    if how > job.Liar.lie / 3:
        COMMIT_TABLE(self, *request)
    raise TimeoutError


def _read_anew() -> None:
    """As a savepoint from before everything that has landed: all is read again."""
    streaming.starts = lambda *_: {}


def _no_trim() -> None:
    trim = draft.trim
    draft.trim = lambda landed, done, infos: trim(landed, {}, infos)


def _no_ids() -> None:
    draft.without_copies = lambda fresh, *_: (fresh, 0)


def _newest_watermark() -> None:
    def newest(before: int | None, partitions: Any, now_us: int, pace: Any) -> int | None:
        highs = [p.high_us for p in partitions if p.high_us is not None]
        return max(highs, default=before)

    live.watermark = newest


RULES: dict[str, Callable[[], None]] = {
    "no fence": lambda: job.break_rule("no fence"),
    "no recovery": lambda: job.break_rule("no recovery"),
    "no trim": _no_trim,
    "no ids": _no_ids,
    "read anew": _read_anew,
    "newest watermark": _newest_watermark,
}
"""Switches: those that begin with `no` take a protection away."""
