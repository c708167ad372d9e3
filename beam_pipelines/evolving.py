"""From changes that were seen to a contract that has them: what `penstock evolve` does."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from beam_pipelines.contract_text import ContractText, EditError, minor, read_text
from beam_pipelines.init_contract import property_lines
from beam_pipelines.unlisted import ENUM, Unlisted, unlisted
from beam_pipelines.widening import takes, wider
from schemas.contract import Column
from schemas.disk import writing
from schemas.errors import UsageError
from schemas.located import Located, load
from schemas.plan import Plan
from schemas.references import public
from transforms.changes.evidence import Beside, of_fields
from transforms.changes.kept import kept_changes
from transforms.changes.meet import TAKING
from transforms.changes.seen import Change, Key, Kind, merged
from transforms.commit import evolve
from transforms.commit.lake import Lake, open_lake
from transforms.inference.fields import Field
from transforms.inference.fields import Kind as FieldKind
from transforms.inference.infer import json_inside
from transforms.inference.names import free
from transforms.inference.properties import Property
from transforms.inference.reading import read_sample

_MAY_LACK: Final = "Files that came before it have none; once there are no more, remove mayLack."
_LACKING: Final = (
    "a file without it says nothing of what it is; if files may be without it, let it say "
    "penstock:mayLack: true (and not required); if it is gone for good, take it out"
)

PlanOf = Callable[[Located], Plan]
"""Makes the plan of a pipeline whose contract says something else."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What a contract would say, and what it would not.

    Attributes:
        file: The contract.
        before: Its text.
        after: The text that it would have.
        versions: Before and after; the same if it is not made of numbers, or cannot be changed
            safely.
        done: What is changed, in words.
        left: What is not, with why and what to do.
        met: What meets records of what is changed: modes, nothing ("") where the contract says
            none, and `ENUM`.
    """

    file: Path
    before: str
    after: str
    versions: tuple[str, str]
    done: tuple[str, ...]
    left: tuple[str, ...]
    met: frozenset[str]

    def diff(self) -> str:
        """Return the change as a unified diff."""
        name = self.file.name
        rows = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*rows, fromfile=name, tofile=name))

    def apply(self) -> None:
        """Write the contract, whole or not at all.

        Raises:
            UsageError: It is not what it was any more.
            PenstockError: It cannot be written.
        """
        path = self.file.resolve()
        with writing(path):
            if path.read_bytes() != self.before.encode():
                msg = f"{self.file} must stay as it was read; got a change meanwhile; run it again"
                raise UsageError(msg)
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(self.after.encode())
            part.chmod(path.stat().st_mode)
            part.replace(path)


def propose(plan: Plan, changes: Sequence[Change | Unlisted], plan_of: PlanOf) -> Patch:
    """Change a contract so that it has what was seen, as far as the lake can take it.

    Each change is checked by itself: by the rules of both files, and against the tables that are
    there.

    Args:
        plan: By the contract as it is.
        changes: What was seen.
        plan_of: See PlanOf.

    Raises:
        SpecError: The contract cannot be read.
    """
    file = plan.contract.file
    located = load(file)
    before = now = read_text(file.read_bytes().decode(), located)
    lake = open_lake(plan) if (plan.out / "lake").is_dir() else None
    done, left, met = [], [], set[str]()
    for change in changes:
        try:
            made, said = _edited(now, change, plan)
            _check(plan_of(made.located), lake)
        except (_NoneError, EditError, UsageError) as error:
            left.append(f"{_called(change)}: {error}")
            continue
        now = made
        done.append(said)
        met.add(_met(change, plan))
    version = plan.contract.version
    raised = minor(version) if done else None
    if raised is not None:
        try:
            now = now.with_version(raised)
        except EditError:
            raised = None
    return Patch(
        file=file,
        before=before.text,
        after=now.text,
        versions=(version, raised or version),
        done=tuple(done),
        left=tuple(left),
        met=frozenset(met),
    )


class _NoneError(Exception):
    """There is nothing that a contract could say."""


def _edited(text: ContractText, change: Change | Unlisted, plan: Plan) -> tuple[ContractText, str]:
    """Return a contract that has a change, and what it says now."""
    if isinstance(change, Unlisted):
        return _listed(text, change)
    if change.kind is Kind.LACKING:
        raise _NoneError(_LACKING)
    if not change.name:
        msg = (
            "keys that do not look like names, or more of them than are told apart; where keys are "
            "data, put them into an object, which may be open"
        )
        raise _NoneError(msg)
    if change.proposal is None:
        raise _NoneError(change.note or _unseen(change))
    if change.kind is Kind.UNDECLARED:
        return _added(text, change, change.proposal, plan)
    (column,) = (c for c in plan.contract.columns if c.name == change.name)
    texts, scalar = change.texts, not column.children and column.items is None
    found = wider(column, change.proposal, texts=texts) if scalar else None
    if found is None:
        msg = (
            f"no type takes both {column.logical} and {change.proposal.logical}; mend the records, "
            "or read the new ones into a pipeline of their own"
        )
        raise _NoneError(msg)
    made = text.with_type(column.name, found.logical, found.physical)
    return made, f"{column.name}: {_type(column)} becomes {found.physical or found.logical}"


def _listed(text: ContractText, more: Unlisted) -> tuple[ContractText, str]:
    if not more.values:
        raise _NoneError(more.note)
    values, s = ", ".join(map(repr, more.values)), "s" if more.rows != 1 else ""
    made = text.with_values(more.name, more.values)
    return made, f"{more.name}: lists {values} too, of {more.rows:,} refused row{s}"


def _unseen(change: Change) -> str:
    if change.format == "json" or change.texts:
        return "no value of it was seen"
    return f"its values in {change.format} were not looked at; change the contract by hand"


def _added(
    text: ContractText, change: Change, proposal: Property, plan: Plan
) -> tuple[ContractText, str]:
    taken = [p["name"] for p in text.located.value["schema"][0]["properties"]]
    taken += plan.tables[plan.processed].schema.names
    records = f"{change.rows:,} record{'s' if change.rows != 1 else ''}"
    seen = f"Seen in {records}, first in {PurePosixPath(change.source).name}"
    # A record of JSON lines need not have a key, and messages are met as they come.
    headed = plan.source.path and plan.source.format != "json" and not change.inside
    lacking = bool(headed) and plan.contract.on_change in TAKING
    prop = replace(
        proposal,
        name=proposal.name if change.inside else free(proposal.name, taken),
        notes=(seen, *([_MAY_LACK] if lacking else ()), *proposal.notes),
        may_lack=lacking,
    )
    personal = f", personal: {prop.protect or 'protected'}" if prop.classification else ""
    made = text.with_property(list(property_lines(prop, 0)), change.inside)
    called = Key(prop.name, change.inside).called
    return made, f"{called}: added, {prop.physical or prop.logical}{personal}"


def _met(change: Change | Unlisted, plan: Plan) -> str:
    if isinstance(change, Unlisted):
        return ENUM
    own = (c for c in plan.contract.columns if change.kind is Kind.TYPE and c.name == change.name)
    column = next(own, None)
    return (plan.contract.on_change if column is None else plan.contract.met(column)) or ""


def _type(column: Column) -> str:
    return column.logical if column.logical != "number" else str(column.type)


def _called(change: Change | Unlisted) -> str:
    return (change.name if isinstance(change, Unlisted) else change.called) or "others"


def _check(plan: Plan, lake: Lake | None) -> None:
    """Check that the tables that are there can be made to fit a plan.

    Raises:
        UsageError: One cannot.
    """
    if lake is not None and lake.exists():
        for table in plan.tables.values():
            evolve.refuse_breaks(lake.catalog, table)


def seen(plan: Plan, samples: Sequence[str]) -> tuple[Change | Unlisted, ...]:
    """Return the changes that runs have kept, and refused values; or the changes of samples.

    Args:
        plan: By the contract as it is.
        samples: Files, globs or URLs; none: what was kept.

    Raises:
        SourceError: A sample cannot be read.
    """
    if not samples:
        kept = (c for c in kept_changes(plan) if c.kind.met_by_contract)
        return (*kept, *unlisted(plan))
    return merged(change for path in samples for change in _in_sample(plan, path))


def _in_sample(plan: Plan, path: str) -> Iterator[Change]:
    sample = read_sample(path, Path.cwd(), known=plan.source)
    contract = plan.contract
    keys = {c.name: c.key for c in contract.columns}
    beside = Beside(tuple(keys), contract.personal, keys=keys)
    declared = {c.key: c for c in contract.columns}
    texts = sample.format == "csv"
    for field in sample.fields:
        here: dict[str, Any] = {
            "format": sample.format,
            "rows": field.rows - field.nulls,
            "source": public(sample.path),
            "position": 0,
        }
        column = declared.get(field.key)
        for key, inner in () if column is None else _strange(field, column):
            found = of_fields([field], sample.format, [key], beside)[key]
            rows = inner.rows - inner.nulls
            inside = {**here, "rows": rows, "inside": key.inside}
            yield Change(
                kind=Kind.UNDECLARED,
                name=key.name,
                proposal=found.proposal,
                note=found.note,
                **inside,
            )
        said = of_fields([field], sample.format, [Key(field.key)], beside).get(Key(field.key))
        if column is None and said is not None:
            yield Change(
                kind=Kind.UNDECLARED,
                name=field.key,
                proposal=said.proposal,
                note=said.note,
                **here,
            )
        elif column is not None and column.read and said is not None and said.proposal is not None:
            scalar = not column.children and column.items is None
            if scalar and not takes(column, said.proposal, texts=texts):
                yield Change(kind=Kind.TYPE, name=column.name, proposal=said.proposal, **here)


def _strange(field: Field, column: Column) -> Iterator[tuple[Key, Field]]:
    """Yield what a declared object has in a sample, or the objects of an array, undeclared."""
    known = json_inside(field) if field.kind is FieldKind.TEXT else field
    if known is None or column.open:
        return
    if column.items is not None and known.items is not None:
        yield from _strange(known.items, column.items)
    declared = {child.key: child for child in column.children}
    for child in known.children if declared else ():
        if child.key in declared:
            yield from _strange(child, declared[child.key])
        elif child.nulls < child.rows:
            yield Key(child.key, column.path), child
