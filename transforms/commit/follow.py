"""`_commits` as an outbox: done commits in order, for warehouses and other followers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io import FileIO

from schemas.errors import CommitError, PenstockError
from schemas.names import TIMESTAMP
from transforms.commit.iceberg import stored
from transforms.commit.journal import KEPT_DAYS, Entry, after
from transforms.commit.lake import Lake, files_at, read_at
from transforms.commit.patience import patience
from transforms.commit.windows import WINDOW_START


class FollowerTooFarError(PenstockError):
    """The lake no longer holds the commits that a follower lacks: it must be rebuilt."""


@dataclass(frozen=True)
class DoneCommit:
    """What one commit did.

    Attributes:
        seq: Its place in the order; voided commits leave gaps.
        commit_id: Its id.
        op: append (new rows, and the windows they touched), refresh (windows only), erase,
            compact (same rows in other files) or rebuild (all tables anew).
        added: Table -> paths of data files that the commit put in.
        replaced: Table -> paths of data files that it took out.
        windows: Aggregate (without `analytics.`) -> touched window starts (timestamp[us, UTC],
            sorted). All its rows of a touched window are in `added`; other rows there did not
            change.
    """

    seq: int
    commit_id: str
    op: str
    added: dict[str, list[str]]
    replaced: dict[str, list[str]]
    windows: dict[str, pa.Array]


def commits_after(lake: Lake, seq: int) -> Iterator[DoneCommit]:
    """Yield the done commits after `seq` (0: all), in order.

    Raises:
        FollowerTooFarError: Commits after `seq` are no longer kept, or `seq` is of another lake.
    """
    commits = lake.commits()
    entries = [e for e in after(commits, seq) if e.state != "intent"]
    if not entries:
        newest = lake.last_done().seq
        if newest < seq:
            raise FollowerTooFarError(_too_far(seq, newest))
        return
    if entries[0].seq != seq + 1:
        raise FollowerTooFarError(_too_far(seq, entries[0].seq))
    for entry in entries:
        if entry.state == "done":
            yield _done(commits.io, entry)


def everything(lake: Lake) -> DoneCommit:
    """Return what the lake holds as one commit, as if its last one had put all of it in.

    For a follower that begins, or has fallen too far behind. `seq` and files are of the last done
    commit; `windows` has every window that an aggregate holds.
    """
    for _ in patience(20):
        done = lake.last_done()
        tables = {name: lake.load(name) for name in done.snapshots}
        if all(tables[n].snapshot_by_id(at) is not None for n, at in done.snapshots.items()):
            break
    else:
        msg = "snapshots of the last done commit must be readable; some are gone; restore the lake"
        raise CommitError(msg)
    analytics = [name for name in tables if name.startswith("analytics.")]
    starts = {
        name.partition(".")[2]: read_at(tables[name], done.snapshots[name], [WINDOW_START])
        for name in analytics
    }
    added = {name: files_at(table, done.snapshots[name]) for name, table in tables.items()}
    return DoneCommit(
        seq=done.seq,
        commit_id="",
        op="rebuild",
        added={name: [f.file_path for f in files] for name, files in added.items() if files},
        replaced={},
        windows={
            name: pc.unique(rows[WINDOW_START].combine_chunks()).cast(TIMESTAMP).sort()
            for name, rows in starts.items()
        },
    )


def _done(io: FileIO, entry: Entry) -> DoneCommit:
    parts = {name: stored(io, manifests) for name, manifests in entry.parts.items()}
    return DoneCommit(
        seq=entry.seq,
        commit_id=entry.commit_id,
        op=entry.op,
        added={n: [f.file_path for f in p.add] for n, p in parts.items() if p.add},
        replaced={n: [f.file_path for f in p.remove] for n, p in parts.items() if p.remove},
        windows={name: _times(starts) for name, starts in entry.windows.items()},
    )


def _times(starts: np.ndarray) -> pa.Array:
    return pa.array(starts, pa.int64()).cast(TIMESTAMP)


def _too_far(seq: int, found: int) -> str:
    return (
        f"a follower must be at most {KEPT_DAYS} days behind a lake it has followed from the "
        f"start; it is at commit {seq}, the lake offers {found}; run `penstock load --rebuild`"
    )
