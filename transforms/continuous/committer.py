"""What the committer of a stream does beyond that of a batch: shipments, open windows, replays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import EqualTo

from schemas.plan import Aggregate, Plan
from transforms.aggregate.windows import micros
from transforms.changes.kept import keep_changes
from transforms.commit import journal
from transforms.commit.committer import Committed, Committer
from transforms.commit.ids import Unique
from transforms.commit.lake import Lake
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges, common, merged, missing
from transforms.commit.state import State
from transforms.commit.times import timed
from transforms.continuous.land import Shipment
from transforms.continuous.rollup import ALWAYS, NEVER, Rollup


@dataclass(frozen=True)
class Memory:
    """What the committer's state says across checkpoints.

    Attributes:
        asked: The lake whose rows the dedupe's state knows.
        handed: Positions handed in since.
        closed_us: How far event time is complete.
        closes: How often that was told since the last commit.
        astray_us: Greatest event time of a row that the dedupe may take for kept and that is not,
            or the other way round: the lake tells what repeats it.
    """

    asked: Asked = field(default_factory=Asked)
    handed: Ranges = field(default_factory=dict)
    closed_us: int = NEVER
    closes: int = 0
    astray_us: int = NEVER


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
        unique = Unique.of(plan)
        self._horizon_us = 0 if unique is None else unique.horizon_us

    def commit(
        self, shipments: Sequence[Shipment], memory: Memory
    ) -> tuple[Committed | None, Memory]:
        """Land what of the shipments is new, and finish windows that are complete.

        Returns:
            What changed, None if nothing did; and what to remember.

        Raises:
            CommitError: The lake could not be changed; nothing of this commit is visible.
            OSError: What was seen of changes could not be kept; nothing of this commit is visible.
        """
        before = self._committer.ask()
        keep_changes(self._plan, (e for one in shipments for e in one.evidence), before.done)
        rollup = self._rollup
        rollup.closed_us, rollup.now_us = memory.closed_us, int(self._clock() * 1_000_000)
        rollup.any_late = any(one.late for one in shipments)
        committed = self._committer.commit(
            [one.landed for one in shipments],
            _panes(shipments),
            asked=_nothing(memory.asked) if self._unsure(shipments, memory) else memory.asked,
            rollup=rollup,
        )
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
        astray_us = max(memory.astray_us, self._astray_us(shipments, before.done))
        if committed is not None and committed.astray_us is not None:
            astray_us = max(astray_us, committed.astray_us)
        return committed, Memory(asked, handed, memory.closed_us, astray_us=astray_us)

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

    def _unsure(self, shipments: Sequence[Shipment], memory: Memory) -> bool:
        """Whether the dedupe may be wrong about rows though the lake is as it was when it asked."""
        if any(one.unsure for one in shipments):
            return True
        if memory.astray_us == NEVER:
            return False
        first_us = min((low for one in shipments for low, _ in self._spans(one)), default=ALWAYS)
        return first_us <= memory.astray_us + self._horizon_us

    def _astray_us(self, shipments: Sequence[Shipment], done: Ranges) -> int:
        """Return up to when a dedupe may have chosen others than those that landed before.

        It reads positions again that are done. Where it then finds a copy at another time, it may
        have kept a row within the horizon of that copy, which landed.
        """
        again = [one for one in shipments if _chooses(one) and common(done, one.landed.done)]
        lasts = (high for one in again for _, high in self._spans(one))
        return max((min(ALWAYS, high + self._horizon_us) for high in lasts), default=NEVER)

    def _spans(self, one: Shipment) -> Iterator[tuple[int, int]]:
        """Yield least and greatest event times of rows that the dedupe kept or doubts."""
        info = self._committer.lake.table_info(self._plan.processed)
        column = self._plan.contract.event_time_column
        for file in one.landed.files.get(info.name, ()):
            yield timed(file, info.schema, column)[1:]
        if one.landed.doubtful is not None and one.landed.doubtful.rows:
            yield one.landed.doubtful.first_us, one.landed.doubtful.last_us

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


def _chooses(one: Shipment) -> bool:
    return one.unsure or one.landed.doubtful is None or bool(one.landed.doubtful.rows)


def _nothing(asked: Asked) -> Asked:
    """Return a state of the lake that no id is known of."""
    return Asked(began=max(asked.seq, asked.began))


def _panes(shipments: Sequence[Shipment]) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.RecordBatch]] = {}
    for one in shipments:
        for name, batch in one.partials.items():
            parts.setdefault(name, []).append(batch)
    return {name: pa.Table.from_batches(batches) for name, batches in parts.items()}
