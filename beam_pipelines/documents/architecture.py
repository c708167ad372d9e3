"""How a pipeline is built: transformations, aggregates, tables; then how it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from beam_pipelines.documents.escaping import code, sql, table
from beam_pipelines.documents.parts import Part
from beam_pipelines.documents.running import running
from beam_pipelines.documents.sources import files
from schemas.durations import format_duration
from schemas.kafka_sink import KafkaSink, kafka_sink
from schemas.names import POSITION_NAMES
from schemas.plan import Measure, Plan, Step, Window


def architecture(plan: Plan) -> tuple[Part, ...]:
    """Return the parts of `pipeline-architecture.md`."""
    return (
        Part(name="title", lines=(f"# {plan.name}: how it is built",)),
        Part(name="transformations", lines=tuple(_transformations(plan))),
        Part(name="aggregates", lines=tuple(_aggregates(plan))),
        Part(name="tables", lines=tuple(_tables(plan))),
        *running(plan),
    )


def as_run(plan: Plan) -> tuple[Step, ...]:
    """Return the steps in the order in which they run: copies are looked for last."""
    return plan.row_steps + ((plan.deduplicate,) if plan.deduplicate else ())


def _transformations(plan: Plan) -> Iterator[str]:
    yield "## Transformations, in the order in which they run"
    yield ""
    yield "1. Decode: each record is read strictly by the contract, or refused with the reason."
    yield "2. Validate: the contract's rules refuse a record, or are counted."
    yield "3. Protect: personal columns, before any later step sees them."
    for number, step in enumerate(as_run(plan), start=4):
        yield f"{number}. {_step(step)}"
    if as_run(plan) != plan.steps:
        yield ""
        yield (
            "The file names the dedupe earlier: a record is a copy of one that was *kept*, so it "
            "is compared after all steps that could take it out."
        )


def _step(step: Step) -> str:
    p = step.parameters
    match step.kind:
        case "deduplicate":
            by, horizon = ", ".join(map(code, p["by"])), format_duration(p["horizon_us"])
            return f"Deduplicate by {by}, within {horizon} of event time."
        case "derive":
            made = (f"{code(name)} = {sql(e.text)}" for name, e in p["columns"].items())
            return f"Derive {'; '.join(made)}."
        case "filter":
            return f"Keep records of which {sql(p['keep'].text)} is true."
        case "enrich":
            on = " and ".join(f"{code(row)} = {code(key)}" for row, key in p["on"].items())
            added = ", ".join(
                code(name) if name == of["column"] else f"{code(name)} (its {code(of['column'])})"
                for name, of in p["add"].items()
            )
            return f"Enrich from {code(p['table'])}, {files(p['from'])}, where {on}: adds {added}."
        case _:
            seen = ", ".join(map(code, p["reads"])) if "reads" in p else "all columns"
            makes = ", ".join(map(code, p["columns"] or ())) or "no column"
            return f"Python: {code(p['call'])} sees {seen}; makes or changes {makes}."


def _aggregates(plan: Plan) -> Iterator[str]:
    yield "## Aggregates"
    yield ""
    if not plan.aggregates:
        yield "None."
        return
    rows = [
        (
            code(a.name),
            _window(a.window) + _early_and_late(a.window),
            ", ".join(map(code, a.group_by)) or "all rows",
            ", ".join(f"{code(m.name)} = {code(_measure(m))}" for m in a.measures),
        )
        for a in plan.aggregates
    ]
    yield from table(("name", "windows of event time", "by", "measures"), rows)
    yield ""
    yield (
        "Each row is a function of the rows in the lake: rows that come later correct it. In "
        "streams a row is late when its window's end and the allowed lateness are behind the "
        "watermark; it is kept, and counted as late."
    )


def _window(window: Window) -> str:
    late = f", {format_duration(window.allowed_lateness_us)} of lateness allowed"
    match window.type:
        case "sessions":
            return f"sessions, ended by {format_duration(window.gap_us)} without a row{late}"
        case "global":
            return "one window of all time; each run reads all rows of the lake for it"
        case "sliding":
            sizes = f"{format_duration(window.size_us)} every {format_duration(window.period_us)}"
            return sizes + late
        case _:
            return format_duration(window.size_us) + late


def _early_and_late(window: Window) -> str:
    """Say when a stream writes rows of a window beside the complete one."""
    told = ""
    for kind in ("early", "late"):
        firing = (window.trigger or {}).get(kind)
        if firing is not None:
            when = firing.get("delay") or f"{firing['count']:,} new rows"
            told += f"; {kind} rows after {when}"
    return told


def _measure(measure: Measure) -> str:
    quantile = "" if measure.quantile is None else f", {measure.quantile}"
    return f"{measure.function}({measure.argument or '*'}{quantile})"


def _tables(plan: Plan) -> Iterator[str]:
    yield "## Tables"
    yield ""
    yield "Lake tables, Iceberg:"
    yield ""
    rows = []
    for one in plan.tables.values():
        cut = ", ".join(map(code, one.partition_by)) or "no"
        rows.append((code(one.name), _columns(one.schema), cut))
    yield from table(("table", "columns", "partitioned"), rows)
    yield ""
    yield (
        "Rows carry their position for good: `_source`, `_position`, `_sequence`. Beside these are "
        f"{code(plan.operations('ledger'))} (which positions are done, with the count of each "
        f"destiny), {code(plan.operations('runs'))} and what commits need."
    )
    if "warehouse" in plan.sinks:
        key = ", ".join(map(code, plan.contract.primary_key))
        grain = f"one row for each {key}, the newest" if key else "one row for each kept record"
        yield ""
        yield (
            "Warehouse, DuckDB: the same tables, and "
            f"{code(f'analytics.fact_{plan.name}')}, {grain}. It follows the lake commit by "
            "commit, and can be made again from it at any time."
        )
    sink = kafka_sink(plan)
    if sink is not None:
        yield ""
        yield _kafka(sink)


def _columns(schema: pa.Schema) -> str:
    own = (field for field in schema if field.name not in POSITION_NAMES)
    return ", ".join(f"{code(field.name)} {code(str(field.type))}" for field in own)


def _kafka(sink: KafkaSink) -> str:
    sent = "; ".join(f"{code(t)} to {code(sink.topic_of(t))}" for t in sink.tables)
    return f"Kafka on {code(sink.brokers)}, {sink.format}: {sent}, each commit in one transaction."
