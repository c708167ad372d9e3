"""What decode promises beside values: positions, records, reasons, sharing."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from schemas import names
from tests.contracts import contract
from tests.unit.transforms import json_oracle as oracle
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block

column = oracle.column

S, TS = pa.string(), pa.timestamp("us", "UTC")
CONTRACT = contract(
    column("id", S, "string", required=True),
    column("n", pa.int64(), "integer"),
    column(
        "p",
        S,
        "object",
        open=True,
        children=(
            column("email", S, "string", "p.email"),
            column("at", TS, "timestamp", "p.at"),
        ),
    ),
    event_time="p.at",
)


def block(data: bytes, start: int = 0) -> Block:
    return Block(source="file:x", start=start, data=np.frombuffer(data, np.uint8), arrived_us=7)


@pytest.fixture
def decoder() -> JsonDecoder:
    return JsonDecoder(CONTRACT)


def test_a_batch_has_contract_columns_then_paths_then_event_time_then_position(
    decoder: JsonDecoder,
) -> None:
    rows = decoder.decode(block(b'{"id":"a","p":{"at":"2026-01-31T00:00:00Z"}}\n')).rows
    assert rows.schema.names == [
        "id",
        "n",
        "p",
        "p.email",
        "p.at",
        "_event_time",
        *names.POSITION_NAMES,
    ]
    assert [rows.schema.field(f.name) for f in names.POSITION_FIELDS] == list(names.POSITION_FIELDS)
    assert rows["_event_time"].equals(rows["p.at"])
    assert rows["_source"].to_pylist() == ["file:x"]
    assert rows["_watermark"].null_count == 1


def test_positions_are_byte_offsets_of_lines_whatever_ends_them(decoder: JsonDecoder) -> None:
    data = b'\xef\xbb\xbf{"id":"a"}\r\n\n  \t\r\n{"id":"b"}\n{"id":1}\r\n {"id":"c"} '
    got = decoder.decode(block(data))
    assert got.rows["id"].to_pylist() == ["a", "b", "c"]
    assert got.rows["_position"].to_pylist() == [0, 21, 42]
    assert got.refused is not None
    assert got.refused["_position"].to_pylist() == [32]
    assert got.refused["record"].to_pylist() == [b'{"id":1}']


def test_a_byte_order_mark_counts_at_the_start_of_the_source_only(decoder: JsonDecoder) -> None:
    line = b'\xef\xbb\xbf{"id":"a"}\n'
    assert decoder.decode(block(line)).refused is None
    assert decoder.decode(block(line, start=5)).rows.num_rows == 0


def test_records_of_any_positions_are_the_bytes_of_the_source(decoder: JsonDecoder) -> None:
    data = b'{"id":"a"}\n{"id": "b"}\r\n{"id":2}\n'
    got = decoder.decode(block(data, start=100))
    asked = pa.record_batch({names.POSITION: [111, 100, 124, 111]})
    assert got.records(asked).to_pylist() == [
        b'{"id": "b"}',
        b'{"id":"a"}',
        b'{"id":2}',
        b'{"id": "b"}',
    ]
    assert got.records(asked.slice(0, 0)).to_pylist() == []
    with pytest.raises(ValueError, match="positions must be of this block"):
        got.records(pa.record_batch({names.POSITION: [101]}))


def test_an_empty_block_gives_no_rows_of_the_same_schema(decoder: JsonDecoder) -> None:
    full = decoder.decode(block(b'{"id":"a"}\n')).rows.schema
    for data in (b"", b"\n", b"\xef\xbb\xbf", b" \r\n"):
        got = decoder.decode(block(data))
        assert got.rows.num_rows == 0
        assert got.refused is None
        assert got.rows.schema == full


REFUSALS = {
    b'{"id":"\xff"}': ("json", "UTF-8"),
    b'{"id":"a\x00"}': ("json", "NUL"),
    b'{"id":"a\x01"}': ("json", "control character"),
    rb'{"id":"\ud83d"}': ("json", "surrogate"),
    rb'{"id":"\q"}': ("json", "escape"),
    b'{"id":"a': ("json", "not closed"),
    b'{"id":"a"} {}': ("json", "one valid JSON value"),
    b'{"id":"a",}': ("json", "one valid JSON value"),
    b'{"id":"a","x":NaN}': ("json", "no number"),
    b'{"id":"a","x":1e999}': ("json", "double"),
    b'["id"]': ("json", "object"),
    b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}": ("json", "deeper than 200"),
    b'{"id":"a","x":{"k":1,"\\u006b":2}}': ("duplicate_key", "distinct"),
    b'{"n":1}': ("required", "`id` must be there"),
    b'{"id":null}': ("required", "`id` must be there"),
    b'{"id":5}': ("type", "`id` must be a JSON string; got a number"),
    b'{"id":"a","n":1.5}': ("type", "`n` must be a whole JSON number of 64 bits"),
    b'{"id":"a","n":9223372036854775808}': ("type", "`n` must be a whole"),
    b'{"id":"a","p":[]}': ("type", "`p` must be a JSON object; got an array"),
    b'{"id":"a","p":{"at":"yesterday"}}': ("type", "`p.at` must be a timestamp"),
}


@pytest.mark.parametrize("record", REFUSALS, ids=lambda r: repr(r[:24]))
def test_a_bad_record_is_refused_alone_with_rule_reason_and_bytes(
    decoder: JsonDecoder, record: bytes
) -> None:
    good = b'{"id":"a"}\n'
    got = decoder.decode(block(good + record + b"\n" + good))
    assert got.rows["id"].to_pylist() == ["a", "a"]
    assert got.refused is not None
    got.refused.validate(full=True)
    assert got.refused.schema == names.REFUSED
    (row,) = got.refused.to_pylist()
    rule, reason = REFUSALS[record]
    assert (row["rule"], row["record"], row["step"]) == (rule, record, "decode")
    assert reason in row["reason"]


def test_a_reason_never_holds_a_value(decoder: JsonDecoder) -> None:
    secret = b"canary7"
    bad = (
        b'{"id":canary7}\n{"id":"a","n":"canary7"}\n{"canary7":1,"canary7":2}\n'
        b'{"p":{"at":"canary7"},"id":""}\n'
    )
    refused = decoder.decode(block(bad)).refused
    assert refused is not None
    assert refused.num_rows == 4
    assert all(secret.decode() not in text for text in refused["reason"].to_pylist())


def test_a_record_longer_than_the_limit_is_refused() -> None:
    decoder = JsonDecoder(CONTRACT, longest=20)
    got = decoder.decode(block(b'{"id":"a"}\n{"id":"' + b"x" * 30 + b'"}\n'))
    assert got.rows.num_rows == 1
    assert got.refused is not None
    assert got.refused["reason"].to_pylist() == ["record must not be longer than the limit"]


def test_a_record_of_many_megabytes_decodes(decoder: JsonDecoder) -> None:
    long = b'{"id":"' + b"x" * (8 << 20) + b'","p":{"more":[' + b"1," * 100_000 + b"1]}}\n"
    assert decoder.decode(block(long)).rows["id"][0].as_py() == "x" * (8 << 20)


def test_an_open_object_keeps_the_bytes_of_the_record(decoder: JsonDecoder) -> None:
    text = rb'{ "b" : 1.50, "email":"\u0061@b", "big": 123456789012345678901234567890 }'
    rows = decoder.decode(block(b'{"id":"a","p":' + text + b"}\n")).rows
    assert rows["p"].to_pylist() == [text.decode()]
    assert rows["p.email"].to_pylist() == ["a@b"]


def test_a_column_with_a_transform_is_not_read() -> None:
    rules = contract(
        column("id", S, "string"), column("t", TS, "timestamp", required=True, transform="now()")
    )
    rows = JsonDecoder(rules).decode(block(b'{"id":"a","t":5}\n')).rows
    assert rows["t"].to_pylist() == [None]


def test_a_decoder_pickles_and_learns_again(decoder: JsonDecoder) -> None:
    data = b'{"id":"a","n":1}\n' * 3000
    want = decoder.decode(block(data)).rows
    assert decoder._finder._shapes
    copy = pickle.loads(pickle.dumps(decoder))
    assert not copy._finder._shapes
    assert copy.decode(block(data)).rows.equals(want)


def test_threads_share_a_decoder() -> None:
    decoder = JsonDecoder(CONTRACT)
    lines = [
        b'{"id":"%d","n":%d}\n' % (n, n) if n % 3 else b'{"n":%d,"id":"%d"}\n' % (n, n)
        for n in range(4000)
    ]
    blocks = [block(b"".join(lines[i:]), start=i) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(decoder.decode, blocks))
    assert [g.rows["n"].to_pylist() for g in got] == [list(range(i, 4000)) for i in range(16)]


def test_what_no_longer_comes_makes_room_for_what_does() -> None:
    decoder = JsonDecoder(CONTRACT)
    for n in range(40):
        decoder.decode(block(b'{"id":"a","p":{"k%d":1}}\n' % n * 1500))
    assert len(decoder._finder._shapes) == 32
    text = block(b'{"id":"b","n":2}\n' * 1500)
    decoder.decode(text)
    assert any(("n",) in shape.places for shape in decoder._finder._shapes)
