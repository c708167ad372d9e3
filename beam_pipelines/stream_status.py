"""What is known of a pipeline's stream: from its record, its lake and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from beam_pipelines.stream_gaps import Gap, gaps, skips, vanished
from beam_pipelines.stream_lag import Behind, behind, ends
from schemas.errors import PenstockError
from schemas.plan import Plan
from transforms.commit import journal
from transforms.commit.journal import Entry
from transforms.commit.lake import Lake
from transforms.commit.ranges import Ranges, size
from transforms.continuous.positions import DonePositions
from transforms.sources.streams.vector import Place

_RECENT: Final = 12
_RATE_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Landed:
    """What a lake and a source say of a stream.

    Attributes:
        seq: The last commit, 0 if there is none.
        at: When it was made.
        rows: Rows of `processed_data`.
        rows_per_second: Messages landed by the last commits, by the time between them; None if
            fewer than two are recent.
        gaps: What was to be read and was passed over, being gone.
        lag: Partitions of which something has not landed; None: not known, or there is no stream.
        notes: What could not be found out, and why.
    """

    seq: int = 0
    at: datetime | None = None
    rows: int = 0
    rows_per_second: float | None = None
    gaps: list[Gap] = field(default_factory=list)
    lag: list[Behind] | None = None
    notes: list[str] = field(default_factory=list)


def landed(plan: Plan, lake: Lake | None, now: datetime | None = None) -> Landed:
    """Look at a lake, writing nothing, and ask the source for its ends."""
    notes: list[str] = []
    done, entries, files = Ranges(), list[Entry](), set[str]()
    seq = rows = 0
    if lake is not None and lake.exists():
        last = lake.last_done()
        seq, rows = last.seq, last.totals.get(plan.processed, 0)
        done = DonePositions(lake)()
        recent = journal.tail(lake.commits(), max(seq - _RECENT, 0))
        entries = [e for e in recent if e.state == "done"]
        files = set(lake.read(plan.operations("sources"), ["source"])["source"].to_pylist())
    lag = None
    places: Mapping[str, Place] = {}
    try:
        if plan.stream is not None:
            places = ends(plan)
            lag = behind(places, done)
            if skips(plan):
                notes += vanished({s: done[s] for s in done if s not in files}, places)
    except PenstockError as error:
        notes.append(f"lag is not known: {error}")
    return Landed(
        seq=seq,
        at=entries[-1].at if entries else None,
        rows=rows,
        rows_per_second=rate(entries, datetime.now(UTC) if now is None else now),
        gaps=gaps(lake, plan, places) if lake is not None and seq else [],
        lag=lag,
        notes=notes,
    )


def rate(entries: list[Entry], now: datetime) -> float | None:
    """Return messages a second over recent commits; None if fewer than two are recent."""
    recent = [
        entry
        for entry in entries
        if entry.op == "append" and (now - entry.at).total_seconds() < _RATE_S
    ]
    if len(recent) < 2:
        return None
    seconds = (recent[-1].at - recent[0].at).total_seconds()
    return sum(size(entry.done) for entry in recent[1:]) / max(seconds, 1e-3)
