"""Where values of columns come out of a plan, and which of these places personal data reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.expressions import Place, check
from schemas.kafka_sink import KafkaSink, kafka_sink
from schemas.located import NodePath
from schemas.personal.flow import flow, seen
from schemas.personal.traces import Level, Trace, Traces, origins, strongest
from schemas.pipeline_file import AggregateSpec, PipelineFile, StepSpec
from schemas.plan import Aggregate, Measure, Plan

COUNTS = ("count", "approx_count_distinct")
"""Measures that show no value of what they count."""


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
    table = f"analytics.{aggregate.name}"
    time = _event_time(plan)
    if time is not None and aggregate.window.type != "global":
        must = "windows must not show personal data"
        place = f"{aggregate.name}.window_start"
        yield Reach(place, (*spec.at, "windowing"), must, time, f"{table}.window_start")
    landed = dict(zip(aggregate.group_by, aggregate.group_names, strict=True))
    for i, name in enumerate(spec.group_by):
        trace = rows.get(name)
        if trace is None or trace.level < Level.PROTECTED:
            continue
        clear = trace.level is Level.CLEAR
        must = "a group must not show personal data" if clear else "a group must be of many persons"
        hint = "" if clear else "group by a generalized column"
        place = f"{aggregate.name}.{landed[name]}"
        to = f"{table}.{landed[name]}"
        yield Reach(place, (*spec.at, "group_by", i), must, trace, to, hint)
    clear = any(_clear(rows.get(name)) for name in aggregate.input.names)
    for measure in aggregate.measures if clear else ():
        trace = None if measure.function in COUNTS else _argument(plan, aggregate, measure, rows)
        if trace is not None and _clear(trace):
            at = (*spec.at, "measures", measure.name)
            must = "a measure must not show personal data, which it does of a group of one"
            place, to = f"{aggregate.name}.{measure.name}", f"{table}.{measure.name}"
            shown = trace.through(measure.function)
            yield Reach(place, at, must, shown, to, "count(...) shows no value")


def _event_time(plan: Plan) -> Trace | None:
    """Return the trace of the event time if it is personal and clear."""
    name = plan.contract.event_time
    trace = None if name is None else origins(plan.contract).get(name.partition(".")[0])
    return trace if _clear(trace) else None


def _argument(plan: Plan, aggregate: Aggregate, measure: Measure, rows: Traces) -> Trace | None:
    if measure.argument is None:
        return None
    place = Place(plan.contract.file, 1)  # it was checked before: nothing is said of it
    columns = check(measure.argument, aggregate.input, place=place).columns
    return strongest(map(rows.get, columns))


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
    by_table = {plan.processed: rows}
    for aggregate in plan.aggregates:
        groups = zip(aggregate.group_by, aggregate.group_names, strict=True)
        by_table[f"analytics.{aggregate.name}"] = {
            landed: rows[name] for name, landed in groups if name in rows
        }
    for table in sink.tables:
        # Without a key rows are named by their position, and windows by their groups.
        key = sink.key or tuple(by_table[table] if table != plan.processed else ())
        shown: list[tuple[NodePath, str, str]] = [
            (("key", i), name, "key") for i, name in enumerate(key)
        ]
        shown += [(("headers", h), name, f"header {h}") for h, name in sink.headers.items()]
        for at, name, what in shown:
            trace = by_table[table].get(name)
            if trace is not None and _clear(trace):
                must = "keys and headers of messages must not show personal data"
                to = f"{what} of {sink.topic_of(table)}"
                yield Reach(f"kafka.{at[0]}.{name}", ("sinks", "kafka", *at), must, trace, to)
