"""The pipeline as a stream: `steps_stream` wires the middle, `build_stream` adds the lake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from beam_pipelines.commit_once import committer
from schemas.durations import parse_duration
from schemas.plan import Plan
from transforms.commit.lake import Lake, open_lake
from transforms.continuous.admit import AdmitMessages, Asking
from transforms.continuous.commit import CommitContinuously
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.deduplicate import AnswerIds
from transforms.continuous.gather import Gather
from transforms.continuous.id_key import IdKey
from transforms.continuous.in_process import InProcess
from transforms.continuous.land import Landing, Shipment
from transforms.continuous.messages import Messages
from transforms.continuous.seen import Stay

_EVERY = "60s"


class Outputs(NamedTuple):
    """What the middle of a stream makes of raw messages: whole positions, in files."""

    shipments: PCollection[Shipment]


@dataclass(frozen=True, kw_only=True)
class StreamEngine:
    """How a stream is carried out, which never changes what it gives.

    Attributes:
        run_id: Names the run.
        started: When it began, seconds since the epoch.
        messages: What decodes raw messages.
        key: Two secret seeds of the id hash, or what derives them; the same when a stream is
            resumed.
        shards: Keys that rows wait under.
        keys: Ids of the keys that rows may be protected with, by spaces.
        ticks: Whether the runner waits for timers of the clock; if not, a bounded input lands at
            its end.
        soon_us: Commits are at most so far apart, whatever the plan says: the end of a bounded
            input waits for the last tick. None: as the plan says.
        begun: What the dedupe knows of the lake when there is no checkpoint.
        here: What a stream keeps in this process, where workers are its threads and the runner has
            no checkpoints. None: rows and ids are in the runner's state.
    """

    run_id: str
    started: float
    messages: Messages
    key: tuple[int, int] | IdKey
    shards: int = 2
    keys: str | None = ""
    ticks: bool = True
    soon_us: int | None = None
    begun: Memory = field(default_factory=Memory)
    here: InProcess | None = None


@dataclass(frozen=True)
class MakeCommitter:
    """Opens the lake in a worker and makes the stream's committer; pickles."""

    plan: Plan
    run_id: str
    started: float
    keys: str | None = ""

    def __call__(self) -> StreamCommitter:
        """Make it; nothing is read yet."""
        plan = self.plan
        own = committer(open_lake(plan), plan, self.run_id, self.started, self.keys)
        return StreamCommitter(own, plan)


def commit_every_us(plan: Plan) -> int:
    """Return `sinks.lake.commit_every` in microseconds; 60 s if it is not given."""
    return parse_duration(plan.sinks.get("lake", {}).get("commit_every", _EVERY))


def _every_us(plan: Plan, engine: StreamEngine) -> int:
    every = commit_every_us(plan)
    if engine.soon_us is not None:
        every = min(every, engine.soon_us)
    return every if engine.ticks else 0


def steps_stream(
    raw: PCollection[pa.RecordBatch], plan: Plan, engine: StreamEngine, lake: Lake
) -> Outputs:
    """Wire the middle: admit, answer ids, gather what is whole. Tests call this.

    Args:
        raw: Raw messages (`transforms.sources.streams.raw.raw_schema`) in the global window.
        plan: What runs.
        engine: How.
        lake: Prepared for the plan.
    """
    dedupe = plan.deduplicate
    asking = None
    if dedupe is not None:
        asking = Asking(
            by=tuple(dedupe.parameters["by"]),
            event_time=plan.contract.event_time_column,
            key=engine.key,
            partitions=plan.hash_partitions,
            stay=Stay(
                horizon_us=dedupe.parameters["horizon_us"],
                lateness_us=max((a.window.allowed_lateness_us for a in plan.aggregates), default=0),
            ),
            step=dedupe.id,
        )
    admitted = raw | AdmitMessages(plan, engine.messages, asking, engine.shards, engine.here)
    held = admitted.parcels
    if asking is not None and engine.here is None:
        stay = asking.stay
        answers = admitted.ids | asking.step >> AnswerIds(
            horizon_us=stay.horizon_us, lateness_us=stay.lateness_us
        )
        held = (held, answers) | "Held" >> beam.Flatten()
    landing = Landing(
        plan=plan,
        processed=lake.table_info(plan.processed),
        refused=lake.table_info(plan.operations("refused")),
        run_id=engine.run_id,
        dedupe=dedupe.id if dedupe is not None else "",
    )
    shipments = held | "Land" >> Gather(
        landing=landing, every_us=_every_us(plan, engine), here=engine.here
    )
    return Outputs(shipments)


def build_stream(
    raw: PCollection[pa.RecordBatch], plan: Plan, engine: StreamEngine, lake: Lake
) -> PCollection[str]:
    """Add the lake: the ids of the commits that rows land in."""
    outputs = steps_stream(raw, plan, engine, lake)
    make = MakeCommitter(plan, engine.run_id, engine.started, engine.keys)
    return outputs.shipments | "Lake" >> CommitContinuously(
        make=make,
        every_us=_every_us(plan, engine),
        start=replace(engine.begun, asked=replace(engine.begun.asked, began=lake.last_done().seq)),
        delays=engine.soon_us is None,
    )
