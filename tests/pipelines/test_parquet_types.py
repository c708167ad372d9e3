"""One Parquet file of every type that it can hold: begun, run, and compared with DuckDB."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from beam_pipelines.cli import main

ROWS = 40
AT = 1_700_000_000_000_000
"""Microseconds."""
MICROS = pa.timestamp("us")
INSTANT = "epoch_us({})"
"""How both sides are brought to one form: DuckDB has nanoseconds."""
ROUNDED = "epoch_us({}::TIMESTAMPTZ)"
CLOCK = "substring({}::VARCHAR, 1, 15)::TIME"
"""DuckDB's cast would round."""

Verb = Callable[..., str]


def rep(kind: pa.DataType, *values: Any) -> pa.Array:
    return pa.array([values[i % len(values)] for i in range(ROWS)], kind)


def extension(kind: Any, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage)


def uuids() -> pa.Array:
    return pa.array([uuid.UUID(int=i, version=4).bytes for i in range(ROWS)], pa.binary(16))


TYPES: dict[str, tuple[pa.Array, str, str, str]] = {
    # name: values, type of the contract, what DuckDB is to read of the file, and of the table
    "i8": (rep(pa.int8(), 1, -5, None), "integer", "{}", "{}"),
    "u8": (rep(pa.uint8(), 255, None), "integer", "{}", "{}"),
    "u16": (rep(pa.uint16(), 65_535), "integer", "{}", "{}"),
    "u32": (rep(pa.uint32(), 2**32 - 1), "integer", "{}", "{}"),
    "u64": (rep(pa.uint64(), 2**63 - 1, 1), "integer", "{}", "{}"),
    "u64_big": (rep(pa.uint64(), 2**64 - 1, 1), "DECIMAL(38,0)", "{}", "{}"),
    "half": (rep(pa.float16(), 1.5, 0.1, None), "number", "{}::DOUBLE", "{}"),
    "single": (rep(pa.float32(), 1.5, 0.1, None), "number", "{}::DOUBLE", "{}"),
    "double": (rep(pa.float64(), 1.5, 0.1, None), "number", "{}", "{}"),
    "d32": (rep(pa.decimal32(7, 2), Decimal("1.25")), "DECIMAL(7,2)", "{}", "{}"),
    "d64": (rep(pa.decimal64(15, 2), Decimal("1.25")), "DECIMAL(15,2)", "{}", "{}"),
    "d128": (rep(pa.decimal128(38, 9), Decimal("1.25"), None), "DECIMAL(38,9)", "{}", "{}"),
    # DuckDB reads decimals of more than 38 digits as doubles.
    "d256": (rep(pa.decimal256(60, 2), Decimal("1.25")), "DECIMAL(38,2)", "{}", "{}::DOUBLE"),
    "d256_big": (rep(pa.decimal256(60, 2), Decimal("1" * 45)), "number", "{}", "{}"),
    "flag": (rep(pa.bool_(), True, False, None), "boolean", "{}", "{}"),
    "bool8": (extension(pa.bool8(), rep(pa.int8(), 1, 0)), "boolean", "{}::BOOLEAN", "{}"),
    "large_text": (rep(pa.large_string(), "a", "b", None), "string", "{}", "{}"),
    "text_view": (rep(pa.string_view(), "a", "b" * 20, None), "string", "{}", "{}"),
    "coded": (rep(pa.string(), "a", "b", None).dictionary_encode(), "string", "{}", "{}"),
    "bytes_of_text": (rep(pa.binary(), b"abc", None), "string", "decode({})", "{}"),
    "fixed_text": (rep(pa.binary(3), b"abc", None), "string", "decode({})", "{}"),
    "uuid": (extension(pa.uuid(), uuids()), "string", "{}::VARCHAR", "{}"),
    "uuid_bytes": (uuids(), "string", "lower(hex({}))", "replace({}, '-', '')"),
    "day": (rep(pa.date32(), dt.date(2024, 2, 29), None), "date", "{}", "{}"),
    "day64": (rep(pa.date64(), dt.date(2024, 2, 29), None), "date", "{}", "{}"),
    "clock32": (rep(pa.time32("s"), 3600, None), "time", "{}", "{}"),
    "clock64": (rep(pa.time64("ns"), 3_600_123_456_789, None), "time", CLOCK, "{}"),
    "s": (rep(pa.timestamp("s"), AT // 10**6, None), "timestamp", INSTANT, INSTANT),
    "ms": (rep(pa.timestamp("ms"), AT // 1000 + 7, None), "timestamp", INSTANT, INSTANT),
    "us": (rep(MICROS, AT + 7, None), "timestamp", INSTANT, INSTANT),
    "ns": (rep(pa.timestamp("ns"), AT * 1000 + 7_000, None), "timestamp", INSTANT, INSTANT),
    "ns_cut": (
        rep(pa.timestamp("ns"), AT * 1000 + 7_999, -1, AT * 1000, None),
        "timestamp",
        INSTANT,
        INSTANT,
    ),
    "ns_utc": (rep(pa.timestamp("ns", "UTC"), AT * 1000 + 1), "timestamp", ROUNDED, INSTANT),
    "us_zone": (rep(pa.timestamp("us", "America/New_York"), AT), "timestamp", INSTANT, INSTANT),
    "ms_offset": (rep(pa.timestamp("ms", "+05:30"), AT // 1000), "timestamp", INSTANT, INSTANT),
    # DuckDB does not know that these are durations: it counts in the file's unit.
    "took_s": (rep(pa.duration("s"), 5, None), "integer", "{} * 1000000", "{}"),
    "took_ns": (rep(pa.duration("ns"), 5_000_001, None), "integer", "{} // 1000", "{}"),
    "list": (rep(pa.list_(pa.int64()), [1, 2], [], None), "array", "{}", "{}"),
    "large_list": (rep(pa.large_list(pa.large_string()), ["a"], None), "array", "{}", "{}"),
    "fixed_list": (rep(pa.list_(pa.float64(), 2), [1.5, 2.5]), "array", "{}", "{}"),
    "list_view": (rep(pa.list_view(pa.string_view()), ["a"], [], None), "array", "{}", "{}"),
    "times": (
        rep(pa.list_(pa.timestamp("ns")), [AT * 1000 + 7_999, None]),
        "array",
        "[epoch_us(x) for x in {}]",
        "[epoch_us(x) for x in {}]",
    ),
    "things": (
        rep(pa.list_(pa.struct([("n", pa.int16()), ("p", pa.decimal128(9, 2))])), [(1, 2)], None),
        "array",
        "[x.p for x in {}]",
        "[x.p for x in {}]",
    ),
    "struct": (
        rep(pa.struct([("at", pa.timestamp("ns")), ("n", pa.int32())]), (AT * 1000 + 7_999, 1)),
        "object",
        "[epoch_us({0}.at), {0}.n]",
        "[epoch_us({0}.at), {0}.n]",
    ),
    "map": (
        rep(pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", 2)]),
        "object",
        "map_values({})",
        "[{0}.a::BIGINT, {0}.b::BIGINT]",
    ),
    "json": (extension(pa.json_(), rep(pa.string(), '{"a":1}')), "object", "{}.a::BIGINT", "{}.a"),
    "no_value": (pa.nulls(ROWS, pa.timestamp("ns")), "timestamp", INSTANT, INSTANT),
    "no_number": (pa.nulls(ROWS, pa.decimal128(9, 2)), "DECIMAL(9,2)", "{}", "{}"),
}
LEFT_OUT = {
    "bytes": rep(pa.binary(), b"\xff\x00", b"a"),
    "bytes_view": rep(pa.binary_view(), b"\xff\x00", None),
    "fixed": rep(pa.binary(16), b"\xff" * 16, None),
    "lists_of_bytes": rep(pa.list_(pa.binary()), [b"\xff"], None),
}
CUT = {"clock64": 20, "ns_cut": 20, "ns_utc": 40, "took_ns": 20}
"""Rows that lose digits; those inside of structs and lists are not counted."""


@pytest.fixture
def verb(capsys: pytest.CaptureFixture[str]) -> Verb:
    """Carry out a verb that must end well; return what it says."""

    def say(*arguments: object) -> str:
        code = main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return say


def test_every_type_of_parquet_is_read_as_duckdb_reads_it_or_named(
    tmp_path: Path, verb: Verb
) -> None:
    columns = {"id": pa.array(range(ROWS)), **{n: v for n, (v, *_) in TYPES.items()}} | LEFT_OUT
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    new = tmp_path / "new"
    verb("init", tmp_path / "all.parquet", "--into", new, "--yes")
    text = (new / "contract.odcs.yaml").read_text()
    (schema,) = yaml.safe_load(text)["schema"]
    found = {p["name"]: p.get("physicalType") or p["logicalType"] for p in schema["properties"]}
    assert {n: found.get(n) for n in TYPES} == {n: what for n, (_, what, *_) in TYPES.items()}
    assert not set(LEFT_OUT) & set(found)
    comments = " ".join(line.strip(" #") for line in text.splitlines() if "#" in line)
    for name in ("bytes", "fixed"):
        assert f"'{name}', since it is of type {columns[name].type}" in comments

    verb("validate", new)
    assert json.loads(verb("preview", new, "--rows", 1, "--json"))["end"] == {"destiny": "kept"}
    said = json.loads(verb("run", new, "--json").splitlines()[-1])
    assert said["rows"]["kept"] == ROWS
    told = [(c["kind"], c["column"], c["rows"]) for c in said["changes"]]
    assert {(n, rows) for kind, n, rows in told if kind == "cut"} == set(CUT.items())
    assert {n for kind, n, _ in told if kind == "undeclared"} == set(LEFT_OUT)

    with duckdb.connect(str(new / "out/warehouse.duckdb"), read_only=True) as warehouse:
        both = f"read_parquet('{tmp_path / 'all.parquet'}') f JOIN processed_data.new t USING (id)"
        for name, (_, _, of_file, of_table) in TYPES.items():
            pair = of_file.format(f'f."{name}"'), of_table.format(f't."{name}"')
            query = f"SELECT {', '.join(pair)} FROM {both} ORDER BY id"
            rows = warehouse.execute(query).fetchall()
            assert len(rows) == ROWS
            assert [name, *(one for one, _ in rows)] == [name, *(other for _, other in rows)]


def test_lists_of_a_fixed_size_with_nulls_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(
        pa.table({"v": pa.array([[1, 2], None], pa.list_(pa.int8(), 2))}), tmp_path / "f"
    )
    assert main(["init", str(tmp_path / "f"), "--into", str(tmp_path / "new"), "--yes"]) != 0
    assert "lists of a fixed size must have no nulls" in capsys.readouterr().err
