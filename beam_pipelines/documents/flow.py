"""How data flows through a pipeline: a Mermaid diagram, and where each record can end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from beam_pipelines.documents.architecture import as_run
from beam_pipelines.documents.escaping import code, label, table
from beam_pipelines.documents.parts import Part
from schemas.kafka_sink import kafka_sink
from schemas.plan import Plan, Step
from schemas.references import public

_FEW: Final = 4
_CAN_REFUSE: Final = ("derive", "filter", "python")


def flow(plan: Plan) -> tuple[Part, ...]:
    """Return the parts of `data-flow-diagram.md`."""
    return (
        Part(name="title", lines=(f"# {plan.name}: how data flows",)),
        Part(name="diagram", lines=("```mermaid", *_diagram(plan), "```")),
        Part(name="destinies", lines=tuple(_destinies(plan))),
    )


def _diagram(plan: Plan) -> Iterator[str]:
    """Yield the lines of a Mermaid flowchart."""
    yield "flowchart LR"
    if plan.source.path:
        source = _words(public(plan.source.path), f"{plan.source.format} files")
        yield f"  files[({source})] --> decode"
    if plan.stream is not None:
        kafka = plan.stream.kafka
        which = list(kafka.topics) if kafka.pattern is None else [f"like {kafka.pattern}"]
        yield f"  topics[[{_words('Kafka', *_few(which))}]] --> decode"
    yield '  subgraph clear["records as they came"]'
    yield "    decode --> validate --> protect"
    yield "  end"
    before, refusing = "protect", ["clear"]
    for number, step in enumerate(as_run(plan), start=1):
        node = f"step{number}"
        yield f"  {before} --> {node}[{_words(step.id, *_few(_made(step)))}]"
        if step.kind == "enrich":
            lookup = _words(step.parameters["table"], public(step.parameters["from"].path))
            yield f"  table{number}[({lookup})] --> {node}"
        if step.kind in _CAN_REFUSE:
            refusing.append(node)
        before = node
    yield '  subgraph lake["lake, Iceberg"]'
    yield f"    processed[({_words(plan.processed)})]"
    for i, aggregate in enumerate(plan.aggregates, start=1):
        yield f"    processed --> aggregate{i}[({_words(f'analytics.{aggregate.name}')})]"
    yield f"    refused[({_words(plan.operations('refused'))})]"
    yield "  end"
    yield f"  {before} --> processed"
    yield f"  {' & '.join(refusing)} -. refused .-> refused"
    yield '  refused -. "dlq replay" .-> decode'
    if "warehouse" in plan.sinks:
        yield '  subgraph warehouse["warehouse, DuckDB"]'
        yield f"    fact[({_words(f'analytics.fact_{plan.name}')})]"
        yield "  end"
        yield "  lake ==> warehouse"
    sink = kafka_sink(plan)
    if sink is not None:
        sent = [sink.topic_of(name) for name in sink.tables]
        yield f"  lake ==> sent[[{_words('Kafka', *_few(sent))}]]"


def _words(*lines: str) -> str:
    """Return the quoted text of a node, in lines."""
    return f'"{"<br>".join(map(label, lines))}"'


def _few(names: list[str]) -> list[str]:
    """Leave out what would make a node too large to look at."""
    return (
        names if len(names) <= _FEW else [*names[: _FEW - 1], f"and {len(names) - _FEW + 1} more"]
    )


def _made(step: Step) -> list[str]:
    """Return the columns that a step makes or looks at."""
    p = step.parameters
    match step.kind:
        case "deduplicate":
            return list(p["by"])
        case "enrich":
            return list(p["add"])
        case "filter":
            return []
        case _:
            return list(p["columns"] or ())


def _destinies(plan: Plan) -> Iterator[str]:
    yield "## Where a record ends"
    yield ""
    yield "Each record that is read has exactly one destiny, and the ledger's counts add up to it."
    yield ""
    refusing = [step.id for step in as_run(plan) if step.kind in _CAN_REFUSE]
    filtering = [code(step.id) for step in as_run(plan) if step.kind in ("filter", "python")]
    by = ", ".join(map(code, ["decode", "validate", *refusing]))
    rows = [
        ("kept", f"it landed in {code(plan.processed)}"),
        ("refused", f"by {by}; it waits, with the reason, in {code(plan.operations('refused'))}"),
    ]
    if plan.deduplicate is not None:
        rows.append(("duplicate", f"{code(plan.deduplicate.id)} kept another copy"))
    if filtering:
        rows.append(("filtered", f"{', '.join(filtering)} took it out"))
    if plan.stream is not None and plan.aggregates:
        rows.append(("late", "it landed, too late for a window that it belongs to (streams)"))
    yield from table(("destiny", "what became of it"), rows)
