"""`DonePositions`: what of a stream's source is in the lake, for the reader's permit."""

from __future__ import annotations

import time
from collections.abc import Callable

from transforms.commit.journal import Entry, is_open, tail
from transforms.commit.lake import Lake
from transforms.commit.ranges import Ranges, merged


class DonePositions:
    """Answers which positions are done, from the lake; there is no back edge in Beam.

    Reads the head of `_commits` at most once in `every` seconds, and only rows newer than it knows;
    never writes. Not for several threads.

        done = DonePositions(open_lake(plan))
        done()  # {"cluster/topic/0": [(0, 1200)]}
    """

    def __init__(
        self, lake: Lake, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Describe it; nothing is read yet.

        Args:
            lake: Whose `_commits` is read; it must be prepared.
            every: Least seconds between two looks.
            clock: Seconds.
        """
        self._lake, self._every, self._clock = lake, every, clock
        self._looked = -float("inf")
        self._head: int | None = None
        self._seq = 0
        self._done: Ranges = {}

    def __call__(self) -> Ranges:
        """Return source -> merged ranges done, whatever became of their rows."""
        now = self._clock()
        if now - self._looked >= self._every:
            self._looked = now
            self._look()
        return self._done

    def _look(self) -> None:
        commits = self._lake.commits()
        head = commits.current_snapshot()
        if head is None or head.snapshot_id == self._head:
            return
        rows = tail(commits, self._seq)
        if rows and is_open(commits, rows[-1].commit_id):
            rows = rows[:-1]
        self._head = head.snapshot_id
        self._take(rows)

    def _take(self, rows: list[Entry]) -> None:
        new: list[Ranges] = []
        for row in rows:
            self._seq = row.seq
            if row.state == "base" or (row.op == "rebuild" and row.state == "done"):
                self._done, new = {}, []
            if row.state in ("base", "done"):
                new.append(row.done)
        if new:
            self._done = merged(self._done, *new)
