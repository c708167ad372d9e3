"""What a contract could say of values that it does not have yet, by some of their records.

Values are looked at here, in the worker, and go nowhere: what leaves are types, names and formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.plan import FileSource
from transforms.changes.proposals import Digits, bare
from transforms.changes.seen import Key
from transforms.decode.attached import last_of
from transforms.decode.attached_records import ATTACHED, apart
from transforms.decode.casts import isolate
from transforms.decode.json_texts import json_texts
from transforms.inference.fields import Field, Kind
from transforms.inference.properties import Property
from transforms.masking import shape
from transforms.sources.blocks import Block

_PLAIN: Final = r"^-?(?P<whole>[0-9]+)(?:\.(?P<after>[0-9]+))?$"
_ENDLESS: Final = "numbers must be finite; got NaN or infinite ones"


class Said(NamedTuple):
    """What could be said of a key: a property, or why there is none; neither without a value.

    `shape` is what the first value looks like, where it is a scalar.
    """

    proposal: Property | None = None
    note: str = ""
    shape: str = ""


class Beside(NamedTuple):
    """What there is already.

    Attributes:
        taken: Names that a contract has.
        people: Whether its records are about persons.
        exact: Whether numbers are to be exact, of as many digits as they have.
        numbers: Whether values are to be numbers, of which NaN and the infinite are none.
        keys: What columns of the contract are called in records.
    """

    taken: tuple[str, ...] = ()
    people: bool = False
    exact: bool = False
    numbers: bool = False
    keys: Mapping[str, str] = MappingProxyType({})


def of_records(
    records: pa.Array,
    form: str,
    keys: Iterable[Key],
    beside: Beside,
    source: FileSource | None = None,
) -> dict[Key, Said]:
    """Look at the values that some keys have in records.

    Args:
        records: As they came (pa.binary); nulls are passed over.
        form: json, or csv: each under its header line; perhaps with key and headers (`ATTACHED`),
            which are not looked at.
        keys: Which.
        beside: See Beside.
        source: How CSV is written.
    """
    known = records.drop_null()
    if not len(known):
        return {}
    if form.endswith(ATTACHED):
        known, form = apart(known).payloads.drop_null(), form.removesuffix(ATTACHED)
    fields: tuple[Field, ...] = ()
    if form == "csv" and source is not None:
        fields = _csv(known, source)
    elif form == "json":
        fields = _json(known)
    return of_fields(fields, form, keys, beside)


def of_attached(records: pa.Array, name: str, header: str | None, beside: Beside) -> Said:
    """Look at the values that a column has beside the payloads of messages.

    Args:
        records: Their records, with key and headers (`ATTACHED`).
        name: The column.
        header: Name of its header; None: it is the key.
        beside: See Beside.
    """
    parts = apart(records)
    values = parts.keys if header is None else last_of(parts.headers, header)
    texts = isolate(lambda part: part.cast(pa.string()), values, pa.string()).values
    field = Field(name, Kind.TEXT, len(texts), texts.null_count, texts)
    return of_fields([field], "csv", [Key(name)], beside).get(Key(name), Said())


def of_batch(rows: pa.RecordBatch, keys: Iterable[Key], beside: Beside) -> dict[Key, Said]:
    """Look at the values that some keys have in columns of a file that has types."""
    from transforms.inference.columnar_fields import columnar_fields  # noqa: PLC0415  slow to import

    fields, _, _ = columnar_fields([Block("", 0, rows, 0)])
    return of_fields(fields, "parquet", keys, beside)


def of_fields(
    fields: Iterable[Field], form: str, keys: Iterable[Key], beside: Beside
) -> dict[Key, Said]:
    """Say what a contract could say of keys in a sample; of those without a value nothing."""
    from transforms.inference.infer import columns, keys_of  # noqa: PLC0415  slow to import

    wanted: dict[str, set[str]] = {}
    for key in keys:
        wanted.setdefault(key.inside, set()).add(key.name)
    all_fields, said = tuple(fields), {}
    for inside, names in wanted.items():
        there = _fields_in(all_fields, inside, beside.keys)
        some = [f for f in there if f.key in names and f.nulls < f.rows]
        if inside:
            found, left_out = keys_of(some, inside, people=beside.people)
        else:
            found, left_out = columns(some, form, beside.taken, people=beside.people)
        by_key = {prop.key: _exact(prop) if beside.exact else prop for prop in found}
        for field in some:
            prop, note = by_key.get(field.key), left_out.get(field.key, "")
            if beside.numbers and _without_size(field.values):
                prop, note = None, _ENDLESS
            made = None if prop is None else bare(prop)
            looks = "" if note == _ENDLESS else _first_shape(field.values)
            said[Key(field.key, inside)] = Said(made, note, looks)
    return said


def _fields_in(
    fields: tuple[Field, ...], inside: str, keys: Mapping[str, str]
) -> tuple[Field, ...]:
    """Return the keys of the objects at a path of the contract."""
    from transforms.inference.infer import json_inside  # noqa: PLC0415  slow to import

    for number, part in enumerate(inside.split(".") if inside else ()):
        name = part.rstrip("[]")
        name = name if number else keys.get(name, name)
        field = next((f for f in fields if f.key == name), None)
        if field is not None and field.kind is Kind.TEXT:
            field = json_inside(field)
        for _ in range(part.count("[]")):
            field = None if field is None else field.items
        fields = () if field is None else field.children
    return fields


def _first_shape(values: pa.Array | None) -> str:
    """Return what the first value looks like, whatever its type; empty if there is none."""
    some = None if values is None else values.drop_null()[:1]
    if not some:
        return ""
    return shape(json_texts(some, any_number=True)[0].as_py().strip('"'))


def _without_size(values: pa.Array | None) -> bool:
    """Whether all values are what floats have beside numbers, as it is written in records."""
    if values is None or not pa.types.is_string(values.type):
        return False
    endless = pc.match_substring_regex(values.drop_null(), r"(?i)^[+-]?(nan|inf|infinity)$")
    return bool(pc.all(endless, min_count=1).as_py())


def _exact(prop: Property) -> Property:
    """Return numbers that are written as texts as an exact type of so many digits."""
    values = None if prop.field is None else prop.field.values
    if prop.logical not in ("integer", "number") or values is None:
        return prop
    parts = pc.extract_regex(values.cast(pa.string()).drop_null(), _PLAIN)
    if parts.null_count:
        return prop
    whole, after = (
        pc.max(pc.utf8_length(parts.field(name))).as_py() for name in ("whole", "after")
    )
    return replace(prop, logical="number", physical=Digits(whole, after).physical)


def _json(records: pa.Array) -> tuple[Field, ...]:
    from transforms.inference.json_fields import json_fields  # noqa: PLC0415  slow to import

    return json_fields([record.replace(b"\n", b" ") for record in records.to_pylist()])[0]


def _csv(records: pa.Array, source: FileSource) -> tuple[Field, ...]:
    from transforms.inference.csv_fields import csv_fields  # noqa: PLC0415  slow to import

    by: dict[bytes, list[bytes]] = {}
    for record in records.to_pylist():
        header, _, line = record.partition(b"\n")
        by.setdefault(header, []).append(line)
    header, lines = max(by.items(), key=lambda one: len(one[1]))
    data = np.frombuffer(b"\n".join(lines) + b"\n", np.uint8)
    try:
        block = Block("", 0, data, 0, header)
        return csv_fields([block], source.delimiter, known=source).fields
    except SourceError:  # a header that names nothing
        return ()
