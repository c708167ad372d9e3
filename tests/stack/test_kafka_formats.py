"""Avro and Protobuf topics with a real registry leave what a batch of the same rows would."""

from __future__ import annotations

import base64
import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from schemas.stream_source import Registry
from tests import servers
from tests.pipelines.shop import (
    BROKEN,
    PIPELINE,
    REFUSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from tests.registries import datum, framed
from tests.stack.streaming import make_topic, produce
from tests.stack.test_run_stream import counted, destinies, ended, start
from transforms.schema_registry import SchemaRegistry

pytestmark = pytest.mark.stack

FACE = """\
  stream:
    kafka:
      topic: {topic}
      brokers: "{brokers}"
      end: latest
      format: {form}
      registry: {{url: "{registry}"}}
      {more}
    disorder: 4h
"""
PROPERTIES = {
    "type": "record",
    "name": "Properties",
    "fields": [
        {"name": "email", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "note", "type": ["null", "string"]},
    ],
}
AT = {"type": "long", "logicalType": "timestamp-micros"}
FIRST = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "sale_id", "type": "string"},
        {"name": "sold_at", "type": AT},
        {"name": "country", "type": "string"},
        {"name": "pieces", "type": ["null", "int"]},
        {"name": "properties", "type": PROPERTIES},
    ],
}
# Fields in another order, a wider type, and one that the contract does not know.
SECOND = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "till", "type": "long", "default": 0},
        {"name": "country", "type": {"type": "enum", "name": "C", "symbols": ["de", "fr", "it", "xx"]}},
        {"name": "properties", "type": PROPERTIES},
        {"name": "pieces", "type": ["long", "null"]},
        {"name": "sold_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "sale_id", "type": "string"},
    ],
}  # fmt: skip


def folder_of(root: Path, topic: str, form: str, more: str = "") -> Path:
    urls = {"brokers": servers.kafka(), "registry": servers.schema_registry()}
    face = FACE.format(topic=topic, form=form, more=more, **urls)
    text = PIPELINE.replace("steps:\n", f"{face}steps:\n", 1)
    return make_folder(root, pipeline=text.replace("lake: {}", "lake: {commit_every: 1s}"))


def registry() -> SchemaRegistry:
    return SchemaRegistry(Registry(url=servers.schema_registry()), Path.cwd())


def sale(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    return row | {"sold_at": datetime.fromisoformat(row["sold_at"]), "till": 7}


def as_avro(lines: list[bytes]) -> list[bytes]:
    """Write sales in turn by two versions of their schema; a broken line is one of its own kind."""
    subject, asked = servers.unique("sale"), registry()
    ids = [
        asked.register(f"{subject}-{i}", "AVRO", json.dumps(s))
        for i, s in enumerate((FIRST, SECOND))
    ]
    junk = [b"", b"no frame", framed(ids[0], b"\x02"), framed(2_000_000_000, b"of no schema")]
    out = []
    for i, line in enumerate(lines):
        if line in BROKEN:
            out.append(junk[BROKEN.index(line)])
        else:
            out.append(framed(ids[i % 2], datum((FIRST, SECOND)[i % 2], sale(line))))
    return out


def test_avro_of_two_schemas_lands_as_a_batch_of_its_rows_would(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic, "avro")
    lines = sales(0, 900, broken=8, copies=60).splitlines()
    messages = as_avro(lines)
    produce(servers.kafka(), topic, [(i % 3, m) for i, m in enumerate(messages)])
    said = ended(start(folder))
    want = expected({"a": b"\n".join(lines)})
    out = Out(folder / "out")
    assert_tables(out, want)
    assert destinies(out) == counted(want)
    assert said["rows"] == want["counts"]
    dead = out.rows(REFUSED)
    assert sorted(d["rule"] for d in dead) == sorted(2 * ["frame", "frame", "avro", "schema"])
    assert {d["format"] for d in dead} == {"avro"}
    assert all(b"of no schema" not in (d["record"] or b"") for d in dead), "sealed"


def test_refused_messages_are_mended_and_land_with_their_keys_and_headers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = make_topic(servers.kafka())
    more = "key: country\n      headers: {pieces: n}"
    folder = folder_of(tmp_path, topic, "avro", more)
    lines = sales(0, 300).splitlines()
    meant = []
    for i, (line, message) in enumerate(zip(lines, as_avro(lines), strict=True)):
        row = json.loads(line)
        if i % 10 == 0:
            row["pieces"] = 5
        meant.append(json.dumps(row).encode())
        header = "five" if i % 10 == 0 else row["pieces"]
        headers = {} if header is None else {"headers": [("n", str(header).encode())]}
        produce(servers.kafka(), topic, [(0, message)], key=row["country"].encode(), **headers)
    said = ended(start(folder))
    assert said["rows"]["refused"] == len(lines) / 10
    dead = tmp_path / "dead.jsonl"
    assert main(["dlq", "export", str(folder), str(dead), "--rule", "type"]) == 0
    texts = [json.loads(line) for line in dead.read_text().splitlines()]
    for text in texts:
        record = base64.b64decode(text.pop("record_base64"))
        assert record.count(b"header n: five\n") == 1
        record = record.replace(b"header n: five\n", b"header n: 5\n")
        text["record_base64"] = base64.b64encode(record).decode()
    dead.write_text("".join(f"{json.dumps(text)}\n" for text in texts))
    capsys.readouterr()
    assert main(["dlq", "import", str(folder), str(dead), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["refused"] == 0
    want = expected({"a": b"\n".join(meant)})
    out = Out(folder / "out")
    assert_tables(out, want)
    assert destinies(out) == counted(want) | {"refused": 0}  # as many as were taken out again


PROTO = """\
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Till { int64 number = 1; }
message Sale {
  message Properties { string email = 1; double amount = 2; optional string note = 3; }
  string sale_id = 1;
  google.protobuf.Timestamp sold_at = 2;
  string country = 3;
  optional int32 pieces = 4;
  Properties properties = 5;
}
"""


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def sized(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def as_protobuf(lines: list[bytes]) -> list[bytes]:
    """Write sales by hand, the fields of every other one in another order."""
    number = registry().register(servers.unique("sale"), "PROTOBUF", PROTO)
    junk = [b"", b"no frame", framed(number, b"\x02\x02\x0a\x7f"), framed(number, b"\x02\x40")]
    out = []
    for i, line in enumerate(lines):
        if line in BROKEN:
            out.append(junk[BROKEN.index(line)])
            continue
        row = sale(line)
        note, pieces = row["properties"]["note"], row["pieces"]
        parts = [
            sized(1, row["sale_id"].encode()),
            sized(2, b"\x08" + varint(int(row["sold_at"].timestamp()))),
            sized(3, row["country"].encode()),
            b"" if pieces is None else b"\x20" + varint(pieces),
            sized(
                5,
                sized(1, row["properties"]["email"].encode())
                + b"\x11"
                + struct.pack("<d", row["properties"]["amount"])
                + (b"" if note is None else sized(3, note.encode())),
            ),
        ]
        out.append(framed(number, b"\x02\x02" + b"".join(parts[:: 1 if i % 2 else -1])))
    return out


def test_protobuf_lands_as_a_batch_of_its_rows_would(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic, "protobuf")
    lines = sales(0, 900, broken=8, copies=60).splitlines()
    produce(servers.kafka(), topic, [(i % 3, m) for i, m in enumerate(as_protobuf(lines))])
    said = ended(start(folder))
    want = expected({"a": b"\n".join(lines)})
    out = Out(folder / "out")
    assert_tables(out, want)
    assert destinies(out) == counted(want)
    assert said["rows"] == want["counts"]
    rules = sorted(d["rule"] for d in out.rows(REFUSED))
    assert rules == sorted(2 * ["frame", "frame", "protobuf", "protobuf"])


def test_a_registry_that_is_away_ends_the_run_and_no_row_is_refused(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic, "avro")
    produce(servers.kafka(), topic, [(0, m) for m in as_avro(sales(0, 10).splitlines())])
    flags = ("--set", "source.stream.kafka.registry.url=http://127.0.0.1:1")
    said = ended(start(folder, *flags), code=1)["said"]
    assert "the schema registry must answer" in said
    assert ended(start(folder))["rows"]["refused"] == 0


def test_files_produced_as_avro_land_as_a_batch_of_them_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = servers.unique("produced")
    folder = folder_of(tmp_path, topic, "avro")
    lines = sales(0, 500, broken=6, copies=30).splitlines()
    (folder / "data" / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    produced = ["produce", str(folder), "--rate", "0", "--disorder", "10m", "--partitions", "2"]
    assert main(produced) == 0
    want = expected({"a": b"\n".join(lines)})
    count = want["counts"]["read"] - want["counts"]["refused"]
    assert f"{topic}: {count:,} records" in capsys.readouterr().out, "what is refused is no Avro"
    said = ended(start(folder))
    assert_tables(Out(folder / "out"), want)
    assert (said["rows"]["read"], said["rows"]["refused"]) == (count, 0)
    assert main([*produced, "--format", "json"]) == 2
    assert "must be read as what is sent" in capsys.readouterr().err
