"""What a committer knows of the lake: asked of `_commits`, kept, and brought up to date."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyiceberg.table import Table

from transforms.commit.journal import Entry
from transforms.commit.ranges import Ranges, merged


@dataclass(frozen=True)
class State:
    """The lake as of the last ended commit.

    Attributes:
        commits: `_commits` as loaded when asking: an intent is staged on this very snapshot.
        seq: Sequence number of the last commit.
        done: Positions done, those of removed rows included.
        snapshots: Table -> snapshot of the last done commit.
        totals: Table -> rows.
        sources: Rows of `_sources`, one for each source.
        ended: Commit ids seen to end since this committer started -> done or void.
    """

    commits: Table
    seq: int = 0
    done: Ranges = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    sources: pa.Table | None = None
    ended: dict[str, str] = field(default_factory=dict)

    def after(self, commits: Table, rows: list[Entry]) -> State:
        """Return what is known after these rows: `journal.tail` beyond `seq`, none of them open."""
        done = {} if rows and rows[0].state == "base" else self.done
        seq, snapshots, totals, ended = self.seq, self.snapshots, self.totals, dict(self.ended)
        new: list[Ranges] = []
        for entry in rows:
            seq = entry.seq
            if entry.state == "intent":
                continue
            snapshots, totals = entry.snapshots, entry.totals
            ended[entry.commit_id] = entry.state
            if entry.op == "rebuild" and entry.state == "done":
                done, new = {}, []
            if entry.state != "void":
                new.append(entry.done)
        return replace(
            self,
            commits=commits,
            seq=seq,
            done=merged(done, *new) if new else done,
            snapshots=snapshots,
            totals=totals,
            ended=ended,
        )
