"""How a pipeline is built: transformations, batch or stream, tables, stack, retention, watching."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from beam_pipelines.documents.escaping import code, prose, sql, table
from beam_pipelines.documents.parts import Part
from beam_pipelines.documents.requirements import files
from schemas.contract import Promise
from schemas.durations import format_duration
from schemas.kafka_sink import KafkaSink, kafka_sink
from schemas.names import POSITION_NAMES
from schemas.plan import Measure, Plan, Step, Window
from schemas.planning import RUNNERS_HERE, SINKS_HERE


def architecture(plan: Plan) -> tuple[Part, ...]:
    """Return the parts of `pipeline-architecture.md`."""
    return (
        Part(name="title", lines=(f"# {plan.name}: how it is built",)),
        Part(name="transformations", lines=tuple(_transformations(plan))),
        Part(name="aggregates", lines=tuple(_aggregates(plan))),
        Part(name="tables", lines=tuple(_tables(plan))),
        Part(name="batch-or-stream", lines=tuple(_batch_or_stream(plan))),
        Part(name="stack", lines=tuple(_stack(plan))),
        Part(name="retention", lines=tuple(_retention(plan))),
        Part(name="monitoring", lines=tuple(_monitoring(plan))),
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
            _window(a.window),
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


def _batch_or_stream(plan: Plan) -> Iterator[str]:
    yield "## Batch or stream"
    yield ""
    batch, stream = bool(plan.source.path), plan.stream is not None
    if batch and stream:
        yield (
            "Both, of the same two files: `penstock run` reads what is new in the files, "
            "`penstock run --stream` follows the topic. Final tables are the same."
        )
    elif stream:
        yield "Stream: the source is a topic. `source.batch` adds runs over files of such records."
    else:
        yield (
            "Batch: the source is files, and a run reads what is new in them. With a topic of the "
            "same records, `source.stream` makes the same two files a stream."
        )
    promised = [p for p in plan.contract.promises if p.name.lower() in _FRESHNESS]
    yield ""
    if not promised:
        yield (
            "The contract promises no `latency` and no `frequency` (`slaProperties`): batches are "
            "enough until it does."
            if batch
            else "The contract promises no `latency` and no `frequency` (`slaProperties`)."
        )
    for promise in promised:
        how = "a run must be started at least that often" if batch else "watch the stream's lag"
        also = ", or a stream be left running" if batch and stream else ""
        yield f"The contract promises {_promised(promise)}: {how}{also}."


def _promised(promise: Promise) -> str:
    of = f" of {code(promise.element)}" if promise.element else ""
    return f"{prose(promise.name)} {prose(promise.value)}{of}"


_FRESHNESS: Final = ("latency", "frequency", "freshness", "timeliness")


def _stack(plan: Plan) -> Iterator[str]:
    yield "## Stack and scaling"
    yield ""
    missing = dict.fromkeys(plan.sinks.keys() - SINKS_HERE, " (not written by this version)")
    sinks = ", ".join(code(name) + missing.get(name, "") for name in plan.sinks)
    yield (
        f"Apache Beam on Arrow record batches of a few MiB. Sinks: {sinks}; the lake is Iceberg, "
        "its warehouse DuckDB."
    )
    yield ""
    faces = {"batch": bool(plan.source.path), "stream": plan.stream is not None}
    rows = [
        (mode, ", ".join(map(code, RUNNERS_HERE[mode]))) for mode, there in faces.items() if there
    ]
    yield from table(("runs as", "with `--runner`"), rows)
    yield ""
    yield (
        "`direct` and `prism` are processes on one machine, `flink` is a cluster: `--set "
        "runner.parallelism=N` spreads the steps over it. Whatever is grouped goes by hash to "
        f"{plan.hash_partitions} partitions: more workers than that do not help these steps. "
        "`penstock plan --runner NAME` shows every option."
    )


def _retention(plan: Plan) -> Iterator[str]:
    yield "## Retention"
    yield ""
    promised = [p for p in plan.contract.promises if p.name.lower() == "retention"]
    for promise in promised:
        yield f"The contract promises {_promised(promise)}."
        yield ""
    if not promised:
        yield "The contract names no retention (`slaProperties`)."
        yield ""
    yield (
        "No row is removed by itself, however old. `penstock maintain` puts small files together, "
        "and deletes old snapshots and files that nothing names. The key of pseudonyms and refused "
        f"records, {code(plan.secret)}, is needed as long as they are."
        if plan.contract.classified
        else "No row is removed by itself, however old. `penstock maintain` puts small files "
        "together, and deletes old snapshots and files that nothing names."
    )


def _monitoring(plan: Plan) -> Iterator[str]:
    yield "## Monitoring"
    yield ""
    rows = [
        ("what became of each record", f"`penstock run --json`; {code(plan.operations('ledger'))}"),
        ("refused records, by step, rule and reason", "`penstock dlq list`"),
        ("runs, and the plan of each", code(plan.operations("runs"))),
    ]
    if plan.stream is not None:
        rows.append(("state, watermark and lag of the stream", "`penstock status`"))
    if "warehouse" in plan.sinks:
        loaded = f"{code(plan.operations('loaded'))} in the warehouse"
        rows.append(("the commit that the warehouse ends at", loaded))
    if plan.released:
        rows.append(("personal data that was let out", "`out/logs/audit.jsonl`"))
    yield from table(("what", "where"), rows)
    yield ""
    yield (
        "A run whose counts do not add up fails before anything lands. Exit codes: 0 done, "
        "1 failed, 2 wrong usage or files."
    )
