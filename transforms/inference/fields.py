"""What was read of a sample: fields as they stand in its records, with their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from schemas.plan import Written


class Kind(StrEnum):
    """What the format says that the values of a field are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    OBJECT = "object"
    ARRAY = "array"
    MIXED = "mixed"
    NOTHING = "nothing"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Field:
    """A field of the records of a sample.

    Attributes:
        key: Its name in the record, or in the object that it is in.
        kind: What its values are.
        values: Of scalars, one for each record (or object) that was read: text for `TEXT` and for
            numbers and booleans of text formats, else as the file has them.
        rows: How many records (or objects) were read.
        nulls: In how many of them it is missing or null.
        children: Keys of an object.
        regular: Whether an object's keys can be declared: few, of one kind each, mostly there.
        keyed: What an object's keys are, if they are data: then it has no children.
        texts: Of an object that is not regular, its JSON texts.
        items: What an array holds; None if that has no one kind.
        written: How CSV has its booleans or numbers, which are plain in `values`; empty: so.
        again: Its name in a CSV header, if a column before it has the same: `key` has a number.
        numbers: Whether CSV could have numbers in it, written as others of the file.
        note: What was made of its values; of `OTHER`, why nothing can be.
    """

    key: str
    kind: Kind
    rows: int
    nulls: int
    values: pa.Array | None = field(default=None, repr=False)
    children: tuple[Field, ...] = ()
    regular: bool = True
    keyed: str = ""
    texts: pa.Array | None = field(default=None, repr=False)
    items: Field | None = None
    written: str = ""
    again: str = ""
    numbers: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What was read of some files of one shape.

    Attributes:
        path: What names all of the files: as a pipeline has it, absolute.
        format: json, csv, parquet or avro.
        delimiter: CSV.
        names: CSV: made for a file that does not name its columns.
        skip: CSV: lines before its header, or its first record.
        nulls: CSV: texts that mean null.
        written: CSV: how it has booleans and numbers.
        files: How many there are.
        stored_bytes: What they take.
        read_bytes: Bytes of records that were looked at (of columnar files: in memory).
        rows: Records that were looked at and could be read.
        reasons: Why a run refuses records among those, whatever the contract, and how many.
        whole: Whether that was all.
        fields: Of a record.
        about_rows: How many records there are; None: more than were looked at, nobody knows.
        spread: Whether those that were looked at are from all over; else they are the first.
    """

    path: str
    format: str
    delimiter: str = ","
    names: tuple[str, ...] = ()
    skip: int = 0
    nulls: tuple[str, ...] = ("",)
    written: Written = field(default_factory=Written)
    files: int
    stored_bytes: int
    read_bytes: int
    rows: int
    reasons: Mapping[str, int]
    whole: bool
    fields: tuple[Field, ...]
    about_rows: int | None
    spread: bool = False

    @property
    def broken(self) -> int:
        """How many records a run refuses, whatever the contract."""
        return sum(self.reasons.values())
