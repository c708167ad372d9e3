"""One run over a batch source: find what is new, land it, commit, load the warehouse."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from beam_pipelines.balance import Balance
from beam_pipelines.commit_once import Commit, committer
from beam_pipelines.failures import fate, told
from beam_pipelines.ingest import Engine, build, partitioned
from beam_pipelines.noticed import landed_before, none_kept, shortened
from schemas.errors import SourceError
from schemas.kafka_sink import kafka_sink
from schemas.names import Destiny
from schemas.plan import Plan
from transforms.changes.seen import Change
from transforms.commit.follow import FollowerTooFarError
from transforms.commit.lake import Deployed, Lake, open_lake
from transforms.commit.near import Asked, RowsNear
from transforms.commit.state import State
from transforms.decode.preflight import check_files
from transforms.deduplicate import Held
from transforms.keys import keep_key
from transforms.middle import RowSteps
from transforms.progress import Progress
from transforms.sinks.duckdb_file import WarehouseBusyError
from transforms.sinks.warehouse import Warehouse
from transforms.sources.files import Discovery, discover
from transforms.sources.identity import remembered
from transforms.spill import open_spill


class SourceGoneError(SourceError):
    """A rebuild would lose rows: what they were read from is no longer there."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person asks for beside the plan.

    Attributes:
        rebuild: Build this pipeline's tables anew from the whole source, in one commit.
        forget_missing: A rebuild goes on without what landed and is no longer in the source.
        new_key: Go on without the keys that landed rows were protected with.
    """

    rebuild: bool = False
    forget_missing: bool = False
    new_key: bool = False


@dataclass(kw_only=True)
class Result:
    """What a run did, as `--json` prints it."""

    run_id: str
    plan: Plan
    seconds: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    warehouse: dict[str, dict[str, int]] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    destinies: list[dict[str, Any]] = field(default_factory=list)
    changes: tuple[Change, ...] = ()
    job: dict[str, Any] | None = None
    balance: Balance | None = None

    def json(self) -> dict[str, Any]:
        """Return the object of design: field names and order are an interface."""
        told = {
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
            "sent": self.sent,
            "changes": [change.told() for change in self.changes],
        }
        return told if self.job is None else told | {"job": self.job}


def ingest(
    plan: Plan,
    engine: Engine,
    *,
    options: Options = Options(),
    watch: Callable[[Discovery, Progress], Any] | None = None,
) -> Result:
    """Run a plan over its batch source: read, land, commit, load the warehouse.

    Nothing is visible before the commit, and a run that is killed leaves no half of one.

    Args:
        plan: What to run.
        engine: How it is carried out.
        options: What else is asked for.
        watch: Called with what was found, before the first row is read.

    Raises:
        PenstockError: The source, a lookup, a key or the lake is not as it must be; or something
            failed that nobody thought of (failures.UnexpectedError), named by class and place.
    """
    began, started = time.monotonic(), time.time()
    result = Result(run_id=uuid.uuid4().hex, plan=plan)
    lake = open_lake(plan)
    with told(plan, lambda: fate(lake, result.run_id)):
        state, keys, recompute = ready(lake, result, options, started)
        found = _discover(plan, state, options, result)
        RowSteps(plan).setup()
        if watch is not None and engine.progress is not None:
            watch(found, engine.progress)
        result.rows = dict.fromkeys(("read", *(d.value for d in Destiny)), 0)
        added: dict[str, int] = {}
        if found.slices or options.rebuild:
            commit = Commit(
                plan=plan,
                run_id=result.run_id,
                started=started,
                recompute=recompute,
                rebuild=options.rebuild,
                asked=Asked(state.seq, state.snapshots.get(plan.processed)),
                found=found,
                keys=keys,
            )
            outcome = _run(lake, commit, engine)
            result.rows, committed = outcome["rows"], outcome["committed"]
            result.destinies = outcome["destinies"]
            result.changes = tuple(map(Change.of_json, outcome["changes"]))
            if committed:
                added = committed["added"]
                result.warnings += committed["notes"]
            if plan.deduplicate is None:
                known = None if options.rebuild else state.sources
                result.warnings += landed_before(known, outcome["sources"])
        elif recompute:
            last = committer(lake, plan, result.run_id, started, keys)
            done = last.commit([], {}, sources=None, recompute=recompute)
            added = done.added if done else {}
            result.warnings += done.notes if done else ()
        if found.slices and not result.rows["read"]:
            result.warnings.append("the files that were read hold no records")
        if result.rows["read"] and not result.rows["kept"]:
            result.warnings.append(none_kept(result.rows, result.destinies))
        if not added:
            result.warnings.append("nothing new: every table is as it was")
        result.tables = {
            name: {"rows": count, "added": added.get(name, 0)}
            for name, count in lake.row_counts().items()
        }
        follow_all(lake, plan, result)
    result.seconds = time.monotonic() - began
    return result


class Ready(NamedTuple):
    """What a run over a lake begins from.

    Attributes:
        state: The lake, all commits ended.
        keys: Ids of the keys that its rows may be of, by spaces.
        recompute: Aggregates that must be computed anew.
    """

    state: State
    keys: str | None
    recompute: tuple[str, ...]


def ready(lake: Lake, result: Result, options: Options, started: float) -> Ready:
    """Finish what a dead run left, check the keys, fit the tables to the plan."""
    plan = result.plan
    own = committer(lake, plan, result.run_id, started)
    if lake.exists():
        own.ask()  # A commit that a dead run left open is finished first.
    deployed = lake.deployed_plan() if lake.exists() else None
    keys = _keys(plan, deployed, options, result)
    lake.prepare(plan)
    old, recompute = _old_logic(deployed, plan)
    if old and not options.rebuild:
        result.warnings.append(old)
    return Ready(own.ask(), keys, recompute)


def _keys(plan: Plan, deployed: Deployed | None, options: Options, result: Result) -> str | None:
    """Check the keys of the run; return the ids of those that the tables' rows may be of."""
    used = frozenset[str]() if deployed is None else deployed.keys
    if not plan.contract.classified:
        if options.rebuild:
            return ""
        return None if used is None else " ".join(sorted(used))
    ring = keep_key(plan.secret, plan.folder, used, anew=options.new_key)
    lost = sorted(set(used or ()) - set(ring.ids))
    if lost and not options.rebuild:
        result.warnings.append(
            f"rows landed before are protected with a key that is lost ({', '.join(lost)}): their "
            f"pseudonyms do not join with those of the new one ({ring.newest.id})"
        )
    kept = () if options.rebuild or used is None else set(used) & set(ring.ids)
    return " ".join(sorted({*kept, ring.newest.id}))


def _discover(plan: Plan, state: State, options: Options, result: Result) -> Discovery:
    """Find what is to be read; a rebuild must find everything that has landed."""
    known = remembered(state.sources)
    found = discover(plan.source, plan.folder, known, anew=options.rebuild)
    if options.rebuild:
        here = {one.source for one in found.slices}
        gone = sorted(s for s, one in known.items() if s not in here and not one.forgotten)
        if gone and not options.forget_missing:
            msg = (
                "a rebuild must read everything that has landed; got files that are gone, or hold "
                f"something else now: {shortened(gone)}; put them back, or go on without their "
                "rows with --rebuild --forget-missing; nothing was written"
            )
            raise SourceGoneError(msg)
        if gone:
            result.warnings.append(
                f"forgotten, not in the source now, so not in the rebuilt tables: {shortened(gone)}"
            )
    check_files(plan.contract, plan.source, found.slices)
    if found.unchanged:
        result.warnings.append(f"unchanged, not read again: {shortened(found.unchanged)}")
    return found


def _run(lake: Lake, commit: Commit, engine: Engine) -> dict[str, Any]:
    """Run the pipeline over what was found; return what its committer said."""
    plan = commit.plan
    spill = open_spill(plan.out / "lake" / ".spill", commit.run_id)
    answer = Path(spill.folder) / "result.json"
    held = None if commit.rebuild else _rows_near(plan, commit.asked)
    try:
        with engine.open_pipeline() as root:
            build(
                root,
                plan,
                partitioned(replace(engine, spill=spill), plan, commit.found.slices),
                lake,
                commit.found.slices,
                replace(commit, result=str(answer)),
                held,
            )
        return json.loads(answer.read_text(encoding="utf-8"))
    finally:
        spill.remove()


def _old_logic(deployed: Deployed | None, plan: Plan) -> tuple[str, tuple[str, ...]]:
    """Say which tables hold rows of another logic, and which aggregates must be computed anew."""
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


def _rows_near(plan: Plan, asked: Asked) -> Held | None:
    """Rows of the lake that join the dedupe shuffle; None while nothing has landed."""
    if plan.deduplicate is None or asked.snapshot is None:
        return None
    return RowsNear(plan, tuple(plan.deduplicate.parameters["by"]), asked.snapshot)


FOLLOWERS: Final = frozenset({"warehouse", "kafka"})
"""Sinks that follow the lake."""


def follow_all(lake: Lake, plan: Plan, result: Result) -> None:
    """Bring every sink that follows the lake up to it."""
    if "warehouse" in plan.sinks:
        follow(lake, plan, result)
    if "kafka" in plan.sinks:
        publish(lake, plan, result)


def follow(lake: Lake, plan: Plan, result: Result) -> None:
    """Bring the warehouse up to the lake; one that is busy is a warning."""
    warehouse = Warehouse(plan, plan.out / "warehouse.duckdb")
    try:
        loaded = warehouse.load(lake)
    except (WarehouseBusyError, FollowerTooFarError) as error:
        result.warnings.append(str(error))
        return
    if loaded.note:
        result.warnings.append(loaded.note)
    result.warehouse = loaded.tables()


def publish(lake: Lake, plan: Plan, result: Result) -> None:
    """Send to Kafka what the lake has and was not sent; a lake it does not know is a warning.

    Raises:
        KafkaSinkError: Something could not be sent; `penstock load` sends it later.
        SourceError: Brokers or registry do not answer.
    """
    from transforms.sinks.kafka import KafkaOutbox  # noqa: PLC0415  few pipelines need it

    sink = kafka_sink(plan)
    if sink is None:
        return
    try:
        sent = KafkaOutbox(plan, sink).load(lake)
    except FollowerTooFarError as error:
        result.warnings.append(f"kafka: {error}")
        return
    for table, rows in sent.rows.items():
        result.sent[table] = result.sent.get(table, 0) + rows
