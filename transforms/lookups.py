"""Lookup tables: read from files, checked, and found by key a column at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column, Contract
from schemas.errors import SourceError, UsageError
from schemas.located import did_you_mean
from schemas.names import POSITION
from schemas.plan import FileSource, Step
from transforms.batches import one_batch
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.sources.blocks import Block, LongRecord
from transforms.sources.files import Slice, discover, read_blocks

_SEED: Final = 7
_LOOKED_AT: Final = 1000


@dataclass(frozen=True, eq=False)
class Lookup:
    """A table in memory whose key is unique.

    Attributes:
        on: Columns of the batch that hold the key.
        keys: Key columns, as many, sorted by `hashes`; no nulls.
        columns: What is added, under the names it gets; the same order.
        hashes: 64-bit hash of each key, ascending.
    """

    on: tuple[str, ...]
    keys: tuple[pa.Array, ...]
    columns: pa.RecordBatch
    hashes: NDArray[np.uint64] = field(repr=False)

    @staticmethod
    def of(
        rows: pa.RecordBatch, on: Mapping[str, str], add: Mapping[str, str], name: str
    ) -> Lookup:
        """Index the rows of a table.

        Args:
            rows: The table. Rows with a null in the key are left out: nothing can match them.
            on: Column of the batch -> key column of the table.
            add: Name that a column gets -> its name in the table.
            name: Of the table, for messages.

        Raises:
            SourceError: When a key stands in more than one row.
        """
        whole = np.ones(rows.num_rows, np.bool_)
        for key in on.values():
            whole &= rows.column(key).is_valid().to_numpy(zero_copy_only=False)
        rows = rows.filter(pa.array(whole))
        frame = _frame([rows.column(key) for key in on.values()])
        if twice := frame.height - frame.n_unique():
            msg = (
                f"lookup {name}: the key ({', '.join(on.values())}) must be unique; "
                f"got {twice} rows whose key another row has; leave one row of each"
            )
            raise SourceError(msg)
        hashes = _hashes(frame)
        order = np.argsort(hashes, kind="stable")
        rows = rows.take(pa.array(order))
        added = pa.record_batch({new: rows.column(column) for new, column in add.items()})
        keys = tuple(rows.column(key) for key in on.values())
        return Lookup(tuple(on), keys, added, hashes[order])

    def find(self, keys: Sequence[pa.Array]) -> pa.Int64Array:
        """Row of the table for each row of some key columns; null where there is none."""
        keys = [_plain(column) for column in keys]
        if not len(self.hashes):
            return pa.nulls(len(keys[0]), pa.int64())
        hashes = _hashes(_frame(keys))
        rows = np.searchsorted(self.hashes, hashes)
        rows[rows == len(self.hashes)] = 0
        # Two keys of one hash stand side by side: step on while the hash is right and the key not.
        found = self._equal(keys, rows)
        while True:
            behind = rows + 1
            more = ~found & (behind < len(self.hashes))
            more[more] = self.hashes[behind[more]] == hashes[more]
            if not more.any():
                return pa.array(rows, mask=~found)
            rows[more] = behind[more]
            found |= more & self._equal(keys, rows)

    def _equal(self, keys: Sequence[pa.Array], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        taken = pa.array(rows)
        equal = np.ones(len(rows), np.bool_)
        for column, table in zip(keys, self.keys, strict=True):
            same = pc.fill_null(pc.equal(column, table.take(taken)), fill_value=False)
            equal &= same.to_numpy(zero_copy_only=False)
        return equal


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _hashes(frame: pl.DataFrame) -> NDArray[np.uint64]:
    return frame.hash_rows(_SEED).to_numpy()


def _frame(columns: Iterable[pa.Array]) -> pl.DataFrame:
    return pl.DataFrame({str(i): pl.from_arrow(column) for i, column in enumerate(columns)})


@dataclass(frozen=True, kw_only=True)
class LookupFiles:
    """A table to read: which files in which version; small to send, the same rows each time.

    Attributes:
        name: Of the table, for messages.
        source: How to read them.
        slices: The files, each with the version that was found.
        columns: Name in the table -> type, of key columns and added ones.
        on: Column of the batch -> key column of the table.
        add: Name that a column gets -> its name in the table.
    """

    name: str
    source: FileSource
    slices: tuple[Slice, ...]
    columns: tuple[tuple[str, pa.DataType], ...]
    on: tuple[tuple[str, str], ...]
    add: tuple[tuple[str, str], ...]

    @staticmethod
    def of(step: Step, folder: Path) -> LookupFiles:
        """Find the files of an `enrich` step.

        A key column is read as the type of the column of the batch that it is compared with, an
        added one as the type that the step's output schema says.

        Raises:
            SourceError: When there is no file, or one cannot be looked at.
            UsageError: When one column of the table would have two types.
        """
        name, source = str(step.parameters["table"]), step.parameters["from"]
        on = tuple(step.parameters["on"].items())
        add = tuple((new, str(column["column"])) for new, column in step.parameters["add"].items())
        columns: dict[str, pa.DataType] = {}
        wanted = [(column, _value_type(step.input.field(row).type)) for row, column in on]
        wanted += [(column, step.output.field(new).type) for new, column in add]
        for column, kind in wanted:
            if columns.setdefault(column, kind) != kind:
                msg = (
                    f"{step.id}: column {column!r} of lookup {name} must have one type; "
                    f"got {columns[column]} and {kind}; declare the type of the key column"
                )
                raise UsageError(msg)
        try:
            slices = discover(source, folder, {}).slices
        except SourceError as error:
            # The text is written for the pipeline's source.
            why = str(error).replace("--input or ", "").replace("source.batch.files", "from.files")
            msg = f"{step.id}: lookup {name}: {why}"
            raise type(error)(msg) from error
        return LookupFiles(
            name=name, source=source, slices=slices, columns=tuple(columns.items()), on=on, add=add
        )

    def load(self) -> Lookup:
        """Read, check and index the table.

        Raises:
            SourceError: When a file is not the version that was found, lacks a column, or a value
                is not of its type, or a key is not unique; no message holds a value.
        """
        decoder = make_decoder(self._contract(), self.source)
        schema = pa.schema(self.columns)
        tables: list[pa.RecordBatch] = []
        keys: dict[str, None] = {}
        for piece in self.slices:
            for block in read_blocks(piece):
                if isinstance(block, LongRecord):
                    self._fail(f"records of at most {block.limit} bytes", "a longer one", piece)
                there = _names(block, piece)
                for name in schema.names if piece.format != "json" else ():
                    if name not in there:
                        self._fail(f"a column {name!r}", did_you_mean(name, there), piece)
                keys |= dict.fromkeys(there)
                rows = self._rows(decoder.decode(block), piece)
                tables.append(rows.select(schema.names).cast(schema))
        rows = one_batch(pa.Table.from_batches(tables, schema))
        for name in schema.names:
            # In JSON any record may leave out a key; that all of them do is a wrong name.
            if rows.num_rows and name not in keys and rows.column(name).null_count == rows.num_rows:
                self._fail(f"a column {name!r}", did_you_mean(name, keys), self.slices[0])
        return Lookup.of(rows, dict(self.on), dict(self.add), self.name)

    def _rows(self, decoded: Decoded, piece: Slice) -> pa.RecordBatch:
        if decoded.refused is not None and decoded.refused.num_rows:
            first = decoded.refused.slice(0, 1).to_pylist()[0]
            self._fail(
                "records that fit their columns' types",
                f"{decoded.refused.num_rows} that do not, the first at position "
                f"{first[POSITION]}: {first['reason']}",
                piece,
            )
        return decoded.rows

    def _contract(self) -> Contract:
        return Contract(
            id=self.name,
            name=self.name,
            version="",
            file=Path(),
            columns=tuple(_column(name, kind) for name, kind in self.columns),
            event_time=None,
            primary_key=(),
            hash="",
        )

    def _fail(self, must: str, got: str, piece: Slice) -> NoReturn:
        msg = f"lookup {self.name}: {piece.source} must hold {must}; got {got}"
        raise SourceError(msg)


def _names(block: Block, piece: Slice) -> list[str]:
    """Names of the columns that a block has; of JSON, the keys of its first records."""
    if isinstance(block.data, pa.RecordBatch):
        return list(block.data.schema.names)
    if piece.format == "csv":
        text = block.header.decode("utf-8", "replace").strip("\r\n")
        return next(csv.reader([text], delimiter=piece.delimiter), [])
    names: dict[str, None] = {}
    for line in islice(block.data.tobytes().splitlines(), _LOOKED_AT):
        with suppress(orjson.JSONDecodeError):
            record = orjson.loads(line)
            names |= dict.fromkeys(record) if isinstance(record, dict) else {}
    return list(names)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _column(name: str, kind: pa.DataType) -> Column:
    return Column(name=name, path=name, type=kind, logical=_logical(kind))


def _logical(kind: pa.DataType) -> str:
    """The standard's logical type for an Arrow type."""
    tests = {
        "boolean": pa.types.is_boolean,
        "integer": pa.types.is_integer,
        "number": lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t),
        "timestamp": pa.types.is_timestamp,
        "date": pa.types.is_date,
        "time": pa.types.is_time,
    }
    return next((name for name, test in tests.items() if test(kind)), "string")
