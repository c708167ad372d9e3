"""What the committer of a stream does beyond that of a batch: shipments, open windows, replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import EqualTo

from schemas.plan import Aggregate, Plan
from transforms.aggregate.windows import Windows, micros
from transforms.commit import journal
from transforms.commit.committer import Committed, Committer
from transforms.commit.lake import Lake
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges, merged, missing
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

    def __init__(self, committer: Committer, plan: Plan) -> None:
        """Use `committer`, whose lake is prepared for the plan; nothing is read yet."""
        self._committer, self._plan = committer, plan
        self._rollup = Rollup(plan.aggregates, _OpenWindows(committer.lake))

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
        rollup.closed_us = memory.closed_us
        rollup.any_late = any(one.late for one in shipments)
        committed = self._committer.commit(
            [one.landed for one in shipments],
            _panes(shipments),
            asked=memory.asked,
            rollup=rollup,
            closing=rollup.due(),
        )
        now = self._committer.ask()
        snapshot = now.snapshots.get(self._plan.processed)
        if committed is not None and now.seq == committed.seq:
            rollup.accept(snapshot)
        handed = merged(memory.handed, *(one.landed.done for one in shipments))
        asked = memory.asked
        alone = before.seq == asked.seq and now.seq == before.seq + (committed is not None)
        if alone or not missing(self._since(asked), handed):
            asked, handed = Asked(now.seq, snapshot), {}
        return committed, Memory(asked, handed, memory.closed_us)

    def next_close_us(self, after_us: int = NEVER, skip: int = 0) -> int | None:
        """Return when (event time) the next open window is complete, None if there is none.

        Args:
            after_us: Windows that are complete by then are left out: the next commit finishes them.
            skip: Leave out so many of the moments after it, but never the last.
        """
        ends = [np.array([], np.int64)]
        for aggregate in self._plan.aggregates:
            windows, starts = Windows.of(aggregate), self._rollup.open(aggregate)
            complete = windows.ends(starts) + windows.lateness if len(starts) else starts
            ends.append(complete[complete > after_us])
        moments = np.unique(np.concatenate(ends))
        return int(moments[min(skip, len(moments) - 1)]) if len(moments) else None

    def _since(self, asked: Asked) -> Ranges:
        """Return positions that have landed since: a restored dedupe may not know their ids."""
        entries = journal.after(self._committer.lake.commits(), asked.seq)
        return merged(*(entry.done for entry in entries if entry.state == "done"))


class _OpenWindows:
    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def __call__(self, aggregate: Aggregate) -> np.ndarray:
        name = f"analytics.{aggregate.name}"
        rows = self._lake.read(name, ["window_start"], EqualTo("_final", value=False))
        return np.unique(micros(rows["window_start"]))


def _panes(shipments: Sequence[Shipment]) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.RecordBatch]] = {}
    for one in shipments:
        for name, batch in one.partials.items():
            parts.setdefault(name, []).append(batch)
    return {name: pa.Table.from_batches(batches) for name, batches in parts.items()}
