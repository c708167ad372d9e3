"""What a committer knows of the lake: asked of `_commits`, kept, and brought up to date."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from transforms.commit.journal import Entry
from transforms.commit.lake import Lake, read_at
from transforms.commit.ranges import Ranges, merged
from transforms.commit.tables import REMOVED
from transforms.commit.times import FileTimes
from transforms.sources.identity import SOURCES


@dataclass(frozen=True)
class State:
    """The lake as of the last ended commit.

    Attributes:
        commits: `_commits` as loaded when asking: an intent is staged on this very snapshot.
        seq: Sequence number of the last commit.
        done: Positions done.
        removed: Positions whose rows were erased: they never come back, not by a rebuild either.
        snapshots: Table -> snapshot of the last done commit.
        totals: Table -> rows.
        sources: Rows of `_sources`, one for each source.
        times: Event times of the files of `processed_data`, shared by all states of a process.
        owed: Aggregate -> starts (us, sorted) of windows whose rows lag behind the lake.
        ended: Commit ids seen to end since this committer started -> done or void.
    """

    commits: Table
    seq: int = 0
    done: Ranges = field(default_factory=dict)
    removed: Ranges = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    sources: pa.Table = field(default_factory=SOURCES.empty_table)
    owed: dict[str, np.ndarray] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    times: FileTimes = field(default_factory=FileTimes)

    def after(self, lake: Lake, commits: Table, rows: list[Entry]) -> State:
        """Return what is known after these rows: `journal.tail` beyond `seq`, none of them open.

        `_sources` and `_removed` are read again only if they changed.
        """
        done, owed = self.done, self.owed
        if rows and rows[0].state == "base":
            done, owed = {}, {}
            self.times.learn(rows[0].hints)
        seq, snapshots, totals, ended = self.seq, self.snapshots, self.totals, dict(self.ended)
        new: list[Ranges] = []
        for entry in rows:
            seq = entry.seq
            if entry.state == "intent":
                continue
            snapshots, totals = entry.snapshots, entry.totals
            ended[entry.commit_id] = entry.state
            if entry.op == "rebuild" and entry.state == "done":
                done, owed, new = {}, {}, []
            if entry.state != "void":
                new.append(entry.done)
                owed = _owed(owed, entry)
        state = replace(
            self,
            commits=commits,
            seq=seq,
            done=merged(done, *new) if new else done,
            snapshots=snapshots,
            totals=totals,
            owed=owed,
            ended=ended,
        )
        sources, removed = lake.operations("sources"), lake.operations("removed")
        if snapshots.get(sources) != self.snapshots.get(sources):
            rows_ = read_at(lake.load(sources), snapshots.get(sources), SOURCES.names)
            state = replace(state, sources=rows_)
        if snapshots.get(removed) != self.snapshots.get(removed):
            gone = read_at(lake.load(removed), snapshots.get(removed), REMOVED.names)
            state = replace(state, removed=_ranges(gone))
        return state


def _owed(before: dict[str, np.ndarray], entry: Entry) -> dict[str, np.ndarray]:
    """Return the windows that owe rows after a commit: it pays some, and owes others."""
    none = np.array([], np.int64)
    after = {}
    for name in {*before, *entry.owed}:
        left = np.setdiff1d(before.get(name, none), entry.windows.get(name, none))
        starts = np.union1d(left, entry.owed.get(name, none))
        if len(starts):
            after[name] = starts
    return after


def _ranges(rows: pa.Table) -> Ranges:
    out: Ranges = {}
    columns = (rows[n].to_pylist() for n in ("_source", "start", "end"))
    for source, start, end in zip(*columns, strict=True):
        out.setdefault(source, []).append((start, end))
    return merged(out)
