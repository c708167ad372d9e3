"""Rows written as Avro, a column at a time, are what another implementation reads."""

from __future__ import annotations

import io
from datetime import UTC, date, time
from decimal import Decimal
from typing import Any

import fastavro
import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import given, settings

from transforms.sinks.avro_texts import avro_schema, avro_texts

INNER = pa.struct([pa.field("x", pa.int32(), nullable=False), pa.field("y", pa.string())])
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "i": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "n": (pa.int32(), st.integers(-(1 << 31), (1 << 31) - 1)),
    "s": (pa.string(), st.text(max_size=5)),
    "raw": (pa.binary(), st.binary(max_size=5)),
    "d": (pa.float64(), st.floats(allow_nan=False)),
    "f": (pa.float32(), st.floats(allow_nan=False, width=32)),
    "b": (pa.bool_(), st.booleans()),
    "p": (pa.decimal128(9, 2), st.integers(-999_999_999, 999_999_999).map(lambda n: Decimal(n) / 100)),
    "at": (pa.timestamp("us", "UTC"), st.datetimes().map(lambda d: d.replace(tzinfo=UTC))),
    "day": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "list": (pa.list_(pa.int32()), st.lists(st.none() | st.integers(0, 300), max_size=3)),
    "inner": (INNER, st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.none() | st.text(max_size=2)})),
    "map": (pa.map_(pa.string(), INNER), st.dictionaries(st.text(max_size=2), st.none() | st.just({"x": 1, "y": None}), max_size=2)),
}  # fmt: skip
FIELDS = [
    *(pa.field(n, kind) for n, (kind, _) in COLUMNS.items()),
    *(pa.field(f"{n}_sure", kind, nullable=False) for n, (kind, _) in COLUMNS.items()),
]
ROWS = st.lists(
    st.fixed_dictionaries(
        {n: st.none() | values for n, (_, values) in COLUMNS.items()}
        | {f"{n}_sure": values for n, (_, values) in COLUMNS.items()}
    ),
    min_size=1,
    max_size=4,
)


def read(texts: pa.Array, begin: int = 0) -> list[Any]:
    schema = fastavro.parse_schema(avro_schema("R", "x.y", FIELDS))
    out = []
    for text in texts.to_pylist():
        stream = io.BytesIO(text[begin:])
        out.append(fastavro.schemaless_reader(stream, schema, None))
        assert not stream.read()
    return out


@given(ROWS)
@settings(max_examples=60)
def test_another_implementation_reads_what_was_written(rows: list[dict[str, Any]]) -> None:
    arrow = [
        {n: list(v.items()) if n.startswith("map") and v is not None else v for n, v in row.items()}
        for row in rows
    ]
    batch = pa.RecordBatch.from_pylist(arrow, schema=pa.schema(FIELDS))
    assert read(avro_texts(list(batch.columns), FIELDS, b"\0\1"), 2) == rows
    if len(rows) > 1:
        part = batch.slice(1)
        assert read(avro_texts(list(part.columns), FIELDS)) == rows[1:]


def test_values_at_the_edges() -> None:
    days = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)]
    fields = [pa.field("d", pa.date32(), nullable=False), pa.field("t", pa.time64("us"))]
    columns = [pa.array(days), pa.array([time(0), None, time(23, 59, 59, 999_999)])]
    schema = fastavro.parse_schema(avro_schema("R", "x", fields))
    texts = avro_texts(columns, fields).to_pylist()
    got = [fastavro.schemaless_reader(io.BytesIO(t), schema, None) for t in texts]
    assert [row["d"] for row in got] == days
    assert [row["t"] for row in got] == columns[1].to_pylist()
