"""The pipeline of a proposal: the sample as batch source, a dedupe, lookups and one aggregate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beam_pipelines.init_contract import leading, looked_at, of_lookup, refusals
from beam_pipelines.init_yaml import comment, editor_line, flow, scalar, sequence
from schemas.references import is_url
from transforms.inference.fields import Sample
from transforms.inference.infer import Proposal
from transforms.inference.lookups import LookupTable
from transforms.inference.names import behind, free, sql, words
from transforms.inference.properties import Property
from transforms.inference.scalars import is_money

_HOUR_US: Final = 3_600_000_000
_FEW_DAYS: Final = 4 * 24 * _HOUR_US
_GROUPS: Final = 60
_NUMBERED: Final = {
    *("id", "key", "code", "number", "no", "index", "zip", "fips"),
    *("year", "month", "day", "hour", "minute", "time", "date"),
}
"""Words of names of numbers whose mean says nothing."""
_MEASURED: Final = 2
_FOLDERS_UP: Final = 2
_FLAGS: Final = 2
"""Values that a number has at most which says yes or no."""


@dataclass(frozen=True)
class Rollup:
    """The aggregate that is proposed.

    Attributes:
        name: Of its table.
        size: Of its windows.
        group_by: The column of groups; may be none.
        measures: Name -> expression.
    """

    name: str
    size: str
    group_by: tuple[str, ...]
    measures: dict[str, str]


def pipeline_text(proposal: Proposal, lookups: Sequence[LookupTable], folder: Path) -> str:
    """Return `pipeline.yaml`."""
    return "\n".join(_lines(proposal, lookups, folder)) + "\n"


def _lines(proposal: Proposal, lookups: Sequence[LookupTable], folder: Path) -> Iterator[str]:
    sample = proposal.sample
    yield editor_line("pipeline", folder)
    yield f"name: {proposal.name}"
    yield "contract: contract.odcs.yaml"
    yield "source:"
    told = f"The sample, where it lies. Looked at: {looked_at(proposal)}."
    if sample.broken:
        told += f" Beside these a run refuses {sample.broken:,}: {refusals(sample)}."
    yield from comment(told, 2)
    if len(sample.nulls) > 1:
        yield from comment(
            f"Without quotes {' and '.join(sample.nulls[1:])} mean null, in columns of text, too.",
            2,
        )
    if sample.skip:
        yield from comment(leading(sample), 2)
    if sample.names:
        yield from comment(
            "The file does not name its columns: give them names here, and in the contract.", 2
        )
    yield "  batch:"
    yield from _files(sample, folder, 4)
    yield from _steps(proposal, lookups, folder)
    rollup = rollup_of(proposal)
    if rollup is not None:
        yield "aggregates:"
        yield f"  - name: {rollup.name}"
        window: dict[str, object] = {"type": "fixed", "size": rollup.size, "allowed_lateness": "1h"}
        yield f"    windowing: {flow(window)}"
        if rollup.group_by:
            yield f"    group_by: {sequence(rollup.group_by)}"
        yield "    measures:"
        yield from (f"      {name}: {scalar(text)}" for name, text in rollup.measures.items())
    yield "sinks:"
    yield "  lake: {}"
    yield "  warehouse: {}"


def _files(sample: Sample, folder: Path, indent: int) -> Iterator[str]:
    lead = " " * indent
    yield f"{lead}files:"
    yield f"{lead}  path: {scalar(source_path(sample.path, folder))}"
    yield f"{lead}  format: {sample.format}"
    if sample.format != "csv":
        return
    options = []
    if sample.delimiter != ",":
        options.append(f"delimiter: {scalar(sample.delimiter)}")
    if sample.skip:
        options.append(f"skip: {sample.skip}")
    if len(sample.nulls) > 1:
        options.append(f"nulls: {sequence(sample.nulls)}")
    written = sample.written
    for key, values in (
        ("names", sample.names),
        ("trues", written.trues),
        ("falses", written.falses),
        ("signs", written.signs),
    ):
        if values:
            options.append(f"{key}: {sequence(values)}")
    if written.trim:
        options.append("trim: true")
    if written.decimal != ".":
        options.append(f"decimal: {scalar(written.decimal)}")
    if written.thousands:
        options.append(f"thousands: {scalar(written.thousands)}")
    if options:
        yield f"{lead}  csv: {{{', '.join(options)}}}"


def source_path(path: str, folder: Path) -> str:
    """Return a path as it stands in a pipeline file: from its folder if it is near, else whole."""
    if is_url(path):
        return path
    near = os.path.relpath(path, folder)
    return near if near.count("..") <= _FOLDERS_UP else path


def _steps(proposal: Proposal, lookups: Sequence[LookupTable], folder: Path) -> Iterator[str]:
    key = proposal.key
    if not key.names and not lookups:
        return
    yield "steps:"
    if key.names:
        told = (
            f"{key.repeated:,} records of the sample are there twice."
            if key.repeated
            else f"No {' and '.join(key.names)} is there twice in the sample; should one come "
            "again, the first stays."
        )
        yield from comment(told, 2)
        yield f"  - deduplicate: {{by: {sequence(key.names)}, horizon: 1d}}"
    for table in lookups:
        yield from comment(f"In the sample {of_lookup(table)}.", 2)
        yield "  - enrich:"
        yield f"      table: {table.name}"
        yield "      from:"
        yield from _files(table.sample, folder, 8)
        yield f"      on: {flow({table.column: table.key})}"
        yield "      add:"
        for new, (column, logical) in table.add.items():
            entry: dict[str, object] = {"column": column, "type": logical}
            yield f"        {new}: {flow(entry)}"


def rollup_of(proposal: Proposal) -> Rollup | None:
    """Return a table of counts and means by window and group; None without an event time."""
    when = proposal.event_time
    if when.name is None:
        return None
    hourly = when.last_us - when.first_us <= _FEW_DAYS
    measured = _measured(proposal)
    money = any(is_money(p.name) for p in measured)
    group = (_currency(proposal) if money else None) or _group(proposal)
    taken = [p.name for p in proposal.properties]
    measures = {free("records", taken): "count(*)"}
    for number, prop in enumerate(measured, 1):
        function, what = ("sum", "total") if is_money(prop.name) else ("avg", "mean")
        name = free(behind(what, prop.name, number), [*taken, *measures])
        measures[name] = f"{function}({sql(prop.name)})"
    return Rollup(
        name=f"{proposal.name}_{'hourly' if hourly else 'daily'}",
        size="1h" if hourly else "1d",
        group_by=(group,) if group else (),
        measures=measures,
    )


def _group(proposal: Proposal) -> str | None:
    """Return the text column with the most values, if they are few."""
    found = [
        p
        for p in proposal.properties
        if p.logical in ("string", "boolean")
        and 2 <= p.distinct <= _GROUPS
        and p.distinct * 5 <= proposal.sample.rows
        and p.classification is None
        and not p.doubtful
    ]
    best = max(found, key=lambda p: (bool(p.enum), p.distinct), default=None)
    return None if best is None else best.name


def _currency(proposal: Proposal) -> str | None:
    """Return the column that tells currencies, if there are several: money adds up within one."""
    for prop in proposal.properties:
        told = set(words(prop.name)) & {"currency", "ccy", "waehrung", "devise", "moneda", "valuta"}
        if told and prop.logical == "string" and 2 <= prop.distinct <= _GROUPS:
            return None if prop.classification else prop.name
    return None


def _measured(proposal: Proposal) -> list[Property]:
    found = [
        p
        for p in proposal.properties
        if p.logical in ("integer", "number")
        and p.classification is None
        and p.epoch is None
        and p.name not in proposal.key.names
        and "minimum" not in p.options
        and p.distinct > _FLAGS
        and not set(words(p.name)) & _NUMBERED
    ]
    return found[:_MEASURED]
