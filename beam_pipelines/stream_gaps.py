"""What a stream was to read and did not, since it was gone: by the ledger and by the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThan

from schemas.names import SOURCE
from schemas.plan import Plan
from transforms.commit.lake import Lake
from transforms.commit.ledger import GAP
from transforms.commit.ranges import Ranges
from transforms.sources.streams.vector import Place


@dataclass(frozen=True)
class Gap:
    """Positions of one partition that retention removed before they were read.

    Attributes:
        label: What people call the partition.
        start: First of them.
        end: Where reading went on.
        seq: The commit that passed over them.
        at: When.
    """

    label: str
    start: int
    end: int
    seq: int = 0
    at: datetime | None = None

    def said(self) -> str:
        """Say it to a person."""
        return (
            f"passed over: {self.end - self.start} positions of {self.label}, from {self.start} "
            f"to {self.end - 1}, were gone"
        )


def skips(plan: Plan) -> bool:
    """Whether a stream passes over what is gone (`on_gap: skip`); else it ends."""
    return plan.stream is not None and plan.stream.kafka.on_gap == "skip"


def gaps(
    lake: Lake, plan: Plan, places: Mapping[str, Place], *, run_id: str = "", after: int = 0
) -> list[Gap]:
    """Return what the ledger says was passed over (`on_gap: skip`), in the order of commits.

    Args:
        lake: Prepared for the plan.
        plan: Whose ledger.
        places: Name the partitions.
        run_id: Of this run only; empty: of all.
        after: Of commits behind this one only.
    """
    wanted: BooleanExpression = And(EqualTo("rule", GAP), GreaterThan("seq", after))
    if run_id:
        wanted = And(wanted, EqualTo("run_id", run_id))
    columns = ["seq", "at", SOURCE, "ranges"]
    rows = lake.read(plan.operations("ledger"), [*columns, "rule", "run_id"], wanted)
    found = []
    for row in rows.select(columns).to_pylist():
        place = places.get(row[SOURCE])
        label = place.label if place is not None and place.label else row[SOURCE]
        found += [Gap(label, r["start"], r["end"], row["seq"], row["at"]) for r in row["ranges"]]
    return sorted(found, key=lambda gap: (gap.seq, gap.label, gap.start))


def gone(source: str, position: int) -> str:
    """Say that a partition is not there any more, with its topic or another one in its place."""
    return f"passed over: {source} is gone, read up to {position}"


def vanished(done: Ranges, places: Mapping[str, Place]) -> list[str]:
    """Say which partitions that were read are not there any more.

    Args:
        done: Their positions that are done.
        places: What is there.
    """
    return [gone(source, done[source][-1][1]) for source in sorted(done) if source not in places]
