"""Protections of a stream, to be switched off: controls that must lose or double rows."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import Any

from beam_pipelines import streaming
from tests.faults import job
from transforms.commit import draft
from transforms.commit.copies import Settled
from transforms.commit.sqlite_catalog import SqliteCatalog
from transforms.continuous.admit import Admission
from transforms.decode.messages import MessageDecoder
from transforms.sources.kafka import reader
from transforms.sources.streams import live


def apply(rules: Iterable[str]) -> None:
    """Make this process work by these rules."""
    for rule in rules:
        RULES[rule]()


COMMIT_TABLE = SqliteCatalog.commit_table


def lie_often(share: float) -> None:
    """Let the catalog answer falsely, so often."""
    random.seed(os.getpid())
    job.Liar.lie = share
    SqliteCatalog.commit_table = _lying  # type: ignore[method-assign]


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
    draft.without_copies = lambda fresh, *_: Settled(fresh)


def _newest_watermark() -> None:
    def newest(before: int | None, partitions: Any, now_us: int, pace: Any) -> int | None:
        highs = [p.high_us for p in partitions if p.high_us is not None]
        return max(highs, default=before)

    live.watermark = newest


def _no_dead_letters() -> None:
    admit = Admission.__call__

    def lossy(self: Admission, raw: Any) -> Any:
        outcome, changes = admit(self, raw)
        return outcome._replace(refused=None), changes

    Admission.__call__ = lossy  # type: ignore[method-assign]


def _short_records() -> None:
    made = MessageDecoder.__init__

    def short(self: MessageDecoder, *args: Any, **options: Any) -> None:
        made(self, *args, **(options | {"longest": 1 << 20}))

    MessageDecoder.__init__ = short  # type: ignore[method-assign]


class _NeverError(Exception):
    """Nothing raises it."""


def _no_patience() -> None:
    """A broker that does not answer is an error like any other."""
    reader.UnreachableError = _NeverError  # type: ignore[assignment, misc]


RULES: dict[str, Callable[[], None]] = {
    "no fence": lambda: job.break_rule("no fence"),
    "no recovery": lambda: job.break_rule("no recovery"),
    "no trim": _no_trim,
    "no ids": _no_ids,
    "no dead letters": _no_dead_letters,
    "newest watermark": _newest_watermark,
    "short records": _short_records,
    "brokers always answer": _no_patience,
    "read anew": _read_anew,
}
"""All but the last take a protection away."""
