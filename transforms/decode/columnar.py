"""Decode rows of Parquet and Avro: columns by name, casts that lose nothing.

A column whose type cannot be the contract's refuses the file before its rows; a value that does not
fit refuses its row (rule `type`). What becomes what:

| contract | from |
|---|---|
| string | string; bytes that are UTF-8; `format: uuid` from UUIDs of 16 bytes, too |
| integer | integers in range; floats without a fraction; durations as microseconds |
| number | integers a double holds exactly; floats and decimals to the nearest double; finite |
| exact number | integers and decimals that fit precision and scale |
| boolean | boolean |
| date, time, timestamp | the same, in any unit; text as in CSV |
| object, array | struct, map, list; JSON text |

What is of nanoseconds loses its digits below a microsecond, as texts do, and is counted (`cut`).
A timestamp without a zone is local time in the column's time zone. Years are 1 to 9999. How types
are held (dictionaries, views, large ones ...) makes no difference: see `arrow_types`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column, Contract
from schemas.errors import SourceError
from schemas.names import POSITION, SEQUENCE
from transforms.decode.arrow_types import (
    is_bytes,
    is_uuid_bytes,
    micros,
    simple,
    simple_type,
    uuid_texts,
)
from transforms.decode.casts import Cast, cast_text, expected, finite, in_zone, isolate, known
from transforms.decode.decoded import LOOKED_AT, Decoded, Undeclared, everything, root
from transforms.decode.headers import find_columns, lacking, undeclared
from transforms.decode.json_texts import json_texts
from transforms.decode.nested import NestedTexts, to_json
from transforms.decode.refusals import refusals
from transforms.decode.typed import (
    Failures,
    by_row,
    cut_rows,
    nested,
    nulled_rows,
    position_columns,
    rows_of,
    undeclared_keys,
)
from transforms.sources.blocks import Block

_T: Final = pa.types


class ColumnarDecoder:
    """Decodes blocks of rows; stateless but for what it knows of the contract."""

    def __init__(self, contract: Contract) -> None:
        """Keep what rows must be."""
        self.contract = contract
        self._nested = NestedTexts(contract)

    def check(self, schema: pa.Schema, source: str) -> None:
        """Check a file's schema before any of its rows are read.

        Raises:
            SourceError: A required column is missing, or a type cannot be the contract's.
        """
        places = find_columns(self.contract, schema.names, source)
        for column in self.contract.columns:
            if column.name in places:
                kind = schema.field(places[column.name]).type
                if not fits(kind, column) and not by_row(column, self.contract):
                    msg = (
                        f"a file must have columns of the contract's types; got {column.name} as "
                        f"{kind} instead of {column.logical} in {source}; correct the contract"
                    )
                    raise SourceError(msg)

    def decode(self, block: Block) -> Decoded:
        """Decode a block of rows; those of Avro bring `_position` and `_sequence`.

        Returns:
            As `CsvDecoder.decode`; refused records are JSON texts of the row.

        Raises:
            SourceError: See `check`.
        """
        assert isinstance(block.data, pa.RecordBatch)  # noqa: S101  # of columnar formats
        data, positions, sequences = _placed(block)
        self.check(data.schema, block.source)
        places = find_columns(self.contract, data.schema.names, block.source)
        data = self._with_uuids(data, places)
        failures = Failures(data.num_rows)
        columns = self.columns(data, failures, places)
        rows = rows_of(
            self.contract, columns, failures, position_columns(block, positions, sequences)
        )
        bad_rows = failures.bad()
        refused = refusals(
            position_columns(block, positions[bad_rows], sequences[bad_rows]),
            [failures.first[i] for i in bad_rows.tolist()],
            "json",
            _records(data, bad_rows),
        )
        decoded = Decoded(rows, refused, _originals(data, positions))
        strange = undeclared(self.contract, data.schema.names)
        inside = undeclared_keys(failures)
        beside = (*strange, *self._holding(inside)) if strange or inside else ()
        return decoded._replace(
            undeclared=(*everything(decoded, strange), *inside),
            beside=data.slice(0, LOOKED_AT).select(beside) if beside else None,
            lacking=lacking(self.contract, places),
            nulled=nulled_rows(failures),
            cut=cut_rows(failures),
        )

    def _holding(self, undeclared: tuple[Undeclared, ...]) -> tuple[str, ...]:
        """Return the file's columns that undeclared keys stand in."""
        roots = {root(key.inside) for one in undeclared for key in one.keys}
        return tuple(c.key for c in self.contract.columns if c.name in roots)

    def _with_uuids(self, data: pa.RecordBatch, places: Mapping[str, int]) -> pa.RecordBatch:
        for column in self.contract.columns:
            at = places.get(column.name, -1)
            if at >= 0 and _is_uuid(column) and is_uuid_bytes(data.column(at).type):
                name = data.schema.names[at]
                data = data.set_column(at, name, uuid_texts(data.column(at)))
        return data

    def columns(
        self, data: pa.RecordBatch, failures: Failures, places: Mapping[str, int]
    ) -> dict[str, pa.Array]:
        """Return the contract's columns and path columns of all rows, null where one does not fit.

        Args:
            data: Of types that fit the contract (`fits`).
            failures: Takes rule and reason of each row that does not fit.
            places: Where in `data` each column is; those that are absent are left out.
        """
        columns: dict[str, pa.Array] = {}
        texts: dict[str, pa.Array] = {}
        for column in self.contract.columns:
            if column.name not in places:
                continue
            values = data.column(places[column.name])
            if nested(column) and fits(values.type, column):
                texts[column.name] = to_json(values)
                continue
            reason = f"`{column.name}` must be {_expected(values.type, column)}"
            if not fits(values.type, column):
                bad = values.is_valid().to_numpy(zero_copy_only=False)
                columns[column.name] = pa.nulls(len(values), column.type)
            else:
                values, cut = _whole_micros(values)
                columns[column.name], bad = cast_values(values, column)
                if cut is not None:
                    failures.cut[column.name] = cut
            failures.wrong(bad, reason, column, self.contract)
        return columns | self._nested.read(texts, failures)


def _placed(block: Block) -> tuple[pa.RecordBatch, NDArray[np.int64], NDArray[np.int32]]:
    data: Any = block.data
    if POSITION not in data.schema.names:
        positions = block.start + np.arange(data.num_rows, dtype=np.int64)
        return data, positions, np.zeros(data.num_rows, np.int32)
    positions, sequences = data[POSITION].to_numpy(), data[SEQUENCE].to_numpy()
    return data.drop_columns([POSITION, SEQUENCE]), positions, sequences


def fits(kind: pa.DataType, column: Column) -> bool:  # a line a type
    """Return whether values of a type can be a column's, as far as types say."""
    kind = simple_type(kind)
    if _T.is_null(kind):
        return True
    text, target = _T.is_string(kind), column.type
    if nested(column):
        return text or _T.is_nested(kind)
    if _T.is_string(target):
        return text or is_bytes(kind)
    if _T.is_integer(target):
        return bool(_T.is_integer(kind) or _T.is_floating(kind) or _T.is_duration(kind))
    if _T.is_floating(target):
        return bool(_T.is_integer(kind) or _T.is_floating(kind) or _T.is_decimal(kind))
    if _T.is_decimal(target):
        return bool(_T.is_integer(kind) or _T.is_decimal(kind))
    if _T.is_boolean(target):
        return bool(_T.is_boolean(kind))
    same = (_T.is_date, _T.is_time, _T.is_timestamp)
    return text or any(is_a(target) and is_a(kind) for is_a in same)


def _whole_micros(values: pa.Array) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Return nanoseconds as microseconds, and which had more digits; other values as they are."""
    values = simple(values)
    return micros(values) if getattr(values.type, "unit", "") == "ns" else (values, None)


def cast_values(values: pa.Array, column: Column) -> Cast:
    """Read values as a scalar column's type (see the module's text for what fits)."""
    values = simple(values)
    kind, target = values.type, column.type
    if _T.is_string(kind):
        return cast_text(values, column)
    if _T.is_timestamp(target) or _T.is_date(target):
        return known(_times(values, column))
    if _T.is_duration(kind):
        return isolate(lambda part: micros(part)[0].cast(pa.int64()).cast(target), values, target)
    if _T.is_floating(target):
        safe = bool(_T.is_integer(kind))
        return finite(isolate(lambda part: part.cast(target, safe=safe), values, target))
    if _T.is_decimal(target) and _T.is_integer(kind):  # Arrow asks for digits of all such integers
        values = values.cast(pa.string())
    return isolate(lambda part: part.cast(target), values, target)


def _times(values: pa.Array, column: Column) -> Cast:
    target, naive = column.type, pa.timestamp("us")
    if _T.is_timestamp(target) and values.type.tz is None:
        return isolate(lambda part: in_zone(part.cast(naive), column.timezone), values, target)
    return isolate(lambda part: part.cast(target), values, target)


def _expected(kind: pa.DataType, column: Column) -> str:
    """Say what values of a type must be to fit a column."""
    if nested(column):
        return f"of type {column.logical}"
    kind = simple_type(kind)
    if not (_T.is_timestamp(kind) or _T.is_date(kind)) or not fits(kind, column):
        return expected(column)
    local = _T.is_timestamp(kind) and kind.tz is None and column.timezone != "UTC"
    skipped = f", and one that clocks of {column.timezone} show" if local else ""
    return f"a {column.logical} of the years 1 to 9999{skipped}"


def _is_uuid(column: Column) -> bool:
    return any(rule.kind == "format" and rule.value == "uuid" for rule in column.rules)


def _originals(
    data: pa.RecordBatch, positions: NDArray[np.int64]
) -> Callable[[pa.RecordBatch], pa.Array]:
    return partial(_find, data, positions)


def _find(data: pa.RecordBatch, positions: NDArray[np.int64], wanted: pa.RecordBatch) -> pa.Array:
    at = wanted[POSITION].to_numpy()
    first = np.searchsorted(positions, at)
    alone = np.searchsorted(positions, at, side="right") - first == 1
    return pc.if_else(pa.array(alone), _records(data, first), pa.scalar(None, pa.binary()))


def _records(data: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.Array:
    found = data.take(pa.array(rows)).to_struct_array()
    return json_texts(found, any_number=True).cast(pa.binary())
