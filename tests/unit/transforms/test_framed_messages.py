"""Framed messages: the registry's schema says what they are, the contract what they must be."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.contract import OnChange
from schemas.names import POSITION, TIMESTAMP
from schemas.stream_source import KafkaSource, Registry, Tls
from tests import contracts
from tests.registries import FakeRegistry, datum, fake_registry, framed
from tests.unit.transforms.raws import raw
from transforms.changes.meet import Meet
from transforms.decode.message_format import MessageFormat
from transforms.decode.messages import MessageDecoder
from transforms.schema_registry import RegistryError, SchemaRegistry, UnknownSchemaError
from transforms.sources.streams.event_times import EventTimes

CONTRACT = contracts.contract(
    contracts.column("at", "timestamp", TIMESTAMP, required=True),
    contracts.column("n", "integer", pa.int64()),
    contracts.column("extra", "object", pa.string(), open=True),
    event_time="at",
)
AT = {"type": "long", "logicalType": "timestamp-millis"}
FIRST = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "at", "type": AT}, {"name": "n", "type": "int"}],
}
SECOND = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "new", "type": "string"},
        {"name": "n", "type": ["null", "double"]},
        {"name": "extra", "type": {"type": "map", "values": "int"}},
        {"name": "at", "type": AT},
    ],
}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as fake:
        fake.schemas = {1: {"schema": json.dumps(FIRST)}, 2: {"schema": json.dumps(SECOND)}}
        yield fake


def decoder(registry: FakeRegistry, form: str = "avro", **more: Any) -> MessageDecoder:
    kafka = KafkaSource(brokers="b", topics=("t",), format=form, registry=registry.about, **more)
    return MessageFormat(kafka=kafka, folder=Path.cwd())(CONTRACT)


def one(at: int, n: int) -> bytes:
    return framed(1, datum(FIRST, {"at": at, "n": n}))


def two(at: int, n: float | None) -> bytes:
    return framed(2, datum(SECOND, {"new": "x", "n": n, "extra": {"k": 1}, "at": at}))


def decoded(decoder: MessageDecoder, *messages: bytes | None) -> tuple[list[Any], list[Any]]:
    found = decoder.decode(raw(*(("t/0", i, m) for i, m in enumerate(messages))))
    rows = found.rows.select([POSITION, "n", "extra"]).to_pylist()
    dead = [] if found.refused is None else found.refused.to_pylist()
    return [tuple(row.values()) for row in rows], dead


def test_messages_of_two_schemas_become_rows_of_one_contract(registry: FakeRegistry) -> None:
    rows, dead = decoded(decoder(registry), one(1, 10), two(2, 20.0), one(3, 30), two(4, None))
    assert rows == [(0, 10, None), (1, 20, '{"k":1}'), (2, 30, None), (3, None, '{"k":1}')]
    assert dead == []


def test_a_schema_is_asked_for_once_and_by_each_copy_of_the_decoder(
    registry: FakeRegistry,
) -> None:
    first = decoder(registry)
    for _ in range(3):
        decoded(first, one(1, 1), one(1, 2))
    assert registry.asked == ["/schemas/ids/1"]
    decoded(pickle.loads(pickle.dumps(decoder(registry))), one(1, 1))
    assert registry.asked == ["/schemas/ids/1"] * 2


def test_what_is_wrong_with_a_message_refuses_it_alone_and_keeps_its_bytes(
    registry: FakeRegistry,
) -> None:
    registry.schemas[3] = {"schema": '{"type": "array", "items": "int"}'}
    registry.schemas[4] = {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"}
    other = {"type": "record", "name": "O", "fields": [{"name": "n", "type": "boolean"}]}
    registry.schemas[5] = {"schema": json.dumps(other)}
    wrong = {
        b"": "frame",
        b"\0\0\0\0": "frame",
        b'{"at":1}': "frame",
        framed(9, b"x"): "schema",
        framed(3, b"x"): "schema",
        framed(4, b"x"): "schema",
        framed(5, b"\1"): "type",
        one(1, 1)[:-1]: "avro",
        one(1, 1) + b"\0": "avro",
        two(1, 1.5): "type",
    }
    messages = [m for bad in wrong for m in (one(1, 7), bad)]
    rows, dead = decoded(decoder(registry), *messages, one(1, 7))
    assert [row[1] for row in rows] == [7] * (len(wrong) + 1)
    assert {row["record"]: row["rule"] for row in dead} == wrong
    assert {row["format"] for row in dead} == {"avro"}
    assert all("must" in row["reason"] for row in dead)


def test_a_row_that_a_later_step_refuses_is_found_again(registry: FakeRegistry) -> None:
    batch = raw(("t/0", 5, one(1, 1)), ("t/1", 5, one(1, 2)))
    found = decoder(registry).decode(batch)
    assert found.records(found.rows).to_pylist() == [one(1, 1), one(1, 2)]


def test_tombstones_are_refused_in_any_format(registry: FakeRegistry) -> None:
    rows, dead = decoded(decoder(registry), None, one(1, 1), None)
    assert [row[0] for row in rows] == [1]
    assert [(d[POSITION], d["rule"], d["record"]) for d in dead] == [
        (0, "tombstone", None), (2, "tombstone", None),
    ]  # fmt: skip


def test_an_event_time_is_read_without_the_rest(registry: FakeRegistry) -> None:
    kafka = KafkaSource(brokers="b", topics=("t",), format="avro", registry=registry.about)
    times = EventTimes(CONTRACT, 0, MessageFormat(kafka=kafka, folder=Path.cwd()))
    batch = raw(("a", 0, one(3, 1)), ("a", 1, two(7, 1)), ("b", 0, b"junk"), arrived=10**9)
    assert times(batch, 10**9).high == {"a": 7_000}


def test_a_registry_that_is_away_is_asked_again_and_then_said(registry: FakeRegistry) -> None:
    registry.failing = 2
    asked = SchemaRegistry(registry.about, Path.cwd(), patience_s=5)
    assert asked.schema(1).text == json.dumps(FIRST)
    registry.failing = 99
    with pytest.raises(
        RegistryError, match="the schema registry must answer; got 503 busy at http"
    ):
        SchemaRegistry(registry.about, Path.cwd(), patience_s=0.3).schema(1)
    gone = Registry(url="http://127.0.0.1:1")
    with pytest.raises(RegistryError, match="Connection refused"):
        SchemaRegistry(gone, Path.cwd(), patience_s=0.3).check()


def test_a_registry_that_does_not_answer_refuses_no_row(registry: FakeRegistry) -> None:
    one_try = decoder(registry)
    one_try._payloads._registry._patience_s = 0.1  # type: ignore[attr-defined]
    registry.failing = 99
    with pytest.raises(RegistryError, match="503"):
        decoded(one_try, one(1, 1))
    registry.failing = 0
    assert decoded(one_try, one(1, 1)) == ([(0, 1, None)], [])


def test_a_page_that_is_not_there_is_no_schema_that_is_not_there(registry: FakeRegistry) -> None:
    with pytest.raises(UnknownSchemaError):
        SchemaRegistry(registry.about, Path.cwd()).schema(77)
    elsewhere = Registry(url=f"{registry.url}/elsewhere")
    with pytest.raises(RegistryError, match="404 no page") as caught:
        SchemaRegistry(elsewhere, Path.cwd()).schema(1)
    assert not isinstance(caught.value, UnknownSchemaError), "or good rows would be refused"
    registry.schemas[8] = {"page": "of something else"}
    with pytest.raises(RegistryError, match="must say what a schema is"):
        SchemaRegistry(registry.about, Path.cwd()).schema(8)


def test_schemas_that_a_schema_refers_to_are_asked_for(registry: FakeRegistry) -> None:
    part = {"type": "record", "name": "x.Part", "fields": [{"name": "n", "type": "int"}]}
    whole = {
        "type": "record",
        "name": "W",
        "fields": [{"name": "extra", "type": "x.Part"}, {"name": "at", "type": AT}],
    }
    reference = {"name": "x.Part", "subject": "a/b", "version": 3}
    registry.schemas[7] = {"schema": json.dumps(whole), "references": [reference]}
    registry.versions["/subjects/a%2Fb/versions/3"] = {"schema": json.dumps(part)}
    plain = {**whole, "fields": [{"name": "extra", "type": part}, whole["fields"][1]]}
    rows, dead = decoded(decoder(registry), framed(7, datum(plain, {"extra": {"n": 5}, "at": 1})))
    assert (rows, dead) == ([(0, None, '{"n":5}')], [])


def test_a_registry_is_asked_with_a_login_by_reference(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("PW", "secret\n")
    about = Registry(url=registry.url, username="${WHO}", password="env:PW")
    SchemaRegistry(about, Path.cwd()).check()
    SchemaRegistry(Registry(url=registry.url, token="env:PW"), Path.cwd()).check()
    assert registry.logins == ["Basic bWU6c2VjcmV0", "Bearer secret"]
    assert b"secret" not in pickle.dumps(SchemaRegistry(about, Path.cwd()))
    tls = Registry(url=registry.url.replace("http", "https"), tls=Tls())
    with pytest.raises(RegistryError, match="SSL"):
        SchemaRegistry(tls, Path.cwd(), patience_s=0.1).check()


def test_fields_that_are_not_declared_are_told_with_their_types(registry: FakeRegistry) -> None:
    kafka = KafkaSource(brokers="b", topics=("t",), format="avro", registry=registry.about)
    rules = replace(CONTRACT, on_change=OnChange.QUARANTINE)
    one_decoder = MessageFormat(kafka=kafka, folder=Path.cwd())(rules, meet=Meet(rules))
    found = one_decoder.decode(
        raw(("t/0", 4, one(1, 1)), ("t/0", 5, two(2, 3)), ("t/0", 6, two(4, 0.5)))
    )
    assert found.rows[POSITION].to_pylist() == [4]
    assert found.refused is not None
    assert found.refused["rule"].to_pylist() == ["undeclared", "type"]
    assert [
        (c.name, c.rows, c.position, c.proposal and c.proposal.logical) for c in found.changes
    ] == [
        ("new", 2, 5, "string"),
        ("n", 1, 6, None),
    ]


def test_fields_inside_that_are_not_declared_are_told_by_message(registry: FakeRegistry) -> None:
    inner = {"type": "record", "name": "B", "fields": [{"name": n, "type": "int"} for n in "kx"]}
    boxes = {"name": "boxes", "type": {"type": "array", "items": inner}}
    box = {"name": "box", "type": ["null", "B"]}
    schema = {"type": "record", "name": "R", "fields": [{"name": "at", "type": AT}, boxes, box]}
    registry.schemas[7] = {"schema": json.dumps(schema)}
    k = contracts.column("k", "integer", pa.int64())
    held = pa.struct([("k", pa.int64())])
    item = contracts.column(
        "element", "object", held, path="boxes[]", children=(replace(k, path="boxes[].k"),)
    )
    rules = contracts.contract(
        contracts.column("at", "timestamp", TIMESTAMP, required=True),
        contracts.column("boxes", "array", pa.list_(held), items=item),
        contracts.column("box", "object", held, children=(replace(k, path="box.k"),)),
        event_time="at",
    )
    rules = replace(rules, on_change=OnChange.QUARANTINE)
    kafka = KafkaSource(brokers="b", topics=("t",), format="avro", registry=registry.about)
    values = [([], None), ([{"k": 1, "x": 2}], None), ([], {"k": 1, "x": 2}), ([], None)]
    messages = [
        framed(7, datum(schema, {"at": 1, "boxes": some, "box": one})) for some, one in values
    ]
    reader = MessageFormat(kafka=kafka, folder=Path.cwd())(rules, meet=Meet(rules))
    found = reader.decode(raw(*(("t/0", i, m) for i, m in enumerate(messages))))
    told = sorted((c.called, c.rows, c.position) for c in found.changes)
    assert told == [("box.x", 1, 2), ("boxes[].x", 1, 1)]
    assert found.rows[POSITION].to_pylist() == [0, 3]
    assert found.refused is not None
    assert [r["reason"].rpartition(" ")[2] for r in found.refused.to_pylist()] == [
        "`boxes[].x`",
        "`box.x`",
    ]
