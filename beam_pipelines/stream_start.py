"""Where a stream begins is in the lake before its first message is read.

Otherwise a run that was killed early, or saw no message, would leave no trace of its start: with
`start: latest` the next run would begin later, and what came in between would never be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from beam_pipelines.stream_gaps import Gap, gone
from schemas.names import Destiny
from schemas.plan import Plan
from transforms.commit.committer import Committer
from transforms.commit.landed import Landed
from transforms.commit.ledger import SOURCE_STEP
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges
from transforms.commit.removed import Removed
from transforms.commit.state import State
from transforms.continuous.committer import Memory
from transforms.sources.streams.vector import Vector

BEFORE: Final = "before_start"


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
    lost: Ranges = {}
    removed, warnings = [], []
    for source, place in at.places.items():
        before = known.get(source, 0)
        if place.position > before:
            passed[source] = [(before, place.position)]
            if source in known:
                lost[source] = passed[source]
                warnings.append(Gap(place.label, before, place.position).said())
            else:
                removed.append(_none(source, before, place.position))
    warnings += [gone(source, known[source]) for source in known if source not in at.places]
    memory = Memory()
    if passed:
        whole = Landed(done=passed, removed=tuple(removed), lost=lost)
        committer.commit([whole], {}, book=False)
        if not state.totals.get(plan.processed):
            # No row has landed yet, so the dedupe knows all of them.
            now = committer.ask()
            memory = Memory(Asked(now.seq, now.snapshots.get(plan.processed)))
    return Begun(at.positions, memory, tuple(warnings))


def _none(source: str, start: int, end: int) -> Removed:
    """Say why positions have no rows."""
    return Removed(
        source=source,
        destiny=Destiny.FILTERED,
        step=SOURCE_STEP,
        rule=BEFORE,
        rows=0,
        first=start,
        last=end - 1,
        packed=b"",
        width=1,
    )
