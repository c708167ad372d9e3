"""What a pipeline requires of its data: sources, volume, schema, quality, personal data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from beam_pipelines.documents.escaping import code, prose, sql, table
from beam_pipelines.documents.parts import Part
from beam_pipelines.documents.sources import files, topics
from schemas.contract import Column, Contract, Protection, Rule
from schemas.durations import format_duration
from schemas.plan import Plan

_NOT_KNOWN: Final = (
    "Not known yet: no rows have landed. `penstock docs` measures after the first run.",
)


def requirements(plan: Plan, measured: Sequence[str]) -> tuple[Part, ...]:
    """Return the parts of `data-requirements.md`.

    Args:
        plan: Of the pipeline.
        measured: Markdown on volume and velocity; empty if nothing was measured now.
    """
    volume = ("## Volume and velocity", "", *(measured or _NOT_KNOWN))
    return (
        Part(name="title", lines=tuple(_title(plan))),
        Part(name="sources", lines=tuple(_sources(plan))),
        Part(name="volume", lines=volume, stays=not measured),
        Part(name="schema", lines=tuple(_schema(plan.contract))),
        Part(name="quality", lines=tuple(_quality(plan))),
        Part(name="personal-data", lines=tuple(_personal(plan))),
    )


def _title(plan: Plan) -> Iterator[str]:
    contract = plan.contract
    yield f"# {plan.name}: what is required of the data"
    yield ""
    version = f", version {prose(contract.version)}" if contract.version else ""
    yield (
        f"Contract: {prose(contract.name)}{version} ({code(contract.file.name)}). Written by "
        "`penstock docs` from the contract and the pipeline file; what stands outside of the "
        "markers is yours, and stays."
    )
    said = dict.fromkeys((contract.purpose, contract.description))
    about = [*filter(None, said), *(f"Use: {t}" for t in [contract.usage] if t)]
    about += [f"Limits: {t}" for t in [contract.limitations] if t]
    for text in about or ["What one record is stands in the contract's description: write it."]:
        yield ""
        yield prose(text)


def _sources(plan: Plan) -> Iterator[str]:
    yield "## Sources"
    yield ""
    if plan.source.path:
        yield f"- Batches: {files(plan.source)}."
    if plan.stream is not None:
        yield f"- Streams: {topics(plan.stream)}."
    for step in plan.steps:
        if step.kind == "enrich":
            lookup = step.parameters["from"]
            yield f"- Lookup table {code(step.parameters['table'])}: {files(lookup)}."


def _schema(contract: Contract) -> Iterator[str]:
    yield "## Format and schema"
    yield ""
    titles = ("column", "key in records", "type", "required", "meaning")
    yield from table(titles, [_row(column) for column in contract.leaves()])
    yield ""
    when = code(contract.event_time) if contract.event_time else "the time of arrival"
    key = ", ".join(map(code, contract.primary_key))
    yield f"Event time: {when}. Key: {key or 'none; each record that was kept is one row'}."


def _row(column: Column) -> tuple[str, ...]:
    key = code(column.key) if column.read else f"computed: {sql(column.transform or '')}"
    kind = "open object" if column.open else code(str(column.type))
    required = "yes" if column.required else ""
    return (code(column.path), key, kind, required, prose(column.description))


def _quality(plan: Plan) -> Iterator[str]:
    contract = plan.contract
    yield "## Quality"
    yield ""
    yield (
        "A record that is not of this format and these types is refused, with the reason. It waits "
        f"in {code(plan.operations('refused'))} until `penstock dlq replay`."
    )
    yield ""
    columns = contract.leaves()
    required = [code(column.path) for column in columns if column.required]
    yield f"- Never null: {', '.join(required) or 'no column is required'}."
    for column in columns:
        for refuse in (True, False):
            rules = ", ".join(_rule(rule) for rule in column.rules if rule.refuse is refuse)
            broken = "refuses the record" if refuse else "is counted, and the record kept"
            if rules:
                yield f"- {code(column.path)}: {rules}; another value {broken}."
    unique = [code(column.path) for column in columns if column.unique]
    if unique:
        yield f"- Said to be unique: {', '.join(unique)}."
    if plan.deduplicate is None:
        yield "- Copies of a record are not looked for: the pipeline has no step `deduplicate`."
    else:
        by = ", ".join(map(code, plan.deduplicate.parameters["by"]))
        horizon = format_duration(plan.deduplicate.parameters["horizon_us"])
        yield f"- Once only, by {by} within {horizon} of event time: later copies are taken out."


def _rule(rule: Rule) -> str:
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    return f"{rule.kind.replace('_', ' ')} {', '.join(code(str(value)) for value in values)}"


def _personal(plan: Plan) -> Iterator[str]:
    contract = plan.contract
    yield "## Personal data"
    yield ""
    personal = [c for c in contract.leaves() if c.classification or c.protect != Protection.KEEP]
    if not personal:
        yield "None is declared in the contract."
        return
    rows = [
        (
            code(column.path),
            prose(column.classification or ""),
            _how(column),
            prose(column.protect_reason or ""),
        )
        for column in personal
    ]
    yield from table(("column", "classification", "protection", "reason"), rows)
    yield ""
    yield (
        "Protection comes right after validation, before any other step, table or log. A pseudonym "
        "is still personal data. Refused records are stored encrypted. The key of both is "
        f"{code(plan.secret)}."
    )
    yield ""
    if not plan.released:
        yield "None of it comes out in clear: a plan that would let it out is refused."
        return
    yield "What comes out in clear, or as groups of one person, and the contract's reason:"
    yield ""
    out = [(code(r.place), code(r.way), prose(r.reason)) for r in plan.released]
    yield from table(("place", "way", "reason"), out)
    yield ""
    yield "Each run lists it in `out/logs/audit.jsonl`, too. A plan that let out more is refused."


def _how(column: Column) -> str:
    """Say in Markdown how a column is protected."""
    options = ", ".join(f"{name} {_listed(value)}" for name, value in column.protect_options)
    return _HOW[column.protect] + (f" ({options})" if options else "")


def _listed(value: object) -> str:
    """Say in Markdown what an option is."""
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(code(str(one)) for one in values)


_HOW: Final = {
    Protection.KEEP: "kept in clear",
    Protection.PSEUDONYMIZE: "replaced by a keyed pseudonym",
    Protection.MASK: "masked",
    Protection.GENERALIZE: "generalized",
    Protection.DROP: "dropped",
}
