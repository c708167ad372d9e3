"""Documents of a pipeline, true to its plan: what it needs, how it is built, how data flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from schemas.contract import Column, Protection
from schemas.durations import format_duration
from schemas.plan import FileSource, Plan, Step
from schemas.references import public

_FOLDER: Final = "docs/data-pipeline"


def documents(plan: Plan, measured: Sequence[str]) -> dict[str, str]:
    """Return the three documents, by their path in the pipeline folder.

    Args:
        plan: Of the pipeline.
        measured: Lines on volume and velocity: what was seen of the data.
    """
    return {
        f"{_FOLDER}/data-requirements.md": _text(_requirements(plan, measured)),
        f"{_FOLDER}/pipeline-architecture.md": _text(_architecture(plan)),
        f"{_FOLDER}/data-flow-diagram.md": _text(_flow(plan)),
    }


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _requirements(plan: Plan, measured: Sequence[str]) -> Iterator[str]:
    contract = plan.contract
    yield f"# {plan.name}: what is required of the data"
    yield ""
    yield contract.description or "What one record is stands in the contract's description."
    yield ""
    yield "## Sources, volume and velocity"
    yield ""
    yield f"- {_source(plan.source)}"
    yield from (f"- {line}" for line in measured)
    yield ""
    yield "## Format and schema"
    yield ""
    yield "| column | key in records | type | required | personal |"
    yield "|---|---|---|---|---|"
    yield from (_row(column) for column in contract.columns)
    yield ""
    when = _code(contract.event_time) if contract.event_time else "the time of arrival"
    yield f"Event time: {when}. "
    key = ", ".join(map(_code, contract.primary_key))
    yield f"Key: {key or 'none; each record that was kept is one row'}."
    yield ""
    yield "## Quality"
    yield ""
    rules = [(c, r) for c in contract.leaves() for r in c.rules]
    if not rules:
        yield "Types, and what is required: nothing else is demanded."
    for column, rule in rules:
        value = ", ".join(map(str, rule.value)) if isinstance(rule.value, tuple) else rule.value
        broken = "refuses the record" if rule.refuse else "is counted, the record kept"
        yield f"- {_code(column.path)}: {rule.kind} {value}; another value {broken}."
    yield ""
    yield "## Personal data"
    yield ""
    personal = [c for c in contract.leaves() if c.classification]
    if not personal:
        yield "None is declared."
    for column in personal:
        yield (
            f"- {_code(column.path)} ({column.classification}): {_HOW[column.protect]}. "
            f"{column.protect_reason or ''}".rstrip()
        )


_HOW: Final = {
    Protection.KEEP: "kept in clear",
    Protection.PSEUDONYMIZE: "replaced by a keyed pseudonym",
    Protection.MASK: "masked",
    Protection.GENERALIZE: "generalized",
    Protection.DROP: "dropped",
}


def _row(column: Column) -> str:
    key = _code(column.key) if column.read else "computed"
    personal = str(column.protect) if column.classification else ""
    kind = "open object" if column.open else str(column.type)
    cells = [_code(column.name), key, kind, "yes" if column.required else "", personal]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str | None) -> str:
    return f"`{text}`"


def _source(source: FileSource) -> str:
    return f"{_code(public(source.path))}, {source.format}"


def _architecture(plan: Plan) -> Iterator[str]:
    yield f"# {plan.name}: how it is built"
    yield ""
    yield "## Transformations, in order"
    yield ""
    yield "1. Decode: each record is read strictly by the contract, or refused with the reason."
    yield "2. Validate: the contract's rules refuse a record, or are counted."
    yield "3. Protect: personal columns, before any later step sees them."
    for number, step in enumerate(plan.steps, start=4):
        yield f"{number}. {_step(step)}"
    yield ""
    yield "## Tables"
    yield ""
    for table in plan.tables.values():
        yield f"- {_code(table.name)}: {len(table.schema)} columns"
    yield ""
    yield "## Batch or stream"
    yield ""
    if plan.stream is None:
        yield (
            "Batch: the source is files, and a run reads what is new in them. With a topic of the "
            "same records, `source.stream` makes the same two files a stream."
        )
    else:
        yield "Both: files by `penstock run`, the topic by `penstock run --stream`."
    for aggregate in plan.aggregates:
        window = aggregate.window
        by = f", by {', '.join(map(_code, aggregate.group_by))}" if aggregate.group_by else ""
        size = format_duration(window.size_us) if window.size_us else window.type
        measures = ", ".join(_code(m.name) for m in aggregate.measures)
        yield ""
        yield f"{_code(aggregate.name)}: windows of {size}{by}: {measures}."
    yield ""
    yield "## Stack and scaling"
    yield ""
    yield (
        f"Apache Beam on Arrow record batches, runner `{plan.runner}`, {plan.hash_partitions} hash "
        f"partitions; sinks: {', '.join(plan.sinks)}. The lake is Iceberg, its warehouse DuckDB. "
        "The same two files run elsewhere: `penstock plan --runner NAME` says what that needs."
    )
    yield ""
    yield "## Retention"
    yield ""
    yield (
        "Rows stay until somebody removes them: the contract names no retention "
        "(`slaProperties`). `penstock maintain` compacts files and expires old snapshots."
    )
    yield ""
    yield "## Monitoring"
    yield ""
    yield (
        "`penstock run --json` counts every record by its destiny; `penstock dlq` shows refused "
        "ones with reasons; each run's ledger says what became of which positions."
    )


def _step(step: Step) -> str:
    p = step.parameters
    match step.kind:
        case "deduplicate":
            by, horizon = ", ".join(map(_code, p["by"])), format_duration(p["horizon_us"])
            return f"Deduplicate by {by}, within {horizon} of event time."
        case "derive":
            return f"Derive {', '.join(map(_code, p['columns']))}."
        case "filter":
            return f"Keep records of which {_code(p['keep'].text)} is true."
        case "enrich":
            on = ", ".join(f"{_code(row)} = {_code(key)}" for row, key in p["on"].items())
            return f"Enrich from {p['table']} ({_source(p['from'])}) where {on}."
        case _:
            return f"Python: {_code(p['call'])}."


def _flow(plan: Plan) -> Iterator[str]:
    yield f"# {plan.name}: how data flows"
    yield ""
    yield "```mermaid"
    yield "flowchart LR"
    yield f"  source[({plan.source.format} files)] --> decode --> validate --> protect"
    before = "protect"
    for step in plan.steps:
        node = step.id.replace("-", "_")
        yield f'  {before} --> {node}["{step.id}"]'
        if step.kind == "enrich":
            yield f'  {node}_table[("{step.parameters["table"]}")] --> {node}'
        before = node
    yield f'  {before} --> processed[("processed_data.{plan.name}")]'
    yield f'  decode & validate -. refused .-> dead[("operations.{plan.name}_refused")]'
    for i, aggregate in enumerate(plan.aggregates):
        yield f'  processed --> aggregate_{i}[("analytics.{aggregate.name}")]'
    if "warehouse" in plan.sinks:
        yield f'  processed --> fact[("analytics.fact_{plan.name} in the warehouse")]'
    yield "```"
