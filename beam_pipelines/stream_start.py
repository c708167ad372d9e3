"""Where a stream begins is in the lake before its first message is read.

Otherwise a run that was killed early, or saw no message, would leave no trace of its start: with
`start: latest` the next run would begin later, and what came in between would never be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.names import Destiny
from schemas.plan import Plan
from transforms.commit.committer import Committer
from transforms.commit.landed import Landed
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges
from transforms.commit.removed import Removed
from transforms.commit.state import State
from transforms.continuous.committer import Memory
from transforms.sources.streams.vector import Vector

STEP: Final = "source"
BEFORE: Final = "before_start"
GAP: Final = "gap"


@dataclass(frozen=True)
class Begun:
    """Where a stream begins.

    Attributes:
        known: Position of every partition.
        memory: What its dedupe knows of the lake.
        warnings: What a person must know: positions that are gone.
    """

    known: dict[str, int]
    memory: Memory = field(default_factory=Memory)
    warnings: tuple[str, ...] = ()


def record_start(
    committer: Committer, plan: Plan, state: State, known: Mapping[str, int], at: Vector
) -> Begun:
    """Record what a stream passes over at its start, in a commit of its own.

    Those positions are done, with no rows: the ledger has an entry for them, of step `source` and
    rule `before_start`, or `gap` if they were to be read and are gone.

    Args:
        committer: Of this run.
        plan: What runs.
        state: The lake as it was found.
        known: Where the lake's positions end, by partition.
        at: Where the source says that reading begins.
    """
    passed: Ranges = {}
    removed, warnings = [], []
    for source, place in at.places.items():
        before = known.get(source, 0)
        if place.position > before:
            passed[source] = [(before, place.position)]
            rule = GAP if source in known else BEFORE
            removed.append(_none(source, rule, before, place.position))
            if rule == GAP:
                warnings.append(
                    f"passed over: {place.position - before} positions of {place.label}, from "
                    f"{before} to {place.position - 1}, were gone"
                )
    warnings += [
        f"passed over: {s} is gone, read up to {known[s]}" for s in known if s not in at.places
    ]
    memory = Memory()
    if passed:
        committer.commit([Landed(done=passed, removed=tuple(removed))], {}, book=False)
        if not state.totals.get(plan.processed):
            # No row has landed yet, so the dedupe knows all of them.
            now = committer.ask()
            memory = Memory(Asked(now.seq, now.snapshots.get(plan.processed)))
    return Begun(at.positions, memory, tuple(warnings))


def _none(source: str, rule: str, start: int, end: int) -> Removed:
    """Say why positions have no rows."""
    return Removed(
        source=source,
        destiny=Destiny.FILTERED,
        step=STEP,
        rule=rule,
        rows=0,
        first=start,
        last=end - 1,
        packed=b"",
        width=1,
    )
