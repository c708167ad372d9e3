"""Decode against the oracle, over lines that are valid, nearly valid and broken."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts import contract
from tests.unit.transforms import json_oracle as oracle
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block

column = oracle.column

S, TS = pa.string(), pa.timestamp("us", "UTC")
STRUCT = pa.struct([("x", pa.int32()), ("y", S), ("z", pa.struct([("w", S)]))])
ITEM = pa.struct([("k", S), ("v", pa.float64()), ("o", S)])
CONTRACT = contract(
    column("id", S, "string", required=True),
    column("t", TS, "timestamp", required=True),
    column("i", pa.int64(), "integer"),
    column("n", pa.float64(), "number"),
    column("d", pa.decimal128(6, 2), "number"),
    column("b", pa.bool_(), "boolean"),
    column("day", pa.date32(), "date"),
    column("at", pa.time64("us"), "time"),
    column(
        "o",
        STRUCT,
        "object",
        children=(
            column("x", pa.int32(), "integer", "o.x", required=True),
            column("y", S, "string", "o.y"),
            column(
                "z",
                pa.struct([("w", S)]),
                "object",
                "o.z",
                children=(column("w", S, "string", "o.z.w"),),
            ),
        ),
    ),
    column("a", pa.list_(pa.int64()), "array", items=column("items", pa.int64(), "integer", "a[]")),
    column(
        "l",
        pa.list_(ITEM),
        "array",
        items=column(
            "items",
            ITEM,
            "object",
            "l[]",
            children=(
                column("k", S, "string", "l[].k", required=True),
                column("v", pa.float64(), "number", "l[].v"),
                column("o", S, "object", "l[].o", open=True),
            ),
        ),
    ),
    column(
        "p",
        S,
        "object",
        open=True,
        children=(
            column("email", S, "string", "p.email"),
            column("amount", pa.float64(), "number", "p.amount"),
            column(
                "q",
                S,
                "object",
                "p.q",
                open=True,
                children=(column("r", S, "string", "p.q.r", required=True),),
            ),
            column("x", S, "object", "p.x", open=True),
        ),
    ),
)

BASE: dict[str, Any] = {
    "id": "a1",
    "t": "2026-01-31T09:30:00.123Z",
    "i": 7,
    "n": -1.5e3,
    "d": 12.25,
    "b": True,
    "day": "2026-02-28",
    "at": "23:59:59",
    "o": {"x": 1, "y": "é", "z": {"w": "q"}},
    "a": [1, 2],
    "l": [{"k": "v", "v": 1.0, "o": {"f": [1]}}, {"k": "w"}],
    "p": {"email": "a@b", "amount": 1.5, "q": {"r": "s"}, "other": [{"email": 1}], "x": {}},
}
SMALL: dict[str, Any] = {
    "id": "b",
    "t": "2026-01-31 09:30:00+09:00",
    "n": 0,
    "b": None,
    "p": {"amount": 3, "u": "v", "email": "\\"},
}


def styled(base: dict[str, Any], spaces: bool, ascii_: bool) -> bytes:
    separators = (", ", ": ") if spaces else (",", ":")
    return json.dumps(base, separators=separators, ensure_ascii=ascii_).encode()


TEMPLATES = [styled(b, s, a) for b in (BASE, SMALL) for s in (True, False) for a in (True, False)]


def block(data: bytes, start: int = 0) -> Block:
    return Block(source="s", start=start, data=np.frombuffer(data, np.uint8), arrived_us=5)


@pytest.fixture(scope="module")
def learned() -> JsonDecoder:
    """A decoder that has seen enough of each template to know its shape."""
    decoder = JsonDecoder(CONTRACT)
    for template in (*TEMPLATES, b'{"id":"","t":"2026-01-31T09:30:00Z"}'):
        decoder.decode(block((template + b"\n") * 1500))
    assert len(decoder._finder._shapes) >= 4
    return decoder


def agree(decoder: JsonDecoder, data: bytes, start: int = 0) -> None:
    rows, refused = oracle.decode(data, CONTRACT, start)
    got = decoder.decode(block(data, start))
    got.rows.validate(full=True)
    positions = got.rows["_position"].to_pylist()
    assert positions == sorted(rows)
    no = got.refused.to_pylist() if got.refused is not None else []
    assert {r["_position"]: (r["rule"], r["record"]) for r in no} == refused
    assert [r["_position"] for r in no] == sorted(refused)
    open_ = {"p", "p.x"}
    for row in got.rows.to_pylist():
        want = rows[row["_position"]]
        for name in open_:
            if row[name] is not None:
                assert row[name].encode() in data
                row[name] = oracle.as_json(row[name])
        for item in row["l"] or []:
            if item is not None and item["o"] is not None:
                item["o"] = oracle.as_json(item["o"])
        assert {k: row[k] for k in want} == want


# --- lines -------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1",
        "1.0",
        "-1.5",
        "1e2",
        "1E+2",
        "1e-2",
        "01",
        "1.",
        ".5",
        "+1",
        "1e400",
        "-1e400",
        "1e-400",
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "1.50",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "2147483648",
        "123456.78",
        "9999.99",
        "10000",
        "0.123",
        "1e3",
        "100e-2",
        "1_0",
        "0x1",
        "1e",
        "1e+",
        "-",
        "--",
        "1-1",
        "1.2.3",
        "tru",
        "true",
        "false",
        "null",
        "nulll",
        "12345678901234567890",
        "[]",
        "[1,2]",
        "[1,]",
        "[1e400]",
        "[1e5]",
        "[01]",
        "[null,true]",
        "[[1],2]",
        "1000000000000000000000.0",
        "1e22",
        "0.1e1",
        "12.340",
        "-9999.995",
    ]
)
STRINGS = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda s: json.dumps(s, ensure_ascii=False)),
    st.sampled_from(
        [
            r'"\ud83d\ude00"',
            r'"\ud83d"',
            r'"\ude00"',
            r'"\ud83d\ud83d\ude00"',
            r'"\u0000"',
            r'"\/"',
            r'"\x"',
            r'"\u12g4"',
            r'"\u12"',
            '"\t"',
            '"\x00"',
            '"\x7f"',
            r'"\\"',
            r'"\\\""',
            r'"\"',
            '"',
            r'"a\\\\\"b"',
            r'"\ud83d\\ude00"',
            '"a":"b"',
            "'a'",
            '"😀"',
            '"\u2028"',
            '"2026-01-31T09:30:00Z"',
            '"2024-02-29T23:59:59.999999999-11:30"',
            '"2023-02-29T00:00:00Z"',
            '"2026-01-31"',
            '"2026-13-01"',
            '"0000-01-01"',
            '"0001-01-01T00:00:00+01:00"',
            '"12:30"',
            '"9999-12-31T23:59:59.999999Z"',
            '"9999-12-31T23:59:59-00:01"',
            '"24:00:00"',
            '"12:60"',
            '"2026-01-31t09:30z"',
            '"2026-01-31T09:30:00.1234567891Z"',
            '"2026-01-31T09:30:00+0930"',
            '"2026-01-31T09:30:00+24:00"',
            '"2026-01-31T09:30:60Z"',
            '"2026-1-31T09:30:00Z"',
            '"2026-01-31T09Z"',
            r'"2026-01-31T09:30:00\u005a"',
            '"12:30:00.5"',
            '"12:30Z"',
            '"\uff12\uff1026-01-31"',
        ],
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        [
            '"id"',
            '"t"',
            '"i"',
            '"p"',
            '"o"',
            '"x"',
            '"email"',
            '"amount"',
            r'"\u0069d"',
            r'"em\u0061il"',
            '"k"',
            '"a"',
            '"a "',
            '""',
            '"l"',
            '"é"',
            r'"\u00e9"',
            r'"\u00E9"',
            "id",
            "1",
        ]
    ),
    STRINGS,
)
SPACE = st.sampled_from(["", "", "", " ", "\t", "  ", "\r", "\x0b", "\xa0"])
SCALARS = st.one_of(NUMBERS, STRINGS)


def _object(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(KEYS, SPACE, SPACE, children).map(lambda m: f"{m[0]}{m[1]}:{m[2]}{m[3]}")
    return st.lists(member, max_size=4).map(lambda m: "{" + ",".join(m) + "}")


def _array(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(children, max_size=3).map(lambda m: "[" + ",".join(m) + "]")


VALUES = st.recursive(SCALARS, lambda c: st.one_of(_object(c), _array(c)), max_leaves=6)
TOP = st.sampled_from([c.name for c in CONTRACT.columns] + ["extra", r"\u0069", r"\u0070"])


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A record by the contract in which some values are others."""
    base = dict(draw(st.sampled_from([BASE, SMALL])))
    members = {k: json.dumps(v, ensure_ascii=draw(st.booleans())) for k, v in base.items()}
    extra = draw(st.lists(st.tuples(TOP, st.one_of(VALUES, _object(VALUES))), max_size=2))
    pairs = [(k, v) for k, v in members.items() if k not in dict(extra)] + extra
    space = draw(SPACE)
    return ("{" + f",{space}".join(f'"{k}":{space}{v}' for k, v in pairs) + "}").encode()


@st.composite
def mutated(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """A line with a few bytes changed, cut or doubled."""
    line = bytearray(draw(source))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        how = draw(st.integers(0, 4))
        if how == 0:
            del line[at : at + draw(st.integers(1, 3))]
        elif how == 1:
            line[at:at] = draw(
                st.sampled_from(
                    [
                        b'"',
                        b"\\",
                        b",",
                        b":",
                        b"{",
                        b"}",
                        b"[",
                        b"]",
                        b" ",
                        b"0",
                        b"\x00",
                        b"\xff",
                        b"\xc3",
                        b"\t",
                        b"\r",
                        b"e",
                        b"-",
                        b"null",
                        b'"id":1,',
                        b"\xef\xbb\xbf",
                        b"\\u",
                    ]
                )
            )
        elif how == 2:
            line[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif how == 3:
            line[at:at] = line[at : at + draw(st.integers(1, 30))]
        else:
            del line[at:]
    return bytes(line)


@st.composite
def revalued(draw: st.DrawFn) -> bytes:
    """A template in which one value is another, its bytes otherwise untouched."""
    line = draw(st.sampled_from(TEMPLATES)).decode()
    old = draw(
        st.sampled_from(
            [
                '"a1"',
                '"b"',
                "7",
                "12.25",
                "-1500.0",
                "true",
                '"q"',
                '"a@b"',
                "1.5",
                "0,",
                "[1,2]",
                "[1, 2]",
                '"2026-01-31T09:30:00.123Z"',
                '"23:59:59"',
                "null",
            ]
        )
    )
    new = draw(SCALARS) + ("," if old == "0," else "")
    return line.replace(old, new, 1).encode()


LINES = st.one_of(
    mutated(records()),
    mutated(st.sampled_from(TEMPLATES)),
    revalued(),
    records(),
    VALUES.map(str.encode),
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"",
            b" ",
            b"\t\r",
            b"{}",
            b"{} {}",
            b"[]",
            b"null",
            b"{",
            b"\xef\xbb\xbf{}",
            b'{"p":' + b'{"a":' * 198 + b"{}" + b"}" * 199,
            b'{"p":' + b'{"a":' * 199 + b"{}" + b"}" * 200,
            b"[" * 1000,
            b'{"a":' * 300,
            b"{" * 500 + b"}" * 500,
        ]
    ),
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r\r\n", b"\n\n"])


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=6))
    data = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + b"".join(a + b for a, b in lines)
    return data.removesuffix(b"\n") if draw(st.booleans()) else data


SETTINGS = settings(
    max_examples=int(os.environ.get("JSON_FUZZ", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(blocks(), st.sampled_from([0, 0, 17]))
def test_any_lines_decode_as_the_oracle_says(data: bytes, start: int) -> None:
    agree(JsonDecoder(CONTRACT), data, start)


@SETTINGS
@given(data=blocks(), start=st.sampled_from([0, 0, 17]))
def test_what_was_learned_of_other_lines_changes_nothing(
    learned: JsonDecoder, data: bytes, start: int
) -> None:
    agree(learned, data + b"\n" + b" " * 32, start)


def test_lines_that_look_alike_decode_as_the_oracle_says_with_broken_ones_among_them() -> None:
    rng = random.Random(3)
    lines = []
    for n in range(1600):
        line = (
            rng.choice(TEMPLATES)
            .replace(b'"a1"', b'"%d"' % n)
            .replace(b"12.25", b"%d.5" % (n % 999))
        )
        if rng.random() < 0.05:
            at = rng.randrange(len(line))
            line = line[:at] + rng.choice([b'"', b"\\", b"}", b"", b"\x01"]) + line[at + 1 :]
        lines.append(line)
    decoder = JsonDecoder(CONTRACT)
    data = b"\n".join(lines)
    agree(decoder, data)
    assert len(decoder._finder._shapes) >= 2
    agree(decoder, data)
