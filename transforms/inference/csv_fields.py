"""Fields of CSV records: texts, and which texts mean that there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from transforms.decode.csv_text import Layout, frame, read_texts
from transforms.decode.headers import csv_names
from transforms.inference.fields import Field, Kind
from transforms.sources.blocks import Block
from transforms.sources.csv_records import delimiter_byte

_ALWAYS: Final = ("NULL", "\\N", "#N/A", "<NA>")
"""Nothing else is ever meant by these."""
_IN_NUMBERS: Final = ("NA", "N/A", "n/a", "NaN", "nan", "null", "None", "-", "?", ".", "na", "--")
_TYPED: Final = (
    r"^(-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9].*|(?i:true|false))$"
)


def csv_fields(
    blocks: Sequence[Block], delimiter: str, *, nulls: tuple[str, ...] | None = None
) -> tuple[tuple[Field, ...], int, int, tuple[str, ...]]:
    """Return the fields, how many records were read, how many are broken, and what means null.

    Args:
        blocks: Of records.
        delimiter: Between fields.
        nulls: Texts that mean null; None: that is looked for.

    Raises:
        SourceError: The file has no header.
    """
    names = csv_names(blocks[0].header, delimiter, blocks[0].source)
    _check_header(names, blocks[0].source)
    columns, rows, broken = _read(blocks, names, delimiter, ("",) if nulls is None else nulls)
    if nulls is None:
        nulls = ("", *_null_texts(columns))
        if len(nulls) > 1:
            columns, rows, broken = _read(blocks, names, delimiter, nulls)
    fields = tuple(
        Field(name, Kind.TEXT, rows, values.null_count, values)
        for name, values in zip(names, columns, strict=True)
        if name
    )
    return fields, rows, broken, nulls


def _check_header(names: Sequence[str], source: str) -> None:
    if names and all(re.fullmatch(r"[0-9 .eE+-]*[0-9][0-9 .eE+-]*", name) for name in names):
        msg = f"a CSV file must have a header; got numbers in the first line of {source}; add one"
        raise SourceError(msg)
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        msg = f"columns of a file must have different names; got one twice in {source}; rename it"
        raise SourceError(msg)


def _read(
    blocks: Sequence[Block], names: Sequence[str], delimiter: str, nulls: tuple[str, ...]
) -> tuple[list[pa.Array], int, int]:
    byte = delimiter_byte(delimiter)
    parts: list[list[pa.Array]] = []
    rows = broken = 0
    for block in blocks:
        own = csv_names(block.header, delimiter, block.source)
        there = [own.index(name) if name in own else None for name in names]
        layout = Layout(len(own), tuple(i for i in there if i is not None), nulls, byte)
        assert isinstance(block.data, np.ndarray)  # noqa: S101  # of a text format
        texts = read_texts(block.data, frame(block.data, byte), layout)
        found, kept = iter(texts.columns), len(texts.kept)
        parts.append([pa.nulls(kept, pa.string()) if i is None else next(found) for i in there])
        rows += kept
        broken += len(texts.broken)
    return [pa.concat_arrays(part) for part in zip(*parts, strict=True)], rows, broken


def _null_texts(columns: Sequence[pa.Array]) -> list[str]:
    """Return texts that mean null: without them a column that is text has a type."""
    found: set[str] = set()
    known = pa.array([*_ALWAYS, *_IN_NUMBERS])
    for values in columns:
        marks = pc.unique(values.filter(pc.is_in(values, value_set=known))).drop_null().to_pylist()
        if not marks:
            continue
        found.update(set(marks) & set(_ALWAYS))
        rest = values.filter(pc.invert(pc.is_in(values, value_set=pa.array(marks)))).drop_null()
        if not len(rest) or pc.all(pc.match_substring_regex(rest, _TYPED)).as_py():
            found.update(marks)
    return sorted(found)
