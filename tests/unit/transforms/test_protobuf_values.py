"""Protobuf bytes read side by side give what another implementation wrote."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import Phase, given, settings

from tests.protos import CLASSES, TEXT
from transforms.decode.cursors import Cursors
from transforms.decode.proto_text import read_types
from transforms.decode.protobuf_values import ProtobufBodies
from transforms.schema_registry import Written

SALE, LINE = CLASSES["Sale"], CLASSES["Sale.Line"]
NAMES = ["id", "small", "large", "u32", "u64", "s64", "f32", "sf64", "yes", "f", "d", "raw", "kind", "maybe", "line", "lines", "numbers", "words", "by_name", "names", "at", "wrapped", "text", "of_kind"]  # fmt: skip
I32, I64 = st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 63), (1 << 63) - 1)
NUMBER = st.floats(allow_nan=False, width=32)
LINES = st.builds(LINE, sku=st.text(max_size=3), pieces=I32, prices=st.lists(NUMBER, max_size=3))
SALES = st.builds(
    SALE,
    **{  # noqa: PIE804
        "id": st.text(max_size=4), "small": I32, "large": I64, "u32": st.integers(0, (1 << 32) - 1),
        "u64": st.integers(0, (1 << 64) - 1), "s64": I64, "f32": st.integers(0, 9), "sf64": I64,
        "yes": st.booleans(), "f": NUMBER, "d": NUMBER, "raw": st.binary(max_size=3),
        "kind": st.sampled_from([0, 1, 2, -1, 77]),
        "maybe": st.none() | I32,
        "line": st.none() | LINES,
        "lines": st.lists(LINES, max_size=3),
        "numbers": st.lists(I32, max_size=4),
        "words": st.lists(st.text(max_size=2), max_size=3),
        "by_name": st.dictionaries(st.text(max_size=2), LINES, max_size=2),
        "names": st.dictionaries(I32, st.text(max_size=2), max_size=2),
        "at": st.none() | st.datetimes(),
        "wrapped": st.none() | st.fixed_dictionaries({"value": NUMBER}),
        "text": st.none() | st.text(max_size=3),
    },
)  # fmt: skip
KINDS = {0: "UNKNOWN", 1: "SALE", 2: "RETURN", -1: "LESS", 77: "77"}


def line_of(line: Any) -> dict[str, Any]:
    return {"sku": line.sku, "pieces": line.pieces, "prices": list(line.prices)}


def row_of(sale: Any) -> dict[str, Any]:
    row = {n: getattr(sale, n) for n in NAMES}
    row["kind"] = KINDS[sale.kind]
    row["maybe"] = sale.maybe if sale.HasField("maybe") else None
    row["line"] = line_of(sale.line) if sale.HasField("line") else None
    row["lines"] = [line_of(x) for x in sale.lines]
    row["numbers"], row["words"] = list(sale.numbers), list(sale.words)
    row["by_name"] = {k: line_of(v) for k, v in sale.by_name.items()}
    row["names"] = dict(sale.names)
    row["at"] = sale.at.ToDatetime(UTC) if sale.HasField("at") else None
    row["wrapped"] = sale.wrapped.value if sale.HasField("wrapped") else None
    row["text"] = sale.text if sale.HasField("text") else None
    row["of_kind"] = KINDS[sale.of_kind] if sale.HasField("of_kind") else None
    return row


def read(*messages: bytes, names: Any = NAMES, text: str = TEXT) -> list[dict[str, Any] | None]:
    """Rows of messages, None for one that is bad."""
    size = np.array([len(m) for m in messages], np.int64)
    end = np.cumsum(size)
    c = Cursors(np.frombuffer(b"".join(messages), np.uint8), end - size, end)
    parts = list(ProtobufBodies(Written("PROTOBUF", text), frozenset(names))(c))
    out: list[Any] = [None] * len(messages)
    for part in parts:
        batch = pa.record_batch(list(part.columns.values()), list(part.columns))
        rows = batch.to_pylist(maps_as_pydicts="strict")
        for i, row in zip(part.rows.tolist(), rows, strict=True):
            out[i] = None if c.bad[i] else row
    return out


SALE_AT = b"\x02\x02"  # the second type of the file


@given(st.lists(SALES, max_size=5))
@settings(max_examples=60)
def test_messages_are_what_another_implementation_wrote(sales: list[Any]) -> None:
    assert read(*(SALE_AT + s.SerializeToString() for s in sales)) == [row_of(s) for s in sales]


@given(SALES, SALES, st.lists(st.binary(max_size=30), max_size=4))
@settings(max_examples=60, phases=[Phase.generate])  # shrinking two sales takes minutes
def test_parts_of_a_message_are_merged_and_junk_harms_no_other(
    a: Any, b: Any, junk: list[bytes]
) -> None:
    merged = SALE()
    merged.ParseFromString(a.SerializeToString() + b.SerializeToString())
    both = SALE_AT + a.SerializeToString() + b.SerializeToString()
    got = read(*(SALE_AT + j for j in junk), both)
    if not (a.HasField("text") and b.HasField("text")) or a.text:
        assert got[-1] == row_of(merged)
    for message, row in zip(junk, got, strict=False):
        if row is not None:
            try:
                known = SALE.FromString(message)
            except DecodeError:
                pytest.fail("read what another implementation refuses")
            assert row["id"] == known.id


def test_the_type_of_a_message_is_named_by_its_index() -> None:
    other = CLASSES["Other"](nothing="x").SerializeToString()
    line = LINE(sku="s", pieces=-3).SerializeToString()
    sale = SALE(id="i", small=2).SerializeToString()
    got = read(
        b"\0" + other, b"\x02\x00" + other, b"\x04\x02\x00" + line, SALE_AT + sale,
        b"\x02\x20" + sale, b"\x03", b"", names={"id", "small", "nothing", "sku", "pieces"},
    )  # fmt: skip
    assert got == [
        {"nothing": "x"}, {"nothing": "x"}, {"sku": "s", "pieces": -3}, {"id": "i", "small": 2},
        None, None, None,
    ]  # fmt: skip


def test_fields_that_nobody_wants_are_passed_over_whatever_they_are() -> None:
    sale = SALE(id="i", lines=[LINE(sku="a")] * 3, numbers=[1, 2], d=1.5, f=2.5, u64=1 << 63)
    got = read(SALE_AT + sale.SerializeToString() + b"\xd2\x01\x02\x08\x01", names={"id"})
    assert got == [{"id": "i"}]


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x05ab", b"\x0a\x01\xff", b"\x10", b"\x10" + b"\xff" * 10, b"\x03\x04", b"\x00\x01",
        b"\x0b\x0c", b"\x82\x01\x03\x0a\x05a", b"\xb2\x01\x02\x08", b"\xc2\x01\x01a\xc8\x01\x01",
    ],
    ids=bytes.hex,
)  # fmt: skip
def test_bytes_that_are_not_of_the_type_are_bad_alone(body: bytes) -> None:
    good = SALE_AT + SALE(id="x").SerializeToString()
    got = read(good, SALE_AT + body, good)
    assert got[1] is None
    assert got[0] == got[2] == row_of(SALE(id="x"))


def test_fields_without_presence_have_defaults_and_those_with_it_are_null() -> None:
    text = """syntax = "proto2"; message A { required int32 a = 1; optional string b = 2 [default = "z"];
        repeated int32 c = 3; extensions 100 to max; } extend A { optional int32 q = 100; }"""
    names = {"a", "b", "c"}
    assert read(b"\0\x08\x01", b"\0", b"\0\x08\x01\x18\x01\x18\x02", names=names, text=text) == [
        {"a": 1, "b": None, "c": []}, None, {"a": 1, "b": None, "c": [1, 2]},
    ]  # fmt: skip


def test_types_of_other_files_are_found() -> None:
    imported = 'syntax="proto3"; package p.q; message In { int32 n = 1; } enum E { Z = 0; }'
    text = 'syntax="proto3"; package p; import "in.proto"; message A { q.In i = 1; .p.q.E e = 2; }'
    types = read_types(text, [imported])
    assert [m.name for m in types.top] == ["p.A"]
    written = Written("PROTOBUF", text, (("in.proto", imported),))
    c = Cursors(np.frombuffer(b"\0\x0a\x02\x08\x05", np.uint8), np.array([0]), np.array([5]))
    (part,) = ProtobufBodies(written, frozenset({"i", "e"}))(c)
    assert [a.to_pylist() for a in part.columns.values()] == [[{"n": 5}], ["Z"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("message A {", "ends too soon"),
        ("message A { int32 a 1; }", "got '1' instead of '='"),
        ("message A { int32 a = x; }", "must be one"),
        ("message A { § }", "must be text of Protobuf"),
        ('syntax="proto3"; message A { B b = 1; }', "got none named B"),
        ('syntax="proto3"; message A { A b = 1; }', "must not be part of itself"),
        ("", "must name a type that its schema has"),
    ],
)
def test_what_is_wrong_with_a_schema_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProtobufBodies(Written("PROTOBUF", text), frozenset("b"))
