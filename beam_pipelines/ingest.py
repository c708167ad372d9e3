"""The pipeline: `steps` wires the middle of what a plan says, `build` adds its edges."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from beam_pipelines.commit_once import Commit
from schemas.plan import Plan
from transforms.admit import Admit, Read
from transforms.aggregate.windowed import AggregateWindows
from transforms.commit.lake import Lake
from transforms.commit.landed import Landed
from transforms.commit.removed import fold_removed
from transforms.deduplicate import Deduplicate, Held
from transforms.land import CommitOnce, WriteFiles
from transforms.progress import Progress
from transforms.sources.slices import COLUMNAR, Slice
from transforms.spill import Spill

_PACKED: Final = 10


class Outputs(NamedTuple):
    """What the middle of the pipeline makes of the slices."""

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    reads: PCollection[Read]
    footprints: PCollection[pa.RecordBatch]
    changes: PCollection[Landed]
    panes: dict[str, PCollection[pa.RecordBatch]]


OpenPipeline = Callable[[], AbstractContextManager[beam.Pipeline]]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How a run is carried out, which never changes what it gives.

    Attributes:
        threads: Threads of our DoFns (1 on clusters, whose runner owns parallelism).
        spill: Where rows wait for the dedupe's answer; None: in the PCollection.
        progress: Counts for a person's screen, or None.
        key_bytes: What the runner can gather of one key in memory; None: as much as there is.
        partitions: Hash partitions that keep keys below `key_bytes`; None: as few as the plan says.
        open_pipeline: Opens a pipeline on the runner, which has run when its block ends.
    """

    open_pipeline: OpenPipeline
    threads: int = 1
    spill: Spill | None = None
    progress: Progress | None = None
    key_bytes: int | None = None
    partitions: int | None = None


def partitioned(engine: Engine, plan: Plan, slices: Sequence[Slice]) -> Engine:
    """Choose hash partitions for what is read, so that no key outgrows the runner.

    An id takes 44 bytes in the shuffle, a record in a text file hardly fewer; packed files hold
    about ten times what they take.
    """
    if engine.key_bytes is None:
        return engine
    stored = {one.path: (one.identity.size, one.format, one.compression) for one in slices}
    size = sum(
        stored_bytes * (_PACKED if form in COLUMNAR or compression != "none" else 1)
        for stored_bytes, form, compression in stored.values()
    )
    return replace(engine, partitions=max(plan.hash_partitions, -(-size // engine.key_bytes)))


def steps(slices: PCollection[Slice], plan: Plan, engine: Engine, held: Held | None) -> Outputs:
    """Wire the middle: admit with row steps, deduplicate, the aggregates. Tests call this."""
    admitted = slices | Admit(plan, engine.threads, engine.progress)
    rows, removed = admitted.rows, [admitted.removed]
    if (dedupe := plan.deduplicate) is not None:
        deduplicated = rows | dedupe.id >> Deduplicate(
            step=dedupe.id,
            by=tuple(dedupe.parameters["by"]),
            horizon_us=dedupe.parameters["horizon_us"],
            event_time=plan.contract.event_time_column,
            key=(secrets.randbits(63), secrets.randbits(63)),
            partitions=engine.partitions or plan.hash_partitions,
            spill=engine.spill,
            held=held,
            threads=engine.threads,
        )
        rows = deduplicated.rows
        removed.append(deduplicated.removed)
    panes = {
        # Windows of a hundred days are keys of their own; sessions have none but their group's.
        a.name: rows
        | a.name
        >> AggregateWindows(
            a,
            engine.partitions or (plan.hash_partitions if a.sessions else 1),
            threads=engine.threads,
        )
        for a in plan.aggregates
    }
    return Outputs(
        rows,
        admitted.refused,
        tuple(removed) | "AllRemoved" >> beam.Flatten(),
        admitted.reads,
        admitted.footprints,
        admitted.changes,
        panes,
    )


def build(
    root: beam.Pipeline,
    plan: Plan,
    engine: Engine,
    lake: Lake,
    slices: Sequence[Slice],
    commit: Commit,
    held: Held | None,
) -> None:
    """Add the edges: the slices that are read, and the lake that the outputs land in."""
    outputs = steps(
        root | "Slices" >> beam.Create(slices).with_output_types(Slice), plan, engine, held
    )
    refused = plan.operations("refused")
    kept_files = outputs.rows | "Lake" >> WriteFiles(
        lake.table_info(plan.processed), (), engine.threads, engine.progress
    )
    refused_files = outputs.refused | "DeadLetters" >> WriteFiles(
        lake.table_info(refused),
        (("contract_version", plan.contract.version), ("run_id", commit.run_id)),
    )
    removed = outputs.removed | "Removed" >> beam.Map(
        lambda batch: Landed(removed=fold_removed(batch))
    ).with_output_types(Landed)
    landed = (kept_files, refused_files, removed, outputs.changes) | "Landed" >> beam.Flatten()
    _ = landed | CommitOnce(commit, outputs.reads, outputs.footprints, outputs.panes)
