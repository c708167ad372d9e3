"""From a sample to a proposal: properties, key, event time, and what is not sure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from transforms.inference.event_time import EventTime, find_event_time
from transforms.inference.fields import Field, Kind, Sample
from transforms.inference.found import share
from transforms.inference.free_text import held
from transforms.inference.json_fields import declarable, json_text_fields
from transforms.inference.keys import Key, find_key
from transforms.inference.map_keys import persons_among
from transforms.inference.names import free, identifier, identifiers
from transforms.inference.personal import is_personal, protected
from transforms.inference.persons import is_coordinate, names_persons
from transforms.inference.properties import Property
from transforms.inference.scalars import scalar, text_said

_SURE: Final = 1000
"""Records without a null from which on a null is taken for a fault."""
_OFTEN: Final = 0.1
"""Share of open objects that have a key which is declared."""
_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"
"""Characters that no one writes, and of which a contract cannot have all: NUL and the like."""
_ENUM_ROWS, _ENUM_VALUES, _ENUM_LENGTH = 200, 12, 40


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a contract over some records would say.

    Attributes:
        name: Of the pipeline.
        sample: What it was made of.
        properties: In the order of the record; a computed event time is the first.
        left_out: Keys that the contract cannot have, with why.
        key: What tells rows apart.
        event_time: When they happened.
    """

    name: str
    sample: Sample
    properties: tuple[Property, ...]
    left_out: dict[str, str]
    key: Key
    event_time: EventTime

    def walk(self) -> list[tuple[str, Property]]:
        """Return all properties, nested ones too, with their paths."""
        return [pair for prop in self.properties for pair in prop.walk()]

    @property
    def personal(self) -> list[tuple[str, Property]]:
        """Properties that are likely about persons, with their paths."""
        return [(path, prop) for path, prop in self.walk() if prop.classification]


def infer(
    name: str, sample: Sample, *, event_time: str | None = None, keep: bool = False
) -> Proposal:
    """Propose a contract.

    Args:
        name: Of the pipeline.
        sample: What was read.
        event_time: The column that a person chose, if several might be it.
        keep: Whether a person said that what looks personal is to be kept as it is.
    """
    left_out: dict[str, str] = {}
    names = identifiers(field.key for field in sample.fields)
    found = []
    for field in sample.fields:
        if not field.key and (why := _unreadable(field, sample)):
            left_out[field.key] = why
        elif (prop := _property(field, names[field.key], sample.format, left_out)) is not None:
            found.append(prop)
    properties = protected(_noted(found))
    if keep:
        properties = tuple(map(_kept, properties))
    key = find_key(sample, properties)
    when = find_event_time(properties, key.names, event_time)
    properties = tuple(_ruled(prop, sample, key, when) for prop in properties)
    if when.computed is not None:
        properties = (when.computed, *properties)
    return Proposal(
        name=name,
        sample=sample,
        properties=properties,
        left_out=left_out,
        key=key,
        event_time=when,
    )


def _noted(properties: Sequence[Property]) -> list[Property]:
    """Note columns that are called as persons are, if there are several."""
    persons = persons_among([prop.key for prop in properties])
    note = "called as a person is, perhaps: a contract is no place for names; make rows of these"
    return [
        replace(prop, notes=(*prop.notes, note)) if prop.key in persons else prop
        for prop in properties
    ]


def columns(
    fields: Iterable[Field], form: str, taken: Sequence[str], *, people: bool
) -> tuple[tuple[Property, ...], dict[str, str]]:
    """Propose columns beside those that a contract has; nothing is demanded of them.

    Args:
        fields: Of records.
        form: Format of the records.
        taken: Names that the contract has.
        people: Whether its records are known to be about persons.

    Returns:
        The properties, and keys that a contract cannot have, with why.
    """
    left_out: dict[str, str] = {}
    known = list(taken)
    found = []
    for field in fields:
        name = free(identifier(field.key), known)
        prop = _property(field, name, form, left_out)
        if prop is not None:
            known.append(name)
            found.append(prop)
    return protected(found, people=people), left_out


def keys_of(
    fields: Iterable[Field], inside: str, *, people: bool
) -> tuple[tuple[Property, ...], dict[str, str]]:
    """Propose keys of a declared object beside those that it has; as `columns`.

    Args:
        fields: Keys of the object.
        inside: Where it is, which says what they are, too.
        people: Whether the records are known to be about persons.
    """
    left_out: dict[str, str] = {}
    found = []
    for field in fields:
        prop = _nested(field, inside) if declarable(field) else None
        if prop is None:
            why = "its name, or its values, are none that can be declared inside of an object"
            left_out[field.key] = field.note or why
        else:
            found.append(prop)
    holder = Property(name=inside, key=inside, logical="object", children=tuple(found))
    (holder,) = protected([holder], people=people)
    return holder.children, left_out


def _property(field: Field, name: str, form: str, left_out: dict[str, str]) -> Property | None:
    if share(pa.array([field.key]), _CONTROL):
        left_out[field.key] = "a control character stands in its name"
        return None
    prop = _found(field, name, form, left_out)
    if prop is None or not field.again:
        return prop
    note = f"its name in the header is {field.again!r}, as that of a column before it"
    return replace(prop, notes=(note, *prop.notes))


def _found(field: Field, name: str, form: str, left_out: dict[str, str]) -> Property | None:
    if field.kind is Kind.OBJECT:
        return _object(field, name)
    if field.kind is Kind.ARRAY:
        items = None if field.items is None else _nested(field.items, name)
        if items is None:
            left_out[field.key] = "its arrays hold values of several kinds, or none"
            return None
        return Property(name=name, key=field.key, logical="array", items=items, field=field)
    if form in ("csv", "parquet") and (inner := json_inside(field)):
        prop = _found(replace(inner, key=field.key), name, form, left_out)
        note = f"JSON in the texts of a {form} file"
        return None if prop is None else replace(prop, notes=(note, *prop.notes))
    prop = scalar(field, name)
    if prop is None:
        mixed = "values of several kinds stand in it"
        other = field.note or "its values fit no type"
        left_out[field.key] = mixed if field.kind is Kind.MIXED else other
        return None
    if form != "csv":
        return prop
    prop = text_said(field, prop)
    if field.key.replace(".", "").isdigit() and not _is_year(field.key):
        prop = replace(prop, notes=("its name is a number: has the file a header?", *prop.notes))
    return prop


def _unreadable(field: Field, sample: Sample) -> str:
    """Say why a field without a name cannot be a column, or need not; empty: it can."""
    if sample.format != "csv":
        return "it has no name"
    first = next(one for one in sample.fields if not one.key)
    if field is not first:
        return "another column has no name either"
    return "it has no name, and counts" if _counts(field) else ""


def _counts(field: Field) -> bool:
    """Whether the texts of a field are whole numbers that rise, as a library numbers rows."""
    if field.values is None or field.nulls or not len(field.values):
        return False
    if not pc.all(pc.match_substring_regex(field.values, "^[0-9]{1,18}$")).as_py():
        return False
    numbers = field.values.cast(pa.int64()).to_numpy()
    return bool((numbers[1:] > numbers[:-1]).all())


def _is_year(text: str) -> bool:
    """Whether a text is a year that tables have columns for."""
    return len(text) == len("2000") and text.isdigit() and 1800 <= int(text) <= 2100


def json_inside(field: Field) -> Field | None:
    """Return what the JSON is that all texts of a field hold: objects, or arrays of one kind."""
    if field.kind is not Kind.TEXT or field.values is None or field.nulls == field.rows:
        return None
    texts = field.values
    like = pc.match_substring_regex(texts.drop_null(), r"(?s)^\s*(\{.*\}|\[.*\])\s*$")
    if not pc.all(like).as_py():
        return None
    whole = pc.binary_join_element_wise('{"v":', texts, "}", "")
    fields, _, broken = json_text_fields(whole)
    if broken or len(fields) != 1 or fields[0].kind not in (Kind.OBJECT, Kind.ARRAY):
        return None
    if fields[0].kind is Kind.ARRAY and fields[0].items is None:
        return None
    return replace(fields[0], rows=field.rows, nulls=field.nulls)


def _object(field: Field, name: str) -> Property:
    """Return an object with its keys; an open one declares those that are of one kind."""
    children = [child for c in field.children if (child := _nested(c, name)) is not None]
    if field.regular and len(children) == len(field.children):
        return Property(
            name=name, key=field.key, logical="object", children=tuple(children), field=field
        )
    declared = [
        child
        for child in children
        if child.logical not in ("object", "array") and identifier(child.key) == child.key
    ]
    there = field.rows - field.nulls
    often = {c.key for c in field.children if c.rows - c.nulls >= _OFTEN * there}
    # What is not declared stays in clear, so what is personal comes first, however rare.
    hidden = [child for child in declared if is_personal(child)]
    declared = hidden + [c for c in declared if c not in hidden and c.key in often]
    notes = (f"{len(field.children)} keys that differ by record: what is not declared stays",)
    if field.keyed:
        notes = (f"its keys are {field.keyed}: a map, of which no key is declared",)
    return Property(
        name=name,
        key=field.key,
        logical="object",
        open=True,
        children=tuple(declared[:20]),
        notes=notes
        if field.children or field.keyed
        else ("an open object: no key of it is declared",),
        field=field,
    )


def _nested(field: Field, inside: str) -> Property | None:
    """Return a property inside an object or array; None if it cannot be declared there."""
    if field.kind is Kind.OBJECT:
        children = [_nested(child, f"{inside} {field.key}") for child in field.children]
        known = tuple(child for child in children if child is not None)
        if not field.regular or not known or len(known) < len(children):
            return None
        return Property(
            name=field.key, key=field.key, logical="object", children=known, field=field
        )
    if field.kind is Kind.ARRAY:
        items = None if field.items is None else _nested(field.items, f"{inside} {field.key}")
        if items is None:
            return None
        return Property(name=field.key, key=field.key, logical="array", items=items, field=field)
    if field.kind is Kind.TEXT and not field.rows:  # of an array: its texts say no type
        prop = scalar(replace(field, values=None), field.key, inside)
        return None if prop is None else replace(prop, field=field)
    return scalar(field, field.key, inside)


def _kept(prop: Property) -> Property:
    children = tuple(map(_kept, prop.children))
    items = (
        None
        if prop.items is None
        else replace(prop.items, children=tuple(map(_kept, prop.items.children)))
    )
    prop = replace(prop, children=children, items=items)
    if prop.classification is None:
        return prop
    reason = "Looks personal; said to be needed in clear when this contract was begun."
    return replace(prop, protect="keep", protect_options={}, reason=reason)


def _ruled(prop: Property, sample: Sample, key: Key, when: EventTime) -> Property:
    """Add what may be demanded (required, key, bounds), and what was seen, as a warning."""
    in_key = prop.name in key.names
    never_null = prop.field is not None and prop.nulls == 0
    sure = never_null and sample.whole and sample.rows >= _SURE
    prop = replace(
        prop,
        required=in_key or prop.name == when.name or sure,
        primary_key=key.names.index(prop.name) + 1 if in_key else None,
    )
    if prop.name in key.maybe:
        note = f"unique in all {sample.rows:,} records: primaryKey: true, if it must be"
        prop = replace(prop, notes=(note, *prop.notes))
    if prop.options.get("format") in ("uuid", "email", "ipv4", "uri"):
        return replace(prop, warn=not in_key)
    if bounds := _bounds(prop):
        return replace(prop, options=prop.options | bounds)
    if in_key or prop.classification is not None or prop.doubtful:
        return prop
    if values := _enum(prop):
        return replace(prop, enum=values, warn=True)
    return prop


def _bounds(prop: Property) -> dict[str, object] | None:
    if prop.logical != "number" or not is_coordinate(prop.name) or prop.field is None:
        return None
    values = prop.field.values
    if values is None:
        return None
    ends = pc.min_max(values.cast(pa.float64())).as_py()
    most = 90 if "lat" in prop.name.lower() else 180
    if ends["min"] is None or ends["min"] < -most or ends["max"] > most:
        return None
    return {"minimum": -most, "maximum": most}


def _enum(prop: Property) -> tuple[str, ...]:
    """Return the values of a text column that has few of them in many records."""
    field = prop.field
    if prop.logical != "string" or prop.options or field is None or field.values is None:
        return ()
    known = field.rows - field.nulls
    if known < _ENUM_ROWS or not 2 <= prop.distinct <= _ENUM_VALUES:
        return ()
    values = pc.unique(field.values.drop_null())
    if pc.max(pc.utf8_length(values)).as_py() > _ENUM_LENGTH:
        return ()
    if names_persons(values) or held(values).shares or share(values, _CONTROL):
        return ()
    return tuple(sorted(values.to_pylist()))
