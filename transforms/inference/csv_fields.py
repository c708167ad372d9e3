"""Fields of CSV records: texts, and which texts mean that there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names as listed
from schemas.plan import FileSource, Written
from transforms.decode.csv_text import Layout, frame, read_texts
from transforms.decode.headers import csv_names, numbered
from transforms.inference.fields import Field, Kind
from transforms.inference.names import words
from transforms.inference.scalars import TEXT_IDS
from transforms.inference.written import (
    is_padded,
    reads_numbers,
    trimmed,
    undressed,
    written_of,
)
from transforms.sources.blocks import Block
from transforms.sources.csv_records import delimiter_byte

_ALWAYS: Final = ("NULL", "\\N", "#N/A", "<NA>")
"""Nothing else is ever meant by these."""
_IN_NUMBERS: Final = listed("NA N/A n/a NaN nan null None - ? . na -- nil")
_TYPED: Final = (
    r"^(-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9].*"
    r"|[$€£¥₹]? ?-?[$€£¥₹]?[0-9][0-9.,]* ?[%$€£¥₹]?|(?i:true|false|yes|no|y|n|t|f|on|off))$"
)


class CsvFields(NamedTuple):
    """What was read of a CSV file.

    Attributes:
        fields: Of a record.
        rows: How many records.
        reasons: Why others are refused: another number of fields, and such; and how many.
        nulls: Texts that mean null.
        written: How booleans and numbers stand in it.
    """

    fields: tuple[Field, ...]
    rows: int
    reasons: Counter[str]
    nulls: tuple[str, ...]
    written: Written


def csv_fields(
    blocks: Sequence[Block], delimiter: str, *, known: FileSource | None = None
) -> CsvFields:
    """Return what a CSV file has.

    Args:
        blocks: Of records.
        delimiter: Between fields.
        known: Says which texts mean null, and how booleans and numbers stand in it; None: both are
            looked for.

    Raises:
        SourceError: The header is no CSV record.
    """
    header = csv_names(blocks[0].header, delimiter, blocks[0].source)
    names = list(numbered(header))
    nulls = ("",) if known is None else known.nulls
    columns, rows, reasons = _read(blocks, names, delimiter, nulls)
    trim = is_padded(columns) if known is None else known.written.trim
    if known is None:
        nulls = ("", *_null_texts(columns, trim=trim))
        if len(nulls) > 1:
            columns, rows, reasons = _read(blocks, names, delimiter, nulls)
    if trim:
        columns = [trimmed(values) for values in columns]
    numbers = [not set(words(name)) & TEXT_IDS for name in names]
    if known is None:
        some = [values for values, may in zip(columns, numbers, strict=True) if may]
        written = replace(written_of(some, delimiter), trim=trim)
    else:
        written = known.written
    fields = []
    for name, there, values, may in zip(names, header, columns, numbers, strict=True):
        if name or values.null_count < rows:  # a delimiter at the end of lines makes no column
            read, how = undressed(values, written) if may else (values, "")
            field = Field(name, Kind.TEXT, rows, values.null_count, read, written=how)
            counts = bool(how) or reads_numbers(values, written)
            fields.append(replace(field, numbers=counts, again="" if name == there else there))
    return CsvFields(tuple(fields), rows, reasons, nulls, written)


def _read(
    blocks: Sequence[Block], names: Sequence[str], delimiter: str, nulls: tuple[str, ...]
) -> tuple[list[pa.Array], int, Counter[str]]:
    byte = delimiter_byte(delimiter)
    parts: list[list[pa.Array]] = []
    rows = 0
    reasons: Counter[str] = Counter()
    for block in blocks:
        own = list(numbered(csv_names(block.header, delimiter, block.source)))
        there = [_place(name, i, own) for i, name in enumerate(names)]
        layout = Layout(len(own), tuple(i for i in there if i is not None), nulls, byte)
        assert isinstance(block.data, np.ndarray)  # noqa: S101  # of a text format
        texts = read_texts(block.data, frame(block.data, byte), layout)
        found, kept = iter(texts.columns), len(texts.kept)
        parts.append([pa.nulls(kept, pa.string()) if i is None else next(found) for i in there])
        rows += kept
        reasons.update(texts.broken.values())
    return [pa.concat_arrays(part) for part in zip(*parts, strict=True)], rows, reasons


def _place(name: str, number: int, own: Sequence[str]) -> int | None:
    """Return where a column is in a file: by its name, and one without a name where it was."""
    if name:
        return own.index(name) if name in own else None
    return number if own[number : number + 1] == [""] else None


def _null_texts(columns: Sequence[pa.Array], *, trim: bool) -> list[str]:
    """Return texts that mean null, as they stand: without them a column that is text has a type."""
    found: set[str] = set()
    known = pa.array([*_ALWAYS, *_IN_NUMBERS])
    for values in columns:
        plain = trimmed(values) if trim else values
        is_mark = pc.fill_null(pc.is_in(plain, value_set=known), fill_value=False)
        marks = pc.unique(values.filter(is_mark)).to_pylist()
        if not marks:
            continue
        found.update(mark for mark in marks if mark.strip() in _ALWAYS)
        rest = plain.filter(pc.invert(is_mark)).drop_null()
        if not len(rest) or pc.all(pc.match_substring_regex(rest, _TYPED)).as_py():
            found.update(marks)
    return sorted(found)
