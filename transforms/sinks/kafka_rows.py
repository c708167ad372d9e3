"""Rows of a lake table as messages: their values, keys and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from schemas.contract import Contract
from schemas.kafka_sink import KafkaSink, sent_columns
from schemas.names import POSITION, SEQUENCE, SOURCE
from schemas.plan import Table
from transforms.commit.follow import BY_WINDOW, DoneCommit
from transforms.decode.json_texts import json_texts
from transforms.sinks.avro_texts import avro_schema, avro_texts

WINDOW: Final = "window_start"
_BATCH_ROWS: Final = 1 << 15


class Messages(NamedTuple):
    """Messages of one batch of rows.

    Attributes:
        values: pa.binary().
        keys: pa.binary(), null where a row has no key.
        headers: Name -> pa.binary(), null where a row has none.
    """

    values: pa.Array
    keys: pa.Array
    headers: dict[str, pa.Array]


class RowMessages:
    """Makes messages of the rows of one table.

    JSON: an object of the table's columns, but for position columns; semi-structured columns are
    JSON in it. Avro: the same columns in Confluent's framing (`avro_texts`).
    """

    def __init__(self, table: Table, sink: KafkaSink, contract: Contract) -> None:
        """Describe them."""
        self._table, self._sink = table, sink
        self._fields = [table.schema.field(name) for name in sent_columns(table)]
        self._open = {c.name for c in contract.columns if c.open}
        groups = [n for n in table.schema.names if n in (WINDOW, *table.key)]
        windows = WINDOW in table.schema.names
        self._key = sink.key or (tuple(groups) if windows else ())
        self.key_is_row = windows and set(groups) <= set(self._key)
        """Whether a key means a row of a window, which has no other."""

    def avro(self, pipeline: str) -> dict[str, Any]:
        """Return the Avro schema of the values."""
        name = self._table.name.partition(".")[2]
        return avro_schema(name, f"penstock.{pipeline}", self._fields)

    def __call__(self, rows: pa.RecordBatch, frame: bytes | None) -> Messages:
        """Make messages.

        Args:
            rows: With the columns of the table.
            frame: What Avro values begin with; None: JSON.
        """
        columns = {f.name: rows[f.name] for f in self._fields}
        if frame is None:
            values = self._objects(columns).cast(pa.binary())
        else:
            values = avro_texts(list(columns.values()), self._fields, frame)
        headers = {n: _plain(columns[c]) for n, c in self._sink.headers.items()}
        return Messages(values, self.keys(rows), headers)

    def _objects(self, columns: dict[str, pa.Array]) -> pa.Array:
        parts: list[Any] = []
        for name, values in columns.items():
            key = orjson.dumps(name).decode()
            is_json = name in self._open
            text = pc.fill_null(values, "null") if is_json else json_texts(values, any_number=True)
            parts += [f"{',' if parts else '{'}{key}:", text]
        return pc.binary_join_element_wise(*parts, "}", "")

    def keys(self, rows: pa.RecordBatch) -> pa.Array:
        """Make the messages' keys, pa.binary()."""
        if not self._key:
            place = [rows[n].cast(pa.string()) for n in (SOURCE, POSITION, SEQUENCE)]
            return pc.binary_join_element_wise(*place, "/").cast(pa.binary())
        if len(self._key) == 1:
            return _plain(rows[self._key[0]])
        texts = [json_texts(rows[name]) for name in self._key]
        inner = pc.binary_join_element_wise(*texts, ",")
        return pc.binary_join_element_wise("[", inner, "]", "").cast(pa.binary())


def _plain(values: pa.Array) -> pa.Array:
    """Return values as text without quotes."""
    if pa.types.is_string(values.type):
        return values.cast(pa.binary())
    texts = pc.if_else(values.is_valid(), json_texts(values), None)
    return pc.utf8_trim(texts, '"').cast(pa.binary())


def rows_sent(commit: DoneCommit, table: Table, open_file: FileIO) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table that a commit brings: new ones, and those of touched windows.

    Args:
        commit: Of op append, refresh, replay, rebuild or everything.
        table: With the columns to yield; those that a file lacks are null.
        open_file: Reads data files.
    """
    yield from _rows(commit.added.get(table.name, ()), commit, table, open_file)


def keys_gone(
    commit: DoneCommit,
    table: Table,
    open_file: FileIO,
    messages: RowMessages,
    sent: Sequence[pa.Array],
) -> Iterator[pa.Array]:
    """Yield keys (pa.binary()) of windows' rows that a commit takes out and puts nothing in for.

    Sessions that join, or begin earlier than was known, leave such rows.

    Args:
        commit: As for `rows_sent`.
        table: The same.
        open_file: The same.
        messages: Makes the keys.
        sent: Keys of the rows that it brings.
    """
    if not messages.key_is_row:
        return
    there = pa.chunked_array(list(sent), pa.binary())
    for rows in _rows(commit.replaced.get(table.name, ()), commit, table, open_file):
        keys = messages.keys(rows)
        gone = keys.filter(pc.invert(pc.is_in(keys, value_set=there)))
        if len(gone):
            yield gone


def _rows(
    paths: Iterable[str], commit: DoneCommit, table: Table, open_file: FileIO
) -> Iterator[pa.RecordBatch]:
    keep = _wanted(commit, table)
    if keep is None:
        return
    for path in paths:
        with open_file.new_input(path).open() as stream:
            file = pq.ParquetFile(stream)
            names = [n for n in table.schema.names if n in file.schema_arrow.names]
            for batch in file.iter_batches(_BATCH_ROWS, columns=names, use_threads=False):
                rows = keep(batch)
                if rows.num_rows:
                    yield _fitted(rows, table.schema)


def _wanted(commit: DoneCommit, table: Table) -> Callable[[pa.RecordBatch], pa.RecordBatch] | None:
    """Return what keeps the wanted rows of a batch; None: there are none."""
    if WINDOW not in table.schema.names or commit.op not in BY_WINDOW:
        return lambda rows: rows
    name = table.name.partition(".")[2]
    stretches, touched = commit.stretches.get(name), commit.windows.get(name)
    if stretches is not None and len(stretches):
        return lambda rows: rows.filter(_within(rows[WINDOW], stretches))
    if touched is None or not len(touched):
        return None
    return lambda rows: rows.filter(pc.is_in(rows[WINDOW], value_set=touched))


def _within(starts: pa.Array, stretches: pa.Table) -> pa.Array:
    """Say which window starts are in one of the stretches, which may overlap."""
    stretches = stretches.sort_by("first")
    first, last, at = (
        values.cast(pa.int64()).to_numpy()
        for values in (stretches["first"], stretches["last"], starts)
    )
    before = np.searchsorted(first, at, side="right")
    ends = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(last)])
    return pa.array(at <= ends[before])


def _fitted(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    there = set(rows.schema.names)
    columns = [
        rows[f.name].cast(f.type) if f.name in there else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)
