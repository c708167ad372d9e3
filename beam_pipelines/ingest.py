"""The pipeline: `build` wires what a plan says, `ingest` runs it once over a batch source."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from schemas.names import Destiny
from schemas.plan import Plan
from schemas.plan_json import to_json
from transforms.admit import Admit, Read
from transforms.aggregate.windowed import AggregateWindows
from transforms.commit.committer import Committed, Committer
from transforms.commit.follow import FollowerTooFarError, commits_after
from transforms.commit.lake import Lake, open_lake
from transforms.commit.landed import Landed
from transforms.commit.near import RowsNear
from transforms.decode.preflight import check_files
from transforms.deduplicate import Deduplicate, Held
from transforms.keys import DEFAULT_REFERENCE, make_default_key
from transforms.land import CommitOnce, Reads, UnbalancedError, WriteFiles
from transforms.middle import Refine, RowSteps, around_deduplicate
from transforms.progress import Progress
from transforms.sinks.warehouse import Loaded, Warehouse, WarehouseBusyError
from transforms.sources.files import Discovery, Slice, discover
from transforms.sources.identity import remember, remembered
from transforms.sources.memory import base_of
from transforms.spill import Spill, open_spill

_NEW_KEY = (
    "the key of this pipeline was gone and a new one was made: pseudonyms and sealed records of "
    "earlier runs are of the old key; restore .penstock-key if you can"
)


class Outputs(NamedTuple):
    """What the middle of the pipeline makes of the slices."""

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    reads: PCollection[Read]
    footprints: PCollection[pa.RecordBatch]
    panes: dict[str, PCollection[pa.RecordBatch]]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How a run is carried out, which never changes what it gives.

    Attributes:
        threads: Threads of our DoFns (1 on clusters, whose runner owns parallelism).
        spill: Where rows wait for the dedupe's answer; None: in the PCollection.
        progress: Counts for a person's screen, or None.
        open_pipeline: Opens a pipeline on the runner.
    """

    open_pipeline: Callable[[], beam.Pipeline]
    threads: int = 1
    spill: Spill | None = None
    progress: Progress | None = None


def steps(slices: PCollection[Slice], plan: Plan, engine: Engine, held: Held | None) -> Outputs:
    """Wire the middle: admit with row steps, deduplicate, the aggregates. Tests call this."""
    before, dedupe, after = around_deduplicate(plan)
    admitted = slices | Admit(plan, before, engine.threads, engine.progress)
    rows, removed, refused = admitted.rows, [admitted.removed], [admitted.refused]
    if dedupe is not None:
        deduplicated = rows | dedupe.id >> Deduplicate(
            step=dedupe.id,
            by=tuple(dedupe.parameters["by"]),
            horizon_us=dedupe.parameters["horizon_us"],
            event_time=plan.contract.event_time_column,
            key=(secrets.randbits(63), secrets.randbits(63)),
            partitions=plan.hash_partitions,
            spill=engine.spill,
            held=held,
            threads=engine.threads,
        )
        rows = deduplicated.rows
        removed.append(deduplicated.removed)
    if after:
        refined = rows | Refine(plan, after, threads=engine.threads)
        rows = refined.rows
        removed.append(refined.removed)
        refused.append(refined.refused)
    panes = {
        a.name: rows | a.name >> AggregateWindows(a, threads=engine.threads)
        for a in plan.aggregates
    }
    return Outputs(
        rows,
        tuple(refused) | "AllRefused" >> beam.Flatten(),
        tuple(removed) | "AllRemoved" >> beam.Flatten(),
        admitted.reads,
        admitted.footprints,
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
        lambda batch: Landed(removed=batch)
    ).with_output_types(Landed)
    landed = (kept_files, refused_files, removed) | "Landed" >> beam.Flatten()
    _ = landed | CommitOnce(commit, outputs.reads, outputs.footprints, outputs.panes)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What the one committer of a batch run does; its result goes to a small file of the run."""

    plan: Plan
    run_id: str
    started: float
    recompute: tuple[str, ...]
    rebuild: bool
    result: str

    def __call__(
        self,
        reads: Reads,
        footprints: Sequence[pa.RecordBatch],
        landed: Sequence[Landed],
        panes: dict[str, pa.Table],
    ) -> str:
        """Balance what was read against what became of it, then commit."""
        counts = _destinies(self.plan, reads, landed)
        lake = open_lake(self.plan)
        committed = _committer(lake, self.plan, self.run_id, self.started).commit(
            [*landed, Landed(done=reads.done)],
            panes,
            sources=pa.Table.from_batches([remember(footprints)]),
            recompute=self.recompute,
            rebuild=self.rebuild,
        )
        text = json.dumps({"rows": counts, "committed": _summary(committed)})
        Path(self.result).write_text(text, encoding="utf-8")
        return text


def _committer(lake: Lake, plan: Plan, run_id: str, started: float) -> Committer:
    text = json.dumps(to_json(plan))
    return Committer(lake, plan, run_id=run_id, started=started, plan_text=text)


def _summary(committed: Committed | None) -> dict[str, Any] | None:
    if committed is None:
        return None
    return {"commit_id": committed.commit_id, "seq": committed.seq, "added": committed.added}


def _destinies(plan: Plan, reads: Reads, landed: Sequence[Landed]) -> dict[str, int]:
    """Count what this run read by destiny; a record without a destiny fails the run."""
    counts = dict.fromkeys(("read", *(d.value for d in Destiny)), 0)
    counts["read"] = sum(reads.records.values())
    for one in landed:
        for table, files in one.files.items():
            destiny = Destiny.KEPT if table == plan.processed else Destiny.REFUSED
            counts[destiny.value] += sum(f.record_count for f in files)
        if one.removed is not None:
            for entry in one.removed["destiny"].value_counts().to_pylist():
                counts[entry["values"]] += entry["counts"]
    total = sum(counts[d.value] for d in Destiny)
    if total != counts["read"]:
        msg = (
            f"every record read must have one destiny; read {counts['read']} but kept, refused and "
            f"removed {total}; a step loses or makes rows: nothing was written"
        )
        raise UnbalancedError(msg)
    return counts


@dataclass(kw_only=True)
class Result:
    """What a run did, as `--json` prints it."""

    run_id: str
    plan: Plan
    seconds: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    warehouse: dict[str, dict[str, int]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """Return the object of design: field names and order are an interface."""
        return {
            "run_id": self.run_id,
            "pipeline": self.plan.name,
            "runner": self.plan.runner,
            "mode": self.plan.mode,
            "cloud": self.plan.cloud,
            "seconds": round(self.seconds, 3),
            "rows": self.rows,
            "tables": self.tables,
            "warehouse": self.warehouse,
            "warnings": self.warnings,
        }


def ingest(
    plan: Plan,
    open_pipeline: Callable[[], beam.Pipeline],
    *,
    threads: int,
    rebuild: bool = False,
    watch: Callable[[Discovery, Progress], Any] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a plan over its batch source: read, land, commit, load the warehouse.

    Nothing is visible before the commit, and a run that is killed leaves no half of one.

    Args:
        plan: What to run.
        open_pipeline: Opens a pipeline on the runner.
        threads: Threads of our kernels in one worker.
        rebuild: Build this pipeline's tables anew from the whole source, in one commit.
        watch: Called with what was found, before the first row is read.
        progress: Counters that workers add to.

    Raises:
        PenstockError: The source, a lookup or the lake is not as it must be.
    """
    began, started = time.monotonic(), time.time()
    result = Result(run_id=uuid.uuid4().hex, plan=plan)
    lake = open_lake(plan)
    lake.prepare(plan)
    committer = _committer(lake, plan, result.run_id, started)
    state = committer.ask()
    found = discover(
        plan.source,
        plan.folder,
        {} if rebuild or state.sources is None else remembered(state.sources),
    )
    check_files(plan.contract, plan.source, found.slices)
    result.warnings += [f"unchanged, not read again: {name}" for name in found.unchanged]
    own_key = plan.contract.classified and plan.secret == DEFAULT_REFERENCE
    if own_key and make_default_key(plan.folder) and state.seq:
        result.warnings.append(_NEW_KEY)
    if rebuild and (gone := _gone(state.sources, found)):
        result.warnings.append(
            f"landed before, not in the source now, so not in the rebuilt tables: {', '.join(gone)}"
        )
    RowSteps(plan, tuple(s for s in plan.steps if s.kind != "deduplicate")).setup()
    old, recompute = _old_logic(lake, plan)
    if old and not rebuild:
        result.warnings.append(old)
    if watch is not None and progress is not None:
        watch(found, progress)
    rows = dict.fromkeys(("read", *(d.value for d in Destiny)), 0)
    added: dict[str, int] = {}
    if found.slices or rebuild:
        outcome = _run(
            plan, open_pipeline, lake, found, result, threads, progress, started, rebuild, recompute
        )
        rows, committed = outcome["rows"], outcome["committed"]
        added = committed["added"] if committed else {}
    elif recompute:
        done = committer.commit([], {}, sources=None, recompute=recompute)
        added = done.added if done else {}
    result.rows = rows
    if found.slices and not rows["read"]:
        result.warnings.append("the files that were read hold no records")
    if not added:
        result.warnings.append("nothing new: every table is as it was")
    result.tables = {
        name: {"rows": count, "added": added.get(name, 0)}
        for name, count in lake.row_counts().items()
    }
    if "warehouse" in plan.sinks:
        _follow(lake, plan, result)
    result.seconds = time.monotonic() - began
    return result


def _run(
    plan: Plan,
    open_pipeline: Callable[[], beam.Pipeline],
    lake: Lake,
    found: Discovery,
    result: Result,
    threads: int,
    progress: Progress | None,
    started: float,
    rebuild: bool,  # noqa: FBT001
    recompute: tuple[str, ...],
) -> dict[str, Any]:
    out = plan.out / "lake"
    spill = open_spill(out / ".spill", result.run_id)
    answer = Path(spill.folder) / "result.json"
    commit = Commit(
        plan=plan,
        run_id=result.run_id,
        started=started,
        recompute=recompute,
        rebuild=rebuild,
        result=str(answer),
    )
    engine = Engine(open_pipeline=open_pipeline, threads=threads, spill=spill, progress=progress)
    try:
        held = None if rebuild else _rows_near(lake, plan)
        with open_pipeline() as root:
            build(root, plan, engine, lake, found.slices, commit, held)
        return json.loads(answer.read_text(encoding="utf-8"))
    finally:
        spill.remove()


def _gone(known: pa.Table | None, found: Discovery) -> list[str]:
    """Name sources that landed and that a run over the whole source does not read."""
    here = {one.source for one in found.slices}
    landed = [] if known is None else known["source"].to_pylist()
    return sorted({base_of(name) for name in landed} - here)


def _old_logic(lake: Lake, plan: Plan) -> tuple[str, tuple[str, ...]]:
    """Say which tables hold rows of another logic, and which aggregates must be computed anew."""
    deployed = lake.deployed_plan()
    if deployed is None:
        return "", ()
    aggregates = tuple(
        a.name
        for a in plan.aggregates
        if deployed.held.get(part := f"aggregate:{a.name}") != frozenset([plan.parts[part]])
    )
    changed = [
        p for p in ("contract", "steps") if deployed.held.get(p) != frozenset([plan.parts[p]])
    ]
    if not changed:
        return "", aggregates
    text = (
        f"{' and '.join(changed)} changed since rows landed: {plan.processed} and all tables made "
        "of it hold rows of the old logic; `penstock run --rebuild` builds them anew"
    )
    return text, aggregates


def _rows_near(lake: Lake, plan: Plan) -> Held | None:
    """Rows of the lake that join the dedupe shuffle; None while nothing has landed."""
    by = [step.parameters["by"] for step in plan.steps if step.kind == "deduplicate"]
    if not by or plan.processed not in lake.last_done().snapshots:
        return None
    return RowsNear(plan, tuple(by[0]))


def _follow(lake: Lake, plan: Plan, result: Result) -> None:
    warehouse = Warehouse(plan, plan.out / "warehouse.duckdb")
    try:
        loaded: Loaded = warehouse.load(commits_after(lake, warehouse.seq()))
    except (WarehouseBusyError, FollowerTooFarError) as error:
        result.warnings.append(str(error))
        return
    result.warehouse = {
        name: {"rows": count, "added": loaded.added[name]} for name, count in loaded.rows.items()
    }
