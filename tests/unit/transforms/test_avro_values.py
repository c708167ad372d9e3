"""Avro data read a field at a time gives what another implementation reads record by record."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.registries import datum
from transforms.decode.avro_values import avro_reader
from transforms.decode.cursors import Cursors

INT, LONG = 1 << 31, 1 << 63
INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": ["null", "string"]}],
}
FIELDS: dict[str, tuple[Any, Any]] = {
    "boolean": ("boolean", st.booleans()),
    "int": ("int", st.integers(-INT, INT - 1)),
    "long": ("long", st.integers(-LONG, LONG - 1)),
    "float": ("float", st.floats(width=32, allow_nan=False)),
    "double": ("double", st.floats(allow_nan=False)),
    "bytes": ("bytes", st.binary(max_size=9)),
    "string": ("string", st.text(max_size=9)),
    "fixed": ({"type": "fixed", "name": "F", "size": 3}, st.binary(min_size=3, max_size=3)),
    "enum": ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, st.sampled_from("ab")),
    "maybe": (["null", "long"], st.none() | st.integers(-9, 9)),
    "other_way": (["string", "null"], st.none() | st.text(max_size=3)),
    "inner": (INNER, st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.none() | st.just("x")})),
    "again": (["null", "Inner"], st.none() | st.fixed_dictionaries({"a": st.just(1), "b": st.none()})),
    "items": ({"type": "array", "items": ["null", "string"]}, st.lists(st.none() | st.text(max_size=2), max_size=4)),
    "lists": (
        {"type": "array", "items": {"type": "array", "items": "int"}},
        st.lists(st.lists(st.integers(0, 300), max_size=3), max_size=3),
    ),
    "map": ({"type": "map", "values": "int"}, st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=3)),
    "several": (["int", "string", INNER | {"name": "Third"}], st.integers(0, 9) | st.text(max_size=3)),
}  # fmt: skip
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [{"name": n, "type": kind} for n, (kind, _) in FIELDS.items()],
}
COLUMNS = frozenset(FIELDS) - {"several"}
ROWS = st.lists(st.fixed_dictionaries({n: s for n, (_, s) in FIELDS.items()}), max_size=6)


def cursors(*messages: bytes) -> Cursors:
    size = np.array([len(m) for m in messages], np.int64)
    end = np.cumsum(size)
    data = np.frombuffer(b"".join(messages), np.uint8)
    return Cursors(data, end - size, end)


def read(schema: Any, names: frozenset[str], *messages: bytes) -> tuple[list[dict], list[bool]]:
    c = cursors(*messages)
    columns = avro_reader(schema, {}, names)(c)
    rows = pa.record_batch(list(columns.values()), list(columns)).to_pylist(
        maps_as_pydicts="strict"
    )
    return rows, c.bad.tolist()


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_records_are_what_another_implementation_wrote(rows: list[dict[str, Any]]) -> None:
    got, bad = read(SCHEMA, COLUMNS, *(datum(SCHEMA, row) for row in rows))
    assert not any(bad)
    assert got == [{n: row[n] for n in FIELDS if n in COLUMNS} for row in rows]


@given(ROWS, st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1))
@settings(max_examples=30, deadline=None)
def test_fields_that_nobody_wants_are_passed_over(rows: list[dict], names: set[str]) -> None:
    got, bad = read(SCHEMA, frozenset(names), *(datum(SCHEMA, row) for row in rows))
    assert not any(bad)
    assert got == [{n: row[n] for n in FIELDS if n in names} for row in rows]


@given(st.lists(st.binary(max_size=40), max_size=5), ROWS)
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_no_record_harm_no_other(junk: list[bytes], rows: list[dict]) -> None:
    whole = [datum(SCHEMA, row) for row in rows]
    mixed = [m for pair in zip(whole, [*junk, *[b""] * len(whole)], strict=False) for m in pair]
    got, bad = read(SCHEMA, COLUMNS, *mixed)
    want = [{n: row[n] for n in FIELDS if n in COLUMNS} for row in rows]
    assert got[::2] == want
    assert not any(bad[::2])
    for message, wrong in zip(mixed, bad, strict=True):
        if not wrong:
            again = io.BytesIO(message)
            fastavro.schemaless_reader(again, fastavro.parse_schema(SCHEMA), None)
            assert again.tell() == len(message), "what was read is all there is"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_record_that_is_cut_short_is_bad_alone(cut: int) -> None:
    schema = {"type": "record", "name": "R", "fields": SCHEMA["fields"][:7]}
    row = dict(zip(COLUMNS, [None] * 20, strict=False)) | {
        "boolean": True, "int": 300, "long": -1, "float": 1.5, "double": 2.5, "bytes": b"abc", "string": "text",
    }  # fmt: skip
    whole = datum(schema, row)
    _, bad = read(schema, frozenset({"int", "string"}), whole, whole[:-cut], whole + b"x", whole)
    assert bad == [False, True, True, False]


def test_logical_types_are_those_of_files() -> None:
    kinds = {
        "day": {"type": "int", "logicalType": "date"},
        "at": {"type": "long", "logicalType": "timestamp-millis"},
        "local": {"type": "long", "logicalType": "local-timestamp-micros"},
        "time": {"type": "long", "logicalType": "time-micros"},
        "price": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
        "id": {"type": "string", "logicalType": "uuid"},
        "wrong": {"type": "string", "logicalType": "date"},
    }
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": n, "type": k} for n, k in kinds.items()],
    }
    plain = {**schema, "fields": [{"name": n, "type": k["type"]} for n, k in kinds.items()]}
    values = [19_000, 1_000, -1, 3_600_000_000, b"\xfe\x0c", "u", "x"]
    c = cursors(datum(plain, dict(zip(kinds, values, strict=True))))
    columns = avro_reader(schema, {}, frozenset(kinds))(c)
    assert not c.bad.any()
    assert [str(a[0].as_py()) for a in columns.values()] == [
        "2022-01-08", "1970-01-01 00:00:01+00:00", "1969-12-31 23:59:59.999999", "01:00:00", "-5.00", "u", "x",
    ]  # fmt: skip


def test_a_number_that_cannot_be_of_its_type_is_bad() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}
    big = datum({**schema, "fields": [{"name": "n", "type": "long"}]}, {"n": INT})
    assert read(schema, frozenset("n"), big, b"\x02", b"\xff" * 9 + b"\x02", b"\xff" * 11)[1] == [
        True, False, True, True,
    ]  # fmt: skip


def test_a_count_of_items_that_are_not_there_costs_nothing() -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}],
    }
    endless = datum({**schema, "fields": [{"name": "n", "type": "long"}]}, {"n": 1 << 60})
    assert read(schema, frozenset("n"), endless + b"\0")[1] == [True]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"type": "array", "items": ["int", "string"]}, "must be of null and one type"),
        (["null", "R"], "must not be recursive"),
        ("nothing", "must be one of Avro"),
    ],
)
def test_what_has_no_columns_is_said(kind: Any, said: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": kind}]}
    with pytest.raises(ValueError, match=said):
        avro_reader(schema, {}, frozenset("n"))
