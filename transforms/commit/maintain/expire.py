"""What the lake no longer has to answer is forgotten: old snapshots, and commits of long ago."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pyiceberg.table import Table

from schemas.errors import CommitError
from transforms.commit.bounds import bounds
from transforms.commit.committer import KEEP, Committer
from transforms.commit.fold import too_old
from transforms.commit.iceberg import drop_snapshots
from transforms.commit.journal import KEPT_DAYS
from transforms.commit.lake import Lake
from transforms.commit.maintain.look import look
from transforms.commit.patience import patience

_DAY_MS: Final = 86_400_000


@dataclass
class Forgotten:
    """What the lake does not keep any more, or would not.

    Attributes:
        snapshots: Ids.
        commits: Rows of `_commits`.
        until: Their greatest sequence number.
    """

    snapshots: set[int] = field(default_factory=set)
    commits: int = 0
    until: int = 0


def forget(
    committer: Committer, tables: Iterable[str], *, keep: int = KEEP, dry_run: bool = False
) -> Forgotten:
    """Forget snapshots and commits; no file is deleted.

    A snapshot stays while it is one of the newest `keep` and was the newest within the last seven
    days, or if the last done commit names it, or a branch or tag does, or it is newer than that.

    Args:
        committer: Of a run of its own.
        tables: Full names.
        keep: Snapshots kept for each table.
        dry_run: Only find out.

    Raises:
        CommitError: The catalog does not take it.
    """
    lake = committer.lake
    out = Forgotten()
    _forget_history(committer, out, dry_run=dry_run)
    done = look(lake).snapshots
    for name in (*tables, lake.operations("commits")):
        out.snapshots |= _forget_snapshots(lake, name, done.get(name), keep, dry_run=dry_run)
    return out


def outdated(table: Table, done: int | None, keep: int, before_ms: int) -> list[int]:
    """Return the snapshots of a table that nobody needs.

    Args:
        table: As loaded.
        done: Snapshot of the last done commit; what is newer stays.
        keep: The newest that stay.
        before_ms: Those that were replaced before go, however few there are.
    """
    snapshots = table.metadata.snapshots
    named = {ref.snapshot_id for ref in table.metadata.refs.values()}
    ids = [s.snapshot_id for s in snapshots]
    newer = ids.index(done) if done in ids else len(ids) - 1
    out = []
    for i, one in enumerate(ids[:newer]):
        replaced_ms = snapshots[i + 1].timestamp_ms
        if one not in named and (i < len(ids) - keep or replaced_ms < before_ms):
            out.append(one)
    return out


def _forget_history(committer: Committer, out: Forgotten, *, dry_run: bool) -> None:
    lake = committer.lake
    commits = lake.commits()
    for file in too_old(commits, look(lake).seq):
        out.commits += file.record_count
        found = bounds(file, commits.schema(), "seq")
        out.until = max(out.until, found[1] if found is not None else 0)
    if dry_run:
        return
    # Commits since the last base row become an archive of their own, which can age.
    note = committer.fold(1)
    if not note and too_old(lake.commits(), look(lake).seq):
        note = committer.fold(0)
    if note:
        raise CommitError(note)


def _forget_snapshots(
    lake: Lake, name: str, done: int | None, keep: int, *, dry_run: bool
) -> set[int]:
    before_ms = int(time.time() * 1000) - KEPT_DAYS * _DAY_MS
    out: set[int] = set()
    for _ in patience(20):
        table = lake.load(name)
        old = outdated(table, done, keep, before_ms)
        out.update(old)
        if not old or dry_run:
            return out
        try:
            drop_snapshots(lake.catalog, table, old)
        except Exception:  # noqa: BLE001, S112 - conflict or unknown: look again
            continue
        return out
    msg = f"snapshots of {name} must be forgotten; the catalog did not take it; run again"
    raise CommitError(msg)
