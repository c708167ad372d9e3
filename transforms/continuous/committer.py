"""What the committer of a stream does beyond that of a batch: shipments, open windows, replays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import EqualTo

from schemas.plan import Aggregate, Plan
from transforms.aggregate.windows import micros
from transforms.changes.kept import keep_changes
from transforms.commit import journal
from transforms.commit.committer import Committed, Committer
from transforms.commit.lake import Lake
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges, merged, missing
from transforms.commit.state import State
from transforms.continuous.land import Shipment
from transforms.continuous.rollup import NEVER, Rollup


@dataclass(frozen=True)
class Memory:
    """What the committer's state says across checkpoints.

    Attributes:
        asked: The lake whose rows the dedupe's state knows.
        handed: Positions handed in since.
        closed_us: How far event time is complete.
        closes: How often that was told since the last commit.
    """

    asked: Asked = field(default_factory=Asked)
    handed: Ranges = field(default_factory=dict)
    closed_us: int = NEVER
    closes: int = 0


class StreamCommitter:
    """Commits shipments; keeps what its process knows of the lake and of open windows."""

    def __init__(
        self, committer: Committer, plan: Plan, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Use `committer`, whose lake is prepared for the plan; nothing is read yet.

        Args:
            committer: Lands.
            plan: What runs.
            clock: Seconds since 1970; delays of triggers are measured by it.
        """
        self._committer, self._plan = committer, plan
        self._rollup = Rollup(plan.aggregates, _OpenWindows(committer.lake))
        self._clock = clock

    def commit(
        self, shipments: Sequence[Shipment], memory: Memory
    ) -> tuple[Committed | None, Memory]:
        """Land what of the shipments is new, and finish windows that are complete.

        Returns:
            What changed, None if nothing did; and what to remember.

        Raises:
            CommitError: The lake could not be changed; nothing of this commit is visible.
        """
        before = self._committer.ask()
        rollup = self._rollup
        rollup.closed_us, rollup.now_us = memory.closed_us, int(self._clock() * 1_000_000)
        rollup.any_late = any(one.late for one in shipments)
        committed = self._committer.commit(
            [one.landed for one in shipments],
            _panes(shipments),
            asked=_nothing(memory.asked) if any(s.unsure for s in shipments) else memory.asked,
            rollup=rollup,
        )
        keep_changes(self._plan, [change for one in shipments for change in one.landed.changes])
        now = self._committer.ask()
        snapshot = now.snapshots.get(self._plan.processed)
        if committed is not None and now.seq == committed.seq:
            rollup.accept(snapshot)
        rollup.tell(now.owed)
        handed = merged(memory.handed, *(one.landed.done for one in shipments))
        asked = memory.asked
        alone = before.seq == asked.seq and now.seq == before.seq + (committed is not None)
        if alone or not missing(self._since(asked, now), handed):
            asked, handed = Asked(now.seq, snapshot), {}
        return committed, Memory(asked, handed, memory.closed_us)

    def next_close_us(self, after_us: int = NEVER, skip: int = 0) -> int | None:
        """Return when (event time) a window ends that owes rows, or the next one is complete.

        Args:
            after_us: What comes until then is left out: the next commit does it.
            skip: Leave out so many of the moments after it, but never the last.

        Returns:
            None if there is no such window.
        """
        return self._rollup.next_close_us(after_us, skip)

    def next_fire_us(self) -> int | None:
        """Return at what time of the clock a trigger's delay is over, None if none runs."""
        return self._rollup.next_fire_us()

    def _since(self, asked: Asked, now: State) -> Ranges:
        """Return positions that have landed since: a restored dedupe may not know their ids."""
        if not asked.seq:
            return now.done
        entries = journal.after(self._committer.lake.commits(), asked.seq)
        return merged(*(entry.done for entry in entries if entry.state == "done"))


class _OpenWindows:
    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def __call__(self, aggregate: Aggregate) -> np.ndarray:
        name = f"analytics.{aggregate.name}"
        column = "window_end" if aggregate.sessions else "window_start"
        rows = self._lake.read(name, [column], EqualTo("_final", value=False))
        return np.unique(micros(rows[column]))


def _nothing(asked: Asked) -> Asked:
    """Return a state of the lake that no id is known of."""
    return Asked(began=max(asked.seq, asked.began))


def _panes(shipments: Sequence[Shipment]) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.RecordBatch]] = {}
    for one in shipments:
        for name, batch in one.partials.items():
            parts.setdefault(name, []).append(batch)
    return {name: pa.Table.from_batches(batches) for name, batches in parts.items()}
