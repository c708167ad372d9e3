"""Makes the plan: contract, pipeline file and flags become one checked, immutable value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas import references
from schemas.contract import Contract
from schemas.contract_file import read_contract
from schemas.errors import Problem, SpecError, UsageError
from schemas.kafka_sink import check_kafka_sink
from schemas.located import Located, NodePath, did_you_mean, dotted, load
from schemas.noted import Noted
from schemas.personal.check import check_personal, released, tainted
from schemas.personal.places import reached
from schemas.pipeline_file import FILE, PipelineFile, file_source, read_pipeline
from schemas.plan import Aggregate, FileSource, Plan
from schemas.planning_aggregates import plan_aggregate
from schemas.planning_steps import Flow
from schemas.planning_tables import plan_tables
from schemas.structure import published
from schemas.user_function import module_file
from schemas.windowing import event_times

RUNNERS: Final = ("direct", "prism", "flink", "spark", "dataflow")
CLOUDS: Final = ("local", "aws", "gcp")
MODES: Final = ("batch", "stream")
RUNNERS_HERE: Final = {"batch": ("direct", "flink"), "stream": ("prism", "flink")}
_CLOUDS_HERE: Final = ("local",)
SINKS_HERE: Final = ("lake", "warehouse", "kafka")
_PACKAGES: Final = ("penstock", "apache-beam", "duckdb", "polars", "pyarrow", "pyiceberg")
_HASH_PARTITIONS: Final = 8
_KEY: Final = "file:.penstock-key"
"""Beside the pipeline, made on first use; `transforms.keys` reads it."""


class Need(NamedTuple):
    """Something of the grammar that the plan needs and this version does not run."""

    at: NodePath
    message: str


def load_plan(
    folder: Path,
    *,
    runner: str = "direct",
    mode: str = "batch",
    cloud: str = "local",
    out: Path | None = None,
    input: str | None = None,  # noqa: A002 - the flag's name
    sinks: Sequence[str] | None = None,
    sets: Sequence[str] = (),
) -> Plan:
    """Check a pipeline folder and make its plan. Reads the two files, no data and no environment.

    Args:
        folder: Holds `pipeline.yaml` and the contract it names.
        runner: direct, prism, flink, spark or dataflow.
        mode: batch or stream.
        cloud: local, aws or gcp.
        out: Where a local run leaves everything; `<folder>/out` by default.
        input: Takes the place of the batch source's path; from the working folder if relative.
        sinks: Only these of the file's sinks; the lake must be among them.
        sets: Overrides of fields of the pipeline file, `a.b.c=value`.

    Raises:
        SpecError: With every problem of both files, or with what this version cannot run.
        UsageError: A flag has no meaning.
    """
    _check_flags(runner=runner, mode=mode, cloud=cloud)
    if mode == "stream" and input is not None:
        msg = "--input must come with a batch; got --stream; use --set source.stream.kafka.topic=T"
        raise UsageError(msg)
    plan, needs, noted = _draft(folder, mode=mode, input=input, sinks=sinks, sets=sets)
    for need in needs:
        noted.add(need.at, need.message)
    noted.raise_all()
    where = (out or folder / "out").absolute()
    return replace(plan, runner=runner, mode=mode, cloud=cloud, out=where)


def check_pipeline(
    folder: Path, sets: Sequence[str] = (), contract: Located | None = None
) -> tuple[Plan, list[Problem]]:
    """Check a pipeline folder whatever runs it, for `validate`.

    Args:
        folder: Holds `pipeline.yaml` and the contract it names.
        sets: Overrides of fields of the pipeline file, `a.b.c=value`.
        contract: Takes the place of what the contract's file says.

    Returns:
        A plan that may need what this version lacks, and what that is.

    Raises:
        SpecError: With every problem of both files.
    """
    plan, needs, noted = _draft(folder, sets=sets, instead=contract)
    located = noted.located
    needs += _elsewhere(plan, noted)
    return plan, [Problem(located.file, located.line(at), message) for at, message in needs]


def _elsewhere(plan: Plan, noted: Noted) -> Iterator[Need]:
    """Yield what only an import can tell: whether a function outside the folder is there."""
    calls = {s.parameters["call"] for s in plan.steps if s.kind == "python"}
    outside = {call for call in calls if module_file(call, plan.folder) is None}
    for i, step in enumerate(noted.located.value.get("steps", ())):
        call = step.get("python", {}).get("call")
        if call in outside:
            at = ("steps", i, "python", "call")
            yield Need(
                at,
                f"`{dotted(at)}` names no module of the folder; got {call!r}; "
                "`plan` and `run` look for an installed one",
            )


def _draft(
    folder: Path,
    *,
    mode: str = "batch",
    input: str | None = None,  # noqa: A002
    sinks: Sequence[str] | None = None,
    sets: Sequence[str] = (),
    instead: Located | None = None,
) -> tuple[Plan, list[Need], Noted]:
    file, noted = read_pipeline(folder, sets)
    problems: list[Problem] = []
    contract = None
    if file.contract and not (folder / file.contract).is_file():
        there = folder / file.contract
        others = [p.name for p in folder.glob("*.yaml") if p.name != FILE and p.is_file()]
        what = ", a folder" if there.is_dir() else ", a broken link" if there.is_symlink() else ""
        must = f"`contract` must name a file of the folder; got {file.contract!r}{what}"
        noted.add(("contract",), f"{must}; {did_you_mean(file.contract, others) or 'add it'}")
    elif file.contract:
        try:
            contract = read_contract(instead or load(folder / file.contract))
        except SpecError as error:
            problems += error.problems
    plan = None
    if contract is not None and file.name:
        plan = _typed(folder.absolute(), file, contract, noted)
    if plan is not None and not problems and not noted:
        reaches = tuple(reached(plan, file))
        problems += check_personal(plan, reaches, noted)
        plan = replace(plan, steps=tainted(plan), released=released(plan, reaches))
    problems += noted.found
    if problems or plan is None:
        raise SpecError(problems)
    if input is not None and file.batch is not None:
        path = input if "://" in input else str(Path(input).absolute())
        plan = replace(plan, source=_moved(noted, file.batch, path))
    plan = replace(plan, sinks=_chosen(plan.sinks, sinks))
    return plan, list(_needs(plan, file, mode)), noted


def _typed(folder: Path, file: PipelineFile, contract: Contract, noted: Noted) -> Plan:
    """Check what needs types; what is wrong is noted, and the plan then of no use."""
    flow = Flow(contract, noted, folder)
    steps = tuple(flow.step(spec) for spec in file.steps)
    aggregates: tuple[Aggregate, ...] = ()
    known = published("pipeline")["properties"]
    misspelt = any(len(path) == 1 and path[0] not in known for path in noted.paths)
    if not noted.broken("steps") and not misspelt:  # else their columns are not known
        aggregates = tuple(
            plan_aggregate(spec, flow, contract=contract, pipeline=file.name, problems=noted)
            for spec in file.aggregates
        )
    lake = {} if noted.broken("sinks") else file.sinks.get("lake", {})
    tables = plan_tables(
        file.name, contract, flow.schema, aggregates=aggregates, lake=lake, problems=noted
    )
    _check_timeseries(file, noted)
    _check_attached(file, contract, noted)
    if "kafka" in file.sinks and not noted.broken("sinks") and not noted.broken("aggregates"):
        check_kafka_sink(file.sinks["kafka"], file.name, tables, noted)
    plan = Plan(
        name=file.name,
        contract=replace(contract, event_times=event_times(a.window for a in aggregates)),
        folder=folder,
        out=folder / "out",
        source=file.batch or FileSource(path=""),
        stream=file.stream,
        steps=steps,
        aggregates=aggregates,
        sinks=file.sinks,
        tables=tables,
        hash_partitions=_HASH_PARTITIONS,
        secret=_KEY,
        versions=_versions(),
    )
    if noted:
        return plan
    parts = _parts(plan)
    named = sorted(set(references.references(json.dumps(noted.located.value))))
    return replace(plan, parts=parts, hash=_digest([parts, named]))


def _check_timeseries(file: PipelineFile, noted: Noted) -> None:
    known = [aggregate.name for aggregate in file.aggregates]
    for i, name in enumerate(file.sinks.get("timeseries", {}).get("tables", ())):
        if name not in known and not noted.broken("aggregates"):
            at = ("sinks", "timeseries", "tables", i)
            must = f"`{dotted(at)}` must name an aggregate; got {name!r}"
            noted.add(at, f"{must}; {did_you_mean(name, known) or 'add one'}")


def _check_attached(file: PipelineFile, contract: Contract, noted: Noted) -> None:
    """Check the columns that are read from keys and headers of messages."""
    if file.stream is None:
        return
    at, kafka = ("source", "stream", "kafka"), file.stream.kafka
    named: dict[NodePath, str] = {(*at, "headers", name): name for name in kafka.headers}
    if kafka.key is not None:
        named[*at, "key"] = kafka.key
    known = [c.name for c in contract.columns if c.read and c.logical not in ("object", "array")]
    for where, name in named.items():
        if name not in known:
            must = f"`{dotted(where)}` must name a column of the contract that holds one value"
            noted.add(where, f"{must}; got {name!r}; {did_you_mean(name, known) or 'declare it'}")
    if kafka.key in kafka.headers:
        must = "a column must be read from one place"
        noted.add((*at, "key"), f"{must}; got {kafka.key!r} for key and header; leave one")


def _moved(noted: Noted, source: FileSource, path: str) -> FileSource:
    body = {**noted.node(("source", "batch", "files")), "path": path}
    return replace(source, path=path, format=file_source(body).format)


def _chosen(
    sinks: dict[str, dict[str, Any]], only: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    for name in only or ():
        if name not in sinks:
            msg = f"--sinks must name sinks of the file; got {name!r}; {did_you_mean(name, sinks)}"
            raise UsageError(msg)
    if "lake" not in (sinks if only is None else only):
        msg = (
            "sinks must include the lake, which the others follow; got "
            f"{', '.join(sinks if only is None else only) or 'none'}; add lake"
        )
        raise UsageError(msg)
    return {name: options for name, options in sinks.items() if only is None or name in only}


def _check_flags(**given: str) -> None:
    known = {"runner": RUNNERS, "cloud": CLOUDS, "mode": MODES}
    for flag, value in given.items():
        if value not in known[flag]:
            hint = did_you_mean(value, known[flag])
            msg = f"{flag} must be one of {', '.join(known[flag])}; got {value!r}; {hint}"
            raise UsageError(msg)
    if given["cloud"] not in _CLOUDS_HERE:
        here = ", ".join(_CLOUDS_HERE)
        msg = f"cloud must be one that this version runs ({here}); got {given['cloud']}; use {here}"
        raise UsageError(msg)
    runner, mode = given["runner"], given["mode"]
    here = ", ".join(RUNNERS_HERE[mode])
    if runner not in RUNNERS_HERE[mode]:
        other = next((m for m, names in RUNNERS_HERE.items() if runner in names), None)
        switch = {"batch": ", or leave out --stream", "stream": ", or add --stream"}
        msg = (
            f"runner must be one that this version runs a {mode} on ({here}); got {runner}; use "
            f"--runner {RUNNERS_HERE[mode][0]}{switch.get(other or '', '')}"
        )
        raise UsageError(msg)


def _needs(plan: Plan, file: PipelineFile, mode: str) -> Iterator[Need]:
    """Yield what this version cannot run of what the plan needs."""
    must = "`source` must have the face that runs"
    if mode == "batch" and file.batch is None:
        said = "got `stream` only; run it with --stream --runner prism, or add `batch`"
        yield Need(("source",), f"{must}; {said}")
    if mode == "stream" and file.stream is None:
        yield Need(("source",), f"{must}; got `batch` only; add `stream`, or leave out --stream")
    usable = [name for name in plan.sinks if name in SINKS_HERE]
    for name in plan.sinks:
        if name not in SINKS_HERE:
            must = (
                f"`sinks.{name}` must be a sink that this version writes ({', '.join(SINKS_HERE)})"
            )
            said = f"got {name}; run with --sinks {','.join(usable)}"
            yield Need(("sinks", name), f"{must}; {said}")
    for spec in file.steps:
        if spec.clear:
            at = (*spec.at[:2], "clear")
            must = f"`{dotted(at)}` must be left out; got it; clear values are not in this version"
            yield Need(at, f"{must}: keep the column in the contract instead")


def _parts(plan: Plan) -> dict[str, str]:
    """Hash each part that decides rows; names of steps and triggers decide none."""
    steps = [[step.kind, step.parameters] for step in plan.steps]
    parts = {"contract": plan.contract.hash, "steps": _digest(steps)}
    for a in plan.aggregates:
        window = replace(a.window, trigger=None)
        parts[f"aggregate:{a.name}"] = _digest([window, a.group_by, a.measures, a.event_time])
    return parts


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is None:
        return str(value)
    # The words of an expression do not decide rows, what they mean does.
    return {n: getattr(value, n) for n in fields if n not in ("text", "shown")}


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
