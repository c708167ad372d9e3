"""`penstock plan`: say what would be read, done and written, without touching data."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from beam_pipelines.cli import flags
from runners.lean import import_libraries, no_warnings
from schemas.references import public

if TYPE_CHECKING:
    from schemas.plan import Aggregate, FileSource, Measure, Plan, Step
    from schemas.plan_changes import Change
    from schemas.stream_source import StreamFace

SUMMARY = "say what a run would read, do and write; touches no data"
EXAMPLES = """\
examples:
  penstock plan events/                           for a person
  penstock plan events/ --json                    for a program (plan.schema.json)
  penstock plan events/ --diff                    what changed since rows landed last
  penstock plan events/ --sinks lake              of fewer sinks
  penstock plan events/ --stream --runner flink   of a stream, with the options of its job
  penstock plan events/ --set steps.0.deduplicate.horizon=2d
"""
_WIDTH = 100
_INDENT = " " * 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_plan_arguments(parser)
    parser.add_argument(
        "--diff", action="store_true", help="only what differs from the last plan that landed rows"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = flags.plan_of(args)
    _import_functions(plan)
    if args.diff:
        _diff(plan, as_json=args.json)
    elif args.json:
        from schemas.plan_json import to_json  # noqa: PLC0415  slow to import

        print(json.dumps(to_json(plan)))
    else:
        print("\n".join(describe(plan)))
    return 0


def _diff(plan: Plan, *, as_json: bool) -> None:
    import_libraries()
    with no_warnings():
        from beam_pipelines.plan_diff import difference  # noqa: PLC0415  the lake is slow to import

    found = difference(plan)
    if as_json:
        print(json.dumps(found.json()))
        return
    if not found.run_id:
        print(f"{plan.name}: nothing has landed in {plan.out}: all of the plan is new")
    elif not found.changes:
        print(f"{plan.name}: as run {found.run_id[:12]} had it")
    for one in found.changes:
        print(_changed(one))
    print(*found.effects, sep="\n", end="\n" if found.effects else "")


def _changed(one: Change) -> str:
    """Return a change as a line; a field that one side lacks was added or removed."""
    what = f"{one.change} {one.what} {one.name}"
    field = one.field and f" {one.field}"
    if one.before is one.after is None:
        return what + field
    if field and one.before is None:
        return f"{what}: added{field}, {one.after}"
    if field and one.after is None:
        return f"{what}: removed{field}, {one.before}"
    return f"{what}{field}: {one.before} -> {one.after}"


def _import_functions(plan: Plan) -> None:
    """Import the functions of python steps: only that tells whether a run will find them."""
    calls = [step.parameters["call"] for step in plan.steps if step.kind == "python"]
    if not calls:
        return
    import_libraries()
    from transforms.user_code import load_function  # noqa: PLC0415  Beam is slow to import

    for call in calls:
        load_function(call, plan.folder)


def describe(plan: Plan) -> Iterator[str]:
    """Yield the lines that tell a person what a plan does."""
    yield f"pipeline {plan.name} on {plan.runner}, {plan.mode}, {plan.cloud}; plan {plan.hash[:12]}"
    yield ""
    yield "reads"
    yield f"  {_stream(plan.stream) if plan.mode == 'stream' else _source(plan.source)}"
    yield from _contract(plan)
    yield ""
    yield "steps"
    yield "  decode, validate, protect: by the contract"
    for step in plan.steps:
        yield from _step(step)
    if plan.aggregates:
        yield ""
        yield "aggregates"
    for aggregate in plan.aggregates:
        yield from _aggregate(aggregate)
    yield ""
    yield f"writes to {plan.out}"
    for table in plan.tables.values():
        partition = (
            f", partitioned by {', '.join(table.partition_by)}" if table.partition_by else ""
        )
        order = f", sorted by {', '.join(table.sort_by)}" if table.sort_by else ""
        yield f"  {table.name}{partition}{order}"
        yield from _wrapped(f"{f.name} {f.type}{'' if f.nullable else '!'}" for f in table.schema)
    if "warehouse" in plan.sinks:
        yield f"  warehouse.duckdb: the same tables and analytics.fact_{plan.name}, from the lake"
    if plan.released:
        yield ""
        yield "personal data that is let out, with the contract's reason"
    for released in plan.released:
        yield f"  {released.place}: {released.way}"
        yield from _wrapped([released.reason])
    yield ""
    yield "options"
    sinks = ", ".join(plan.sinks)
    yield f"  sinks {sinks}; {plan.hash_partitions} hash partitions; key {plan.secret}"
    yield f"  {', '.join(f'{name} {version}' for name, version in plan.versions.items())}"
    if plan.options:
        yield f"  {plan.runner} (--set runner.NAME=VALUE)"
        yield from _wrapped(
            f"{name} {value}" for name, value in plan.options.items() if value != ""
        )


def _wrapped(words: Any) -> list[str]:
    return textwrap.wrap(
        ", ".join(words),
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
    )


def _source(source: FileSource) -> str:
    nulls = f", null is {' or '.join(map(repr, source.nulls))}" if source.format == "csv" else ""
    return f"{public(source.path)} ({source.format}{nulls})"


def _stream(face: StreamFace | None) -> str:
    if face is None:
        return "no stream"
    kafka = face.kafka
    which = ", ".join(kafka.topics) if kafka.pattern is None else f"topics like {kafka.pattern}"
    until = (
        "" if kafka.end is None and not kafka.ends else ", to its end as it is when reading begins"
    )
    return f"{which} on {kafka.brokers} ({kafka.format}) from {kafka.start}{until}"


def _contract(plan: Plan) -> Iterator[str]:
    contract = plan.contract
    event_time = contract.event_time or "the time of arrival"
    key = f", key {', '.join(contract.primary_key)}" if contract.primary_key else ""
    yield (
        f"  contract {contract.file.name} {contract.version}: {len(contract.columns)} columns, "
        f"event time {event_time}{key}"
    )
    protected = [f"{c.path} ({c.protect})" for c in contract.leaves() if c.protect != "keep"]
    if protected:
        yield from _wrapped([f"protected: {', '.join(protected)}"])


def _step(step: Step) -> Iterator[str]:
    from schemas.durations import format_duration  # noqa: PLC0415  Arrow comes with schemas

    p = step.parameters
    match step.kind:
        case "deduplicate":
            yield f"  {step.id}: by {', '.join(p['by'])} within {format_duration(p['horizon_us'])}"
        case "derive":
            yield f"  {step.id}"
            for name, expression in p["columns"].items():
                text = " ".join(expression.text.split())
                yield from _wrapped([f"{name} {expression.type} = {text}"])
        case "filter":
            yield f"  {step.id}"
            yield from _wrapped([f"keep {' '.join(p['keep'].text.split())}"])
        case "enrich":
            on = ", ".join(f"{row} = {p['table']}.{key}" for row, key in p["on"].items())
            yield f"  {step.id}: {p['table']} from {_source(p['from'])}, on {on}"
            added = p["add"].items()
            yield from _wrapped(
                f"{n} {step.output.field(n).type} = {a['column']}" for n, a in added
            )
        case _:
            yield f"  {step.id}: {p['call']}"
            new = [f"{f.name} {f.type}" for f in step.output if f not in step.input]
            if new:
                yield from _wrapped(new)


def _aggregate(aggregate: Aggregate) -> Iterator[str]:
    from schemas.durations import format_duration  # noqa: PLC0415

    window = aggregate.window
    spans = [format_duration(us) for us in (window.size_us, window.period_us) if us]
    spans += [f"of gap {format_duration(window.gap_us)}"] if aggregate.sessions else []
    by = f" by {', '.join(aggregate.group_by)}" if aggregate.group_by else ""
    yield f"  {aggregate.name}: {window.type} {' every '.join(spans)} of {aggregate.event_time}{by}"
    yield from _wrapped(
        f"{m.name} {m.type} = {m.function}({m.argument or '*'}{_quantile(m)})"
        for m in aggregate.measures
    )


def _quantile(measure: Measure) -> str:
    return "" if measure.quantile is None else f", {measure.quantile}"
