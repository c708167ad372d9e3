"""`_commits` as an outbox: done commits in order, for warehouses and other followers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.table import Table

from schemas.errors import CommitError, PenstockError
from schemas.names import TIMESTAMP
from transforms.commit.iceberg import stored
from transforms.commit.journal import KEPT_DAYS, Entry, after, base_of
from transforms.commit.lake import Lake, files_at
from transforms.commit.patience import patience

EVERYTHING: Final = "everything"
"""`op` of the commit that `everything` makes up."""

BY_WINDOW: Final = frozenset({"append", "refresh", "replay"})
"""`op` of commits that change aggregates by whole windows."""


class FollowerTooFarError(PenstockError):
    """The lake cannot say what a follower lacks (too far behind, or another lake): rebuild it."""


class Place(NamedTuple):
    """Where a follower stands: the last commit it took; the same of no other lake."""

    seq: int = 0
    commit_id: str = ""


@dataclass(frozen=True)
class DoneCommit:
    """What one commit did.

    Attributes:
        seq: Its place in the order; voided commits leave gaps.
        commit_id: Its id.
        op: append (new rows, and the windows they touched), replay (the same of dead letters; the
            refused rows of `replaced` files are in `added` ones, or closed), refresh (windows
            only), erase, compact (same rows in other files), rebuild (all tables anew) or
            EVERYTHING.
        added: Table -> paths of data files that the commit put in.
        replaced: Table -> paths of data files that it took out.
        windows: Aggregate (without `analytics.`) -> touched window starts (timestamp[us, UTC],
            sorted). All its rows of a touched window are in `added`; other rows there did not
            change.
        stretches: Aggregate of sessions -> `first` and `last` (timestamp[us, UTC], both included)
            of stretches of window starts, instead: all its rows that begin in one are in `added`.
        entries: Rows of `_commits` that it stands for: its own, or with EVERYTHING all that the
            lake still keeps of done commits.
    """

    seq: int
    commit_id: str
    op: str
    added: dict[str, list[str]]
    replaced: dict[str, list[str]]
    windows: dict[str, pa.Array]
    stretches: dict[str, pa.Table] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()

    @property
    def place(self) -> Place:
        """Where a follower stands that has taken it."""
        return Place(self.seq, self.commit_id)


def commits_after(lake: Lake, place: Place = Place()) -> Iterator[DoneCommit]:  # noqa: B008 - immutable
    """Yield the done commits after a place (the default: all), in order.

    Raises:
        FollowerTooFarError: The place is not in the history that the lake keeps.
    """
    commits = lake.commits()
    for entry in pending(commits, place):
        yield done_commit(commits.io, entry)


def pending(commits: Table, place: Place) -> list[Entry]:
    """Return the rows of the done commits after a place, in order; no data file is opened.

    Args:
        commits: `_commits` as loaded.
        place: The commit last taken.

    Raises:
        FollowerTooFarError: The place is not in the history that the lake keeps.
    """
    ended = [e for e in after(commits, place.seq - 1) if e.state != "intent"]
    if place == Place():
        if ended and ended[0].seq != 1:
            raise FollowerTooFarError(_too_far(place.seq))
    elif not ended or ended[0].seq > place.seq:
        folded = base_of(commits) >= place.seq
        raise FollowerTooFarError(_too_far(place.seq) if folded else _other(place.seq))
    elif Place(ended[0].seq, ended[0].commit_id) != place:
        raise FollowerTooFarError(_other(place.seq))
    return [e for e in ended if e.state == "done" and e.seq > place.seq]


def done_commit(io: FileIO, entry: Entry) -> DoneCommit:
    """Return what the commit of a done row did."""
    parts = {name: stored(io, manifests) for name, manifests in entry.parts.items()}
    return DoneCommit(
        seq=entry.seq,
        commit_id=entry.commit_id,
        op=entry.op,
        added={n: [f.file_path for f in p.add] for n, p in parts.items() if p.add},
        replaced={n: [f.file_path for f in p.remove] for n, p in parts.items() if p.remove},
        windows={name: _times(w) for name, w in entry.windows.items() if w.ndim == 1},
        stretches={
            name: pa.table({"first": _times(w[:, 0]), "last": _times(w[:, 1])})
            for name, w in entry.windows.items()
            if w.ndim > 1
        },
        entries=(entry,),
    )


def everything(lake: Lake) -> DoneCommit:
    """Return what the lake holds as one commit, as if its last one had put all of it in.

    For a follower that begins, or has fallen too far behind. `windows` is empty: every window is
    touched.

    Raises:
        CommitError: Snapshots of the last commit are gone.
    """
    for _ in patience(20):
        commits = lake.commits()
        ended = [e for e in after(commits, 0) if e.state != "intent"]
        if not ended and not base_of(commits):
            return DoneCommit(0, "", EVERYTHING, {}, {}, {})
        snapshots = ended[-1].snapshots if ended else {}
        tables = {name: lake.load(name) for name in snapshots}
        if ended and all(tables[n].snapshot_by_id(at) is not None for n, at in snapshots.items()):
            break
    else:
        msg = "snapshots of the last done commit must be readable; some are gone; restore the lake"
        raise CommitError(msg)
    added = {name: files_at(table, snapshots[name]) for name, table in tables.items()}
    return DoneCommit(
        seq=ended[-1].seq,
        commit_id=ended[-1].commit_id,
        op=EVERYTHING,
        added={name: [f.file_path for f in files] for name, files in added.items() if files},
        replaced={},
        windows={},
        entries=tuple(e for e in ended if e.state == "done"),
    )


def _times(starts: np.ndarray) -> pa.Array:
    return pa.array(starts, pa.int64()).cast(TIMESTAMP)


def _too_far(seq: int) -> str:
    return (
        f"a follower must be at most {KEPT_DAYS} days behind its lake; it stands at commit {seq}, "
        "and the lake no longer keeps the commits from there on; run `penstock load --rebuild`"
    )


def _other(seq: int) -> str:
    return (
        f"a follower must stay with the lake it was made from; the commit {seq} it took last is "
        "not in this one (another lake, or one begun anew or restored from an older copy); run "
        "`penstock load --rebuild`"
    )
