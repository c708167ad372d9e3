"""One run over a batch source: find what is new, land it, commit, load the warehouse."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_pipelines.commit_once import Commit, committer
from beam_pipelines.ingest import Engine, build
from beam_pipelines.noticed import gone, landed_before, none_kept, shortened
from schemas.names import Destiny
from schemas.plan import Plan
from transforms.commit.follow import FollowerTooFarError, commits_after
from transforms.commit.lake import Lake, open_lake
from transforms.commit.near import RowsNear
from transforms.decode.preflight import check_files
from transforms.deduplicate import Held
from transforms.keys import DEFAULT_REFERENCE, make_default_key
from transforms.middle import RowSteps
from transforms.progress import Progress
from transforms.sinks.warehouse import Loaded, Warehouse, WarehouseBusyError
from transforms.sources.files import Discovery, discover
from transforms.sources.identity import remembered
from transforms.spill import open_spill

_NEW_KEY = (
    "the key of this pipeline was gone and a new one was made: pseudonyms and sealed records of "
    "earlier runs are of the old key; restore .penstock-key if you can"
)


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
    destinies: list[dict[str, Any]] = field(default_factory=list)

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
            "destinies": self.destinies,
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
    lake_committer = committer(lake, plan, result.run_id, started)
    state = lake_committer.ask()
    found = discover(
        plan.source,
        plan.folder,
        {} if rebuild or state.sources is None else remembered(state.sources),
    )
    check_files(plan.contract, plan.source, found.slices)
    if found.unchanged:
        result.warnings.append(f"unchanged, not read again: {shortened(found.unchanged)}")
    own_key = plan.contract.classified and plan.secret == DEFAULT_REFERENCE
    if own_key and make_default_key(plan.folder) and state.seq:
        result.warnings.append(_NEW_KEY)
    if rebuild and (left := gone(state.sources, found)):
        result.warnings.append(
            f"landed before, not in the source now, so not in the rebuilt tables: {shortened(left)}"
        )
    RowSteps(plan).setup()
    old, recompute = _old_logic(lake, plan)
    if old and not rebuild:
        result.warnings.append(old)
    if watch is not None and progress is not None:
        watch(found, progress)
    rows = dict.fromkeys(("read", *(d.value for d in Destiny)), 0)
    added: dict[str, int] = {}
    if found.slices or rebuild:
        commit = Commit(
            plan=plan,
            run_id=result.run_id,
            started=started,
            recompute=recompute,
            rebuild=rebuild,
        )
        engine = Engine(open_pipeline=open_pipeline, threads=threads, progress=progress)
        outcome = _run(lake, found, commit, engine)
        rows, committed = outcome["rows"], outcome["committed"]
        added = committed["added"] if committed else {}
        result.destinies = outcome["destinies"]
        if plan.deduplicate is None:
            known = None if rebuild else state.sources
            result.warnings += landed_before(known, outcome["sources"])
    elif recompute:
        done = lake_committer.commit([], {}, sources=None, recompute=recompute)
        added = done.added if done else {}
    result.rows = rows
    if found.slices and not rows["read"]:
        result.warnings.append("the files that were read hold no records")
    if rows["read"] and not rows["kept"]:
        result.warnings.append(none_kept(rows, result.destinies))
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


def _run(lake: Lake, found: Discovery, commit: Commit, engine: Engine) -> dict[str, Any]:
    """Run the pipeline over what was found; return what its committer said."""
    plan = commit.plan
    spill = open_spill(plan.out / "lake" / ".spill", commit.run_id)
    answer = Path(spill.folder) / "result.json"
    held = None if commit.rebuild else _rows_near(lake, plan)
    try:
        with engine.open_pipeline() as root:
            build(
                root,
                plan,
                replace(engine, spill=spill),
                lake,
                found.slices,
                replace(commit, result=str(answer)),
                held,
            )
        return json.loads(answer.read_text(encoding="utf-8"))
    finally:
        spill.remove()


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
    dedupe = plan.deduplicate
    if dedupe is None or plan.processed not in lake.last_done().snapshots:
        return None
    return RowsNear(plan, tuple(dedupe.parameters["by"]))


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
