"""Where values of columns come out of a plan, and which of these places personal data reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from schemas.expressions import Place, check
from schemas.kafka_sink import KafkaSink, kafka_sink
from schemas.located import NodePath
from schemas.personal.flow import flow, seen
from schemas.personal.traces import Level, Trace, Traces, of_path, strongest
from schemas.pipeline_file import AggregateSpec, PipelineFile, StepSpec
from schemas.plan import Aggregate, Measure, Plan
from schemas.sql_types import quote

COUNTS: Final = ("count", "approx_count_distinct")
"""Measures that show no value of the column that they count."""
WINDOW: Final = "window_start"


class Reach(NamedTuple):
    """A place that personal data reaches other than as the contract left it.

    Attributes:
        place: Its name in `penstock:release`: `processed.size`, `daily.name`, `kafka.key.id` ...
        at: Node of the pipeline file that makes it so.
        must: What must hold there.
        trace: How the data comes there.
        to: What it is drawn to.
        hint: What could be done beside protecting the property and releasing the place.
    """

    place: str
    at: NodePath
    must: str
    trace: Trace
    to: str
    hint: str = ""


def reached(plan: Plan, file: PipelineFile) -> Iterator[Reach]:
    """Yield every place that clear personal data reaches, or where it makes groups of a person.

    Args:
        plan: Checked for everything else.
        file: The pipeline file that it was made of.
    """
    after = flow(plan.contract, plan.steps)
    yield from _rows(plan, file.steps, after)
    rows = after[-1]
    for aggregate, spec in zip(plan.aggregates, file.aggregates, strict=True):
        yield from _aggregate(plan, aggregate, spec, rows)
    yield from _partitions(plan, rows)
    sink = kafka_sink(plan)
    if sink is not None:
        yield from _messages(plan, sink, rows)


def _clear(trace: Trace | None) -> bool:
    return trace is not None and trace.level is Level.CLEAR


def _rows(plan: Plan, specs: Sequence[StepSpec], after: list[Traces]) -> Iterator[Reach]:
    """Yield the columns of the rows that a step made of clear values, or could have."""
    landed = plan.tables[plan.processed].schema.names
    makers = {}
    for step, spec, before in zip(plan.steps, specs, after[:-1], strict=True):
        makers[step.id] = (step, spec)
        if step.kind == "python" and "reads" not in step.parameters:
            trace = seen(step, before)
            if trace is not None and _clear(trace):
                must = "a function that sees personal data must not be free to put it anywhere"
                to, hint = "every column it returns", "name the columns it needs in `reads`"
                yield Reach(f"{step.id}.*", spec.at, must, trace.through(step.id), to, hint)
    for name, trace in after[-1].items():
        if not _clear(trace) or trace.original or name not in landed:
            continue
        step, spec = makers[trace.hops[-2]]
        at = (*spec.at, *_INSIDE.get(step.kind, ()), name)
        must = "a column must not show personal data"
        hint = "leave the column out" if step.kind == "enrich" else ""
        yield Reach(f"processed.{name}", at, must, trace, plan.processed, hint)


_INSIDE = {"enrich": ("add",), "python": ("columns",)}
"""Where in a step's parameters the columns stand that it makes."""


def _aggregate(
    plan: Plan, aggregate: Aggregate, spec: AggregateSpec, rows: Traces
) -> Iterator[Reach]:
    """Yield what an aggregate's table shows of a person."""
    traces = _of_aggregate(plan, aggregate, rows)
    nodes: dict[str, NodePath] = {WINDOW: ("windowing",)}
    nodes |= {name: ("group_by", i) for i, name in enumerate(aggregate.group_names)}
    for name, trace in traces.items():
        group, clear = name in aggregate.group_names, _clear(trace)
        if not clear and not (group and trace.level is Level.PROTECTED):
            continue
        if group and clear:
            must, hint = "a group must not show personal data", ""
        elif group:
            must, hint = "a group must be of many persons", "group by a generalized column"
        elif name == WINDOW:
            must, hint = "windows must not show personal data", ""
        else:
            must = "a measure must not show personal data, which it does of a group of one"
            hint = "count a column, which shows no value"
        at = (*spec.at, *nodes.get(name, ("measures", name)))
        to = f"analytics.{aggregate.name}.{name}"
        yield Reach(f"{aggregate.name}.{name}", at, must, trace, to, hint)


def _of_aggregate(plan: Plan, aggregate: Aggregate, rows: Traces) -> Traces:
    """Return the traces of an aggregate's columns: window, groups, measures that show a value."""
    found: dict[str, Trace | None] = {}
    if aggregate.window.type != "global":
        found[WINDOW] = _event_time(plan)
    names = zip(aggregate.group_by, aggregate.group_names, strict=True)
    found |= {landed: rows.get(name) for name, landed in names}
    if any(_clear(rows.get(name)) for name in aggregate.input.names):
        for measure in aggregate.measures:
            trace = _measured(plan, aggregate, measure, rows)
            found[measure.name] = trace.through(measure.function) if trace else None
    return {name: trace for name, trace in found.items() if trace is not None}


def _event_time(plan: Plan) -> Trace | None:
    """Return the trace of the event time."""
    path = plan.contract.event_time
    return None if path is None else of_path(plan.contract, path)


def _measured(plan: Plan, aggregate: Aggregate, measure: Measure, rows: Traces) -> Trace | None:
    """Return the trace of what a measure shows: a count of a column shows nothing of it.

    `count(CASE WHEN salary > 100 THEN 1 END)` does: of a group of one, whether it is so.
    """
    if measure.argument is None:
        return None
    place = Place(plan.contract.file, 1)  # it was checked before: nothing is said of it
    expression = check(measure.argument, aggregate.input, place=place)
    if measure.function in COUNTS and expression.sql in map(quote, expression.columns):
        return None
    return strongest(map(rows.get, expression.columns))


def _partitions(plan: Plan, rows: Traces) -> Iterator[Reach]:
    """Yield partitions whose value stands in the paths of files; a bucket's does not."""
    for i, text in enumerate(plan.tables[plan.processed].partition_by):
        transform, _, rest = text.rpartition("(")
        name = rest.rstrip(")").rpartition(", ")[2]
        trace = rows.get(name)
        if trace is not None and _clear(trace) and transform != "bucket":
            yield Reach(
                f"lake.partition_by.{name}",
                ("sinks", "lake", "partition_by", i),
                "a partition, which names files, must not show personal data",
                trace,
                f"{plan.processed}/{name}=...",
                f"write bucket(16, {name})",
            )


def _messages(plan: Plan, sink: KafkaSink, rows: Traces) -> Iterator[Reach]:
    """Yield keys and headers: brokers, proxies and tools show them as they are."""
    traces = {plan.processed: rows}
    keys: dict[str, tuple[str, ...]] = {plan.processed: ()}  # a row's is its position
    for aggregate in plan.aggregates:
        table = f"analytics.{aggregate.name}"
        traces[table] = _of_aggregate(plan, aggregate, rows)
        keys[table] = (WINDOW, *aggregate.group_names)
    for table in sink.tables:
        shown: list[tuple[str, NodePath, str, str]] = [
            ("key", ("key", i) if sink.key else (), name, "key")
            for i, name in enumerate(sink.key or keys[table])
        ]
        shown += [
            ("headers", ("headers", header), name, f"header {header}")
            for header, name in sink.headers.items()
        ]
        for part, at, name, what in shown:
            trace = traces[table].get(name)
            if trace is not None and _clear(trace):
                must = "keys and headers of messages must not show personal data"
                to = f"{what} of {sink.topic_of(table)}"
                yield Reach(f"kafka.{part}.{name}", ("sinks", "kafka", *at), must, trace, to)
