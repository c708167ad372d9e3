"""What a contract could say of values that it does not have yet, by some of their records.

Values are looked at here, in the worker, and go nowhere: what leaves are types, names and formats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.plan import FileSource
from transforms.changes.proposals import Digits, bare
from transforms.decode.attached_records import ATTACHED, apart
from transforms.decode.json_texts import json_texts
from transforms.inference.fields import Field
from transforms.inference.properties import Property
from transforms.masking import shape
from transforms.sources.blocks import Block

_PLAIN: Final = r"^-?(?P<whole>[0-9]+)(?:\.(?P<after>[0-9]+))?$"


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
    """

    taken: tuple[str, ...] = ()
    people: bool = False
    exact: bool = False


def of_records(
    records: pa.Array,
    form: str,
    names: Iterable[str],
    beside: Beside,
    source: FileSource | None = None,
) -> dict[str, Said]:
    """Look at the values that some keys have in records.

    Args:
        records: As they came (pa.binary); nulls are passed over.
        form: json, or csv: each under its header line; perhaps with key and headers (`ATTACHED`),
            which are not looked at.
        names: The keys.
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
    return of_fields(fields, form, names, beside)


def of_batch(rows: pa.RecordBatch, beside: Beside) -> dict[str, Said]:
    """Look at columns of a file that has types."""
    from transforms.inference.columnar_fields import columnar_fields  # noqa: PLC0415  slow to import

    fields, _, _ = columnar_fields([Block("", 0, rows, 0)])
    return of_fields(fields, "parquet", rows.schema.names, beside)


def of_fields(
    fields: Iterable[Field], form: str, names: Iterable[str], beside: Beside
) -> dict[str, Said]:
    """Say what a contract could say of fields of a sample; of those without a value nothing."""
    from transforms.inference.infer import columns  # noqa: PLC0415  slow to import

    wanted = set(names)
    some = [f for f in fields if f.key in wanted and f.nulls < f.rows]
    found, left_out = columns(some, form, beside.taken, people=beside.people)
    by_key = {prop.key: _exact(prop) if beside.exact else prop for prop in found}
    return {
        field.key: Said(
            bare(by_key[field.key]) if field.key in by_key else None,
            left_out.get(field.key, ""),
            _first_shape(field.values),
        )
        for field in some
    }


def _first_shape(values: pa.Array | None) -> str:
    """Return what the first value looks like, whatever its type; empty if there is none."""
    some = None if values is None else values.drop_null()[:1]
    if not some:
        return ""
    return shape(json_texts(some, any_number=True)[0].as_py().strip('"'))


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
