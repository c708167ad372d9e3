"""Dead letters decoded again: each record at its own place, whatever stands beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.plan import Plan
from schemas.planning import load_plan
from tests.pipelines.shop import PIPELINE, make_folder
from tests.registries import datum, fake_registry, framed
from tests.streams import raw as raw_messages
from transforms.decode.message_format import MessageFormat
from transforms.masking import Masks
from transforms.replay import HELD, Replayer
from transforms.replay_files import FromFiles
from transforms.sources.streams.raw import HEADERS_FIELD, KEY_FIELD

ARRIVED = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = b'{"sale_id": "s%d", "sold_at": "2026-03-01T00:00:00Z", "country": "de", "pieces": %d}'
HEADER = b"sale_id,sold_at,country,pieces\n"
STREAM = '  stream: {kafka: {topic: sales, brokers: "b:1"%s}, max_future: 5m}\nsteps:'

Place = tuple[str, int, int]


def held(rows: Sequence[tuple[Place, str, bytes | None]]) -> pa.Table:
    named = [(*place, ARRIVED, form, record, None) for place, form, record in rows]
    dicts = [dict(zip(HELD.names, row, strict=True)) for row in named]
    return pa.Table.from_pylist(dicts, schema=HELD)


def replayed(
    plan: Plan, rows: Sequence[tuple[Place, str, bytes | None]]
) -> dict[Place, int | str | None]:
    """Place -> the pieces of a row, or the rule that refuses it."""
    out: dict[Place, int | str | None] = {}
    for decoded in Replayer(plan, FromFiles(plan, {}))(held(rows)):
        for side, column in ((decoded.rows, "pieces"), (decoded.refused, "rule")):
            for row in side.to_pylist() if side is not None else ():
                place = (row["_source"], row["_position"], row["_sequence"])
                assert place not in out
                assert row["_arrived"] == ARRIVED
                out[place] = row[column]
    return out


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return load_plan(make_folder(tmp_path))


def stream_plan(root: Path, more: str) -> Plan:
    pipeline = PIPELINE.replace("steps:", STREAM % more, 1)
    return load_plan(make_folder(root, pipeline=pipeline))


def test_json_records_of_one_position_keep_their_sequence(plan: Plan) -> None:
    rows = [(("file:///b", 7, n), "json", GOOD % (n, n)) for n in (3, 1, 2)]
    rows += [(("file:///a", 7, 1), "json", b"{"), (("file:///a", 9, 0), "json", GOOD % (9, 9))]
    assert replayed(plan, rows) == {
        ("file:///b", 7, 3): 3,
        ("file:///b", 7, 1): 1,
        ("file:///b", 7, 2): 2,
        ("file:///a", 7, 1): "json",
        ("file:///a", 9, 0): 9,
    }


CSV = [
    (("file:///a", 50, 0), "csv", HEADER + b"s1,2026-03-01T00:00:00Z,de,5"),
    (("file:///b", 10, 0), "csv", HEADER + b"s2,2026-03-01T00:00:00Z,de,six"),
    (("file:///a", 20, 0), "csv", b"pieces," + HEADER[:-8] + b"\n7,s3,2026-03-01T00:00:00Z,de"),
    (("file:///a", 90, 0), "csv", HEADER + b"s4,2026-03-01T00:00:00Z,fr,8"),
]
MADE = {
    ("file:///a", 50, 0): 5,
    ("file:///b", 10, 0): "type",
    ("file:///a", 20, 0): 7,
    ("file:///a", 90, 0): 8,
}


def test_csv_records_are_read_under_the_header_that_they_came_with(plan: Plan) -> None:
    assert replayed(plan, CSV) == MADE


@pytest.mark.parametrize(
    "record",
    [
        b's5,"2026-03-01T00:00:00Z,de,8',
        b"s5,2026-03-01T00:00:00Z,de,8\ns6,2026-03-01T00:00:00Z,de,8",
        b"",
    ],
    ids=["a quote that never closes", "two records", "none"],
)
def test_a_csv_record_that_is_not_one_takes_no_other_with_it(plan: Plan, record: bytes) -> None:
    rows = [(("file:///a", 40, 0), "csv", HEADER + record), *CSV]
    assert replayed(plan, rows) == {("file:///a", 40, 0): "csv", **MADE}


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (b"sale_id,country,pieces\n", "lacking"),
        (b"sale_id,sold_at,country,pieces,pieces\n", "csv"),
        (b'sale_id,"sold_at\n', "csv"),
        (b"sale_id,sold_at,country,st\xfcck\n", "csv"),
    ],
    ids=["one lacks", "one is twice", "no record", "no UTF-8"],
)
def test_a_csv_record_under_another_header_takes_no_other_with_it(
    plan: Plan, header: bytes, rule: str
) -> None:
    rows = [(("file:///a", 40, 0), "csv", header + b"s5,x,de,8"), *CSV]
    assert replayed(plan, rows) == {("file:///a", 40, 0): rule, **MADE}


def test_records_that_are_nowhere_are_refused(plan: Plan) -> None:
    rows = [
        (("file:///a", 1, 0), "json", None),
        (("c/t/0", 1, 0), "json", None),
        (("file:///a", 2, 0), "pointer", b"{}"),
    ]
    assert set(replayed(plan, rows).values()) == {"record"}


def test_messages_are_decoded_by_the_stream_of_the_plan(tmp_path: Path) -> None:
    far = b'{"sale_id": "s1", "sold_at": "2026-03-02T00:00:00Z", "country": "de", "pieces": 3}'
    rows = [(("c/t/0", 4, 0), "json", far), (("c/t/1", 4, 0), "json", GOOD % (2, 2))]
    rows.append((("file:///a", 4, 0), "json", far))
    plan = stream_plan(tmp_path, "")
    assert replayed(plan, rows) == {
        ("c/t/0", 4, 0): "event_time",  # more than max_future after it arrived
        ("c/t/1", 4, 0): 2,
        ("file:///a", 4, 0): 3,
    }


KEYED = ", key: country, headers: {pieces: n}"


def test_messages_are_replayed_with_the_key_and_headers_that_they_came_with(tmp_path: Path) -> None:
    payload = b'{"sale_id": "s", "sold_at": "2026-03-01T00:00:00Z", "country": 7}'
    form = "json+attached"
    rows = [
        (("c/t/0", 4, 0), form, b"key: de\nheader n: 5\n\n" + payload),
        (("c/t/0", 5, 0), form, b"key: de\nheader n: five\n\n" + payload),
        (("c/t/1", 4, 0), form, b"\n" + payload),
        (("c/t/1", 5, 0), form, payload),
        (("c/t/1", 6, 0), form, b"header n: 6\n\nno JSON"),
    ]
    assert replayed(stream_plan(tmp_path, KEYED), rows) == {
        ("c/t/0", 4, 0): 5,
        ("c/t/0", 5, 0): "type",
        ("c/t/1", 4, 0): None,
        ("c/t/1", 5, 0): "record",
        ("c/t/1", 6, 0): "json",
    }


def test_a_message_that_was_stored_without_its_key_cannot_be_replayed(tmp_path: Path) -> None:
    rows = [(("c/t/0", 4, 0), "json", GOOD % (2, 2)), (("file:///a", 4, 0), "json", GOOD % (3, 3))]
    plan = stream_plan(tmp_path, ", key: country")
    assert replayed(plan, rows) == {("c/t/0", 4, 0): "key", ("file:///a", 4, 0): 3}


@pytest.mark.parametrize("form", ["json+attached", "avro", "avro+attached", "protobuf"])
def test_a_message_whose_stream_is_gone_says_so(plan: Plan, tmp_path: Path, form: str) -> None:
    record = b"key: de\n\n" + GOOD % (2, 2)
    rows = [(("c/t/0", 4, 0), form, record), (("c/t/0", 5, 0), "json", GOOD % (3, 3))]
    assert replayed(plan, rows) == {("c/t/0", 4, 0): "stream", ("c/t/0", 5, 0): 3}
    (dead,) = (d.refused for d in Replayer(plan, FromFiles(plan, {}))(held(rows[:1])))
    assert dead is not None
    assert "source.stream" in dead["reason"][0].as_py()
    if form != "json+attached":  # nor can one of another format decode it
        other = stream_plan(tmp_path / "other", "")
        assert replayed(other, rows[:1]) == {("c/t/0", 4, 0): "stream"}


def test_messages_that_are_all_broken_are_refused(tmp_path: Path) -> None:
    rows = [(("c/t/0", n, 0), "json+attached", b"no message") for n in range(3)]
    found = replayed(stream_plan(tmp_path, KEYED), rows)
    assert found == dict.fromkeys((place for place, _, _ in rows), "record")


def test_keys_and_headers_are_shown_by_their_shape(tmp_path: Path) -> None:
    masks = Masks(stream_plan(tmp_path, KEYED))
    record = (
        b'key: Ann\nheader mail: ann%0A@example.org\nheader none\n\n{"pieces": 7, "Ann": "Ann"}'
    )
    said = 'key=Aaa, aaaa=aaa?@aaaaaaa.aaa, aaaa, {"pieces": 9, "Aaa": "Aaa"}'
    assert masks(record, "json+attached") == said
    assert masks(b"Ann is no message", "json+attached") == "Aaa aa aa aaaaaaa"


def test_what_a_stream_refuses_is_what_a_replay_reads(tmp_path: Path) -> None:
    plan = stream_plan(tmp_path, KEYED)
    assert plan.stream is not None
    raw = raw_messages([b'{"sale_id": "s", "sold_at": "2026-03-01T00:00:00Z"}'] * 2)
    raw = raw.append_column(KEY_FIELD, pa.array([b"de", b"fr"]))
    numbers = [[{"name": "n", "value": value}] for value in (b"five", b"6")]
    raw = raw.append_column(HEADERS_FIELD, pa.array(numbers, HEADERS_FIELD.type))
    decoded = MessageFormat(kafka=plan.stream.kafka, folder=tmp_path)(plan.contract).decode(raw)
    assert decoded.refused is not None
    (dead,) = decoded.refused.to_pylist()
    assert (dead["_position"], dead["rule"], dead["format"]) == (0, "type", "json+attached")
    record = dead["record"].replace(b"five", b"5")
    assert replayed(plan, [(("c/t/0", 0, 0), dead["format"], record)]) == {("c/t/0", 0, 0): 5}
    (later,) = decoded.records(decoded.rows).to_pylist()
    assert replayed(plan, [(("c/t/0", 1, 0), decoded.format, later)]) == {("c/t/0", 1, 0): 6}


AVRO = {
    "type": "record",
    "name": "sale",
    "fields": [
        {"name": "sale_id", "type": "string"},
        {"name": "sold_at", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "pieces", "type": "long"},
    ],
}
PROTO = """\
syntax = "proto3";
message Sale { string sale_id = 1; string sold_at = 2; string country = 3; int64 pieces = 4; }
"""


def _texts(number: int, text: bytes) -> bytes:
    return bytes([number << 3 | 2, len(text)]) + text


@pytest.mark.parametrize("more", ["", KEYED], ids=["payload", "with key and headers"])
@pytest.mark.parametrize("form", ["avro", "protobuf"])
def test_messages_of_a_registry_are_replayed_by_their_schema(
    tmp_path: Path, form: str, more: str
) -> None:
    at = "2026-03-01T00:00:00Z"
    with fake_registry() as fake:
        fake.schemas[1] = {"schema": json.dumps(AVRO)}
        fake.schemas[2] = {"schema": PROTO, "schemaType": "PROTOBUF"}
        if form == "avro":
            row = {"sale_id": "s", "sold_at": at, "country": "de", "pieces": 3}
            good, unknown = (framed(number, datum(AVRO, row)) for number in (1, 9))
        else:
            body = b"\0" + _texts(1, b"s") + _texts(2, at.encode()) + _texts(3, b"de") + b"\x20\x03"
            good, unknown = framed(2, body), framed(9, body)
        plan = stream_plan(tmp_path, f"{more}, format: {form}, registry: {{url: {fake.url}}}")
        head, kind = (b"key: fr\nheader n: 8\n\n", f"{form}+attached") if more else (b"", form)
        rows = [
            (("c/t/0", 4, 0), kind, head + good),
            (("c/t/0", 5, 0), kind, head + unknown),
            (("c/t/0", 6, 0), kind, head + good[:-1]),
            (("c/t/0", 7, 0), kind, head + b"{}"),
        ]
        assert replayed(plan, rows) == {
            ("c/t/0", 4, 0): 8 if more else 3,
            ("c/t/0", 5, 0): "schema",
            ("c/t/0", 6, 0): form,
            ("c/t/0", 7, 0): "frame",
        }
