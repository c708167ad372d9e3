"""The contract of a proposal, as text: what was not sure stands in comments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from beam_pipelines.init_yaml import comment, editor_line, flow, scalar
from transforms.inference.fields import Sample
from transforms.inference.infer import Proposal
from transforms.inference.lookups import LookupTable
from transforms.inference.observed import Observed, observed
from transforms.inference.properties import Property

_STEP: Final = 2
_REASONS: Final = 3
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def contract_text(proposal: Proposal, folder: Path) -> str:
    """Return `contract.odcs.yaml`."""
    return "\n".join(_lines(proposal, folder)) + "\n"


def measured(proposal: Proposal) -> list[str]:
    """Say in Markdown what was seen of volume and velocity."""
    sample, when = proposal.sample, proposal.event_time
    told = [
        f"{sample.stored_bytes:,} bytes in {sample.files:,} file{'s' if sample.files != 1 else ''}",
        f"looked at: {looked_at(proposal)}; {sample.read_bytes:,} bytes of them in memory",
    ]
    days = (when.last_us - when.first_us) / 86_400_000_000
    if when.name is not None and days > 0:
        first, last = (
            (_EPOCH + dt.timedelta(microseconds=us)).isoformat(timespec="seconds")
            for us in (when.first_us, when.last_us)
        )
        told.append(f"events from {first} to {last}, as far as was looked")
        if sample.about_rows and (sample.whole or sample.spread):
            told.append(f"about {sample.about_rows / days:,.0f} records a day of event time")
    begun = "Measured on the sample that the pipeline was begun with:"
    return [begun, "", *(f"- {line}." for line in told)]


def looked_at(proposal: Proposal) -> str:
    """Say how much of the sample was looked at."""
    s = proposal.sample
    files = f"{s.files:,} file{'s' if s.files != 1 else ''}"
    if s.whole:
        return f"all {s.rows:,} records of {files}"
    of = f" of about {s.about_rows:,}" if s.about_rows else ""
    where = ", from all over" if s.spread else ", from the beginning"
    return f"{s.rows:,}{of} records of {files}{where}"


def of_lookup(table: LookupTable) -> str:
    """Say how many values of a column its lookup table has."""
    some = "all" if table.found == table.values else f"{table.found:,} of {table.values:,}"
    return f"{some} values of {table.column} are in it; rows with others get nulls"


def leading(sample: Sample) -> str:
    """Say what stands before the header of a sample."""
    lines = "line" if sample.skip == 1 else "lines"
    return f"Passed over before the header: {sample.skip} {lines} that are no part of the table."


def refusals(sample: Sample) -> str:
    """Say why a run refuses records of a sample, the most frequent reasons first."""
    most = sorted(sample.reasons.items(), key=lambda pair: -pair[1])
    if len(most) == 1:
        return most[0][0].replace("; ", ", ")
    told = [f"{reason.replace('; ', ', ')} ({number:,})" for reason, number in most[:_REASONS]]
    if rest := sum(number for _, number in most[_REASONS:]):
        told.append(f"other reasons ({rest:,})")
    return "; ".join(told)


def _lines(proposal: Proposal, folder: Path) -> Iterator[str]:
    yield editor_line("contract", folder)
    yield from comment(
        f"Proposed by `penstock init` from {looked_at(proposal)}. Comments say what was seen and "
        "what is not sure: a sample cannot tell what may come. Where no nulls are noted there "
        "were none.",
        0,
    )
    if any(p.required and p.field for p in proposal.properties):
        yield from comment(
            "required: never null in the sample. A null refuses the record: remove "
            "it where one may come.",
            0,
        )
    yield "apiVersion: v3.1.0"
    yield "kind: DataContract"
    yield f"id: {proposal.name}"
    yield f"name: {scalar(proposal.name)}"
    yield 'version: "1.0.0"'
    yield "status: draft"
    yield "description:"
    yield f"  purpose: {scalar('To be written: what one record is, and what it is for.')}"
    yield f"  limitations: {scalar(f'Inferred from {looked_at(proposal)}.')}"
    yield "schema:"
    yield f"  - name: {proposal.name}"
    yield "    logicalType: object"
    yield from comment(f"Event time: {proposal.event_time.why}.", 4)
    if proposal.event_time.others:
        yield from comment(f"As likely: {', '.join(proposal.event_time.others)}.", 4)
    if proposal.event_time.name:
        yield "    customProperties:"
        entry: dict[str, object] = {
            "property": "penstock:eventTime",
            "value": proposal.event_time.name,
        }
        yield f"      - {flow(entry)}"
    yield "    properties:"
    for prop in proposal.properties:
        yield from property_lines(prop, 6)
    for key, why in proposal.left_out.items():
        what = repr(key) if key else "a key"
        yield from comment(f"Left out: {what}, since {why}. It is passed over, and not kept.", 6)


def property_lines(prop: Property, indent: int) -> Iterator[str]:
    """Yield the lines of a property as an entry of a list, what was seen in comments."""
    for note in (*_seen(prop), *prop.notes):
        yield from comment(note, indent)
    first, *rest = _pairs(prop)
    yield f"{' ' * indent}- {first}"
    yield from (" " * (indent + _STEP) + line if line else "" for line in rest)


def _seen(prop: Property) -> Iterator[str]:
    if prop.field is None or prop.field.rows == 0 or prop.logical in ("object", "array"):
        return
    told = []
    if prop.nulls:
        told.append(f"null in {prop.nulls:,} of {prop.field.rows:,}")
    if 0 <= prop.distinct == prop.field.rows and prop.distinct > 1:
        told.append("all different")
    figures = observed(prop)
    if figures is not None:
        told += _figures(figures)
    if told:
        yield "; ".join(told)


def _figures(figures: Observed) -> Iterator[str]:
    """Say what was seen of values that are not personal, as far as it is not said yet."""
    low, high = figures.range or figures.lengths or (None, None)
    unit = " characters" if figures.lengths else ""
    if low is not None:
        yield f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
    if 1 < figures.distinct < figures.rows:
        yield f"{figures.distinct:,} different values"


def _pairs(prop: Property) -> Iterator[str]:
    """Yield the lines of a property, indented only within it."""
    yield f"name: {scalar(prop.name)}"
    if prop.key != prop.name:
        yield f"physicalName: {scalar(prop.key)}"
    yield f"logicalType: {prop.logical}"
    if prop.physical:
        yield f"physicalType: {scalar(prop.physical)}"
    if prop.required:
        yield "required: true"
    if prop.primary_key is not None:
        yield "primaryKey: true"
        yield f"primaryKeyPosition: {prop.primary_key}"
    if prop.options:
        yield f"logicalTypeOptions: {flow(prop.options)}"
    if prop.enum:
        yield "enum:"
        yield from (f"  - {flow({'value': value})}" for value in prop.enum)
    if prop.classification:
        yield f"classification: {prop.classification}"
    if prop.transform:
        yield f"transformLogic: {scalar(prop.transform)}"
    if prop.description:
        key = "transformDescription" if prop.transform else "description"
        yield f"{key}: {scalar(prop.description)}"
    yield from _custom(prop)
    if prop.children:
        yield "properties:"
        for child in prop.children:
            yield from property_lines(child, _STEP)
    if prop.items is not None:
        yield "items:"
        _, *rest = _pairs(prop.items)  # items have no name
        yield from (f"  {line}" for line in rest)


def _custom(prop: Property) -> Iterator[str]:
    entries: list[Mapping[str, object]] = []
    if prop.open and prop.children:
        entries.append({"property": "penstock:open", "value": True})
    if prop.may_lack:
        entries.append({"property": "penstock:mayLack", "value": True})
    if prop.warn:
        entries.append({"property": "penstock:onFailure", "value": "warn"})
    if prop.protect:
        entries.append({"property": "penstock:protect", "value": prop.protect})
    lines = [f"  - {flow(dict(entry))}" for entry in entries]
    if prop.protect_options:
        lines.append(
            f'  - {{property: "penstock:protectOptions", value: {flow(prop.protect_options)}}}'
        )
    if prop.reason and prop.protect:
        lines.append(f"  - {flow({'property': 'penstock:reason', 'value': prop.reason})}")
    if lines:
        yield "customProperties:"
        yield from lines
