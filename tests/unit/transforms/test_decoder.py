"""Rows leave decode complete: every column of the contract, and an event time."""

import datetime as dt
import hashlib
import json
import pickle
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.contract import Contract
from schemas.errors import SourceError, SpecError
from schemas.names import POSITION_NAMES, REFUSED, TIMESTAMP
from schemas.plan import FileSource
from tests.contracts import column, contract
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.decode.preflight import check_files
from transforms.sources.blocks import Block
from transforms.sources.files import discover, read_blocks

DAY = column("day", "integer", pa.int64())
AT = column(
    "at",
    "timestamp",
    TIMESTAMP,
    transform="timezone('America/New_York', make_timestamp(2013, 1, day, 5, 15, 0.0))",
)
DOUBLED = column("doubled", "integer", pa.int64(), transform="day * 2")
FLIGHTS = contract(AT, DAY, DOUBLED, event_time="at")


def decode(rules: Contract, data: bytes, form: str = "csv", header: bytes = b"day") -> Decoded:
    decoder = pickle.loads(pickle.dumps(make_decoder(rules, FileSource(path="x", format=form))))
    found = decoder.decode(Block("file:///x", 0, np.frombuffer(data, np.uint8), 0, header))
    assert found.rows.schema == decoder.schema
    assert found.refused is None or found.refused.schema == REFUSED
    return found


def told(found: Decoded) -> list[tuple[int, str, str, bytes]]:
    rows = found.refused.to_pylist() if found.refused else []
    return [(r["_position"], r["rule"], r["reason"], r["record"]) for r in rows]


def test_computed_columns_stand_where_the_contract_has_them() -> None:
    found = decode(FLIGHTS, b"1\n2\n")
    assert found.rows.schema.names == ["at", "day", "doubled", *POSITION_NAMES]
    assert found.rows.select(["at", "day", "doubled"]).to_pylist() == [
        {"at": dt.datetime(2013, 1, d, 10, 15, tzinfo=dt.UTC), "day": d, "doubled": 2 * d}
        for d in (1, 2)
    ]


def test_a_row_that_cannot_be_computed_or_has_no_time_is_refused_with_its_record() -> None:
    found = decode(FLIGHTS, b'1\n99\nx\n""\n,\n3\n' + b"9223372036854775807\n")
    assert found.rows["day"].to_pylist() == [1, 3]
    assert [row[:2] for row in told(found)] == [
        (2, "expression"),
        (5, "type"),
        (7, "type"),
        (10, "csv"),
        (14, "expression"),
    ]
    assert told(found)[0][2:] == (
        "`at` must be computable; its transformLogic failed",
        b"day\n99",
    )


def test_a_null_event_time_is_refused_in_every_format() -> None:
    rules = contract(column("at", "timestamp", TIMESTAMP, required=True), event_time="at")
    texts = b',x\nnoon,x\n"",x\n2024-07-01T12:00:00Z,x\n'
    found = decode(rules, texts, header=b"at,x")
    assert [row[1] for row in told(found)] == ["event_time"] * 3
    assert found.rows.num_rows == 1
    lines = b'{"at": null}\n{}\n{"at": "noon"}\n{"at": 1}\n{"at": "2024-07-01T12:00:00Z"}\n{\n'
    found = decode(rules, lines, "json")
    assert [row[1] for row in told(found)] == ["event_time"] * 4 + ["json"]
    assert [row[3] for row in told(found)] == [*lines.splitlines()[:4], b"{"]
    assert found.rows.num_rows == 1


def nested(*, is_open: bool) -> Contract:
    at = column("at", "timestamp", TIMESTAMP, path="meta.at")
    kind = pa.string() if is_open else pa.struct([("at", TIMESTAMP)])
    meta = column("meta", "object", kind, open=is_open, children=(at,))
    return contract(meta, DAY, event_time="meta.at")


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_nested_event_time_gets_a_column_of_its_own(form: str, *, is_open: bool) -> None:
    meta = [{"at": "2024-07-01T12:00:00Z"}, {"at": None}, None]
    if form == "json":
        data = "".join(json.dumps({"meta": m, "day": 1}) + "\n" for m in meta)
    else:
        quoted = ['"' + json.dumps(m).replace('"', '""') + '"' if m else "" for m in meta]
        data = "".join(f"{m},1\n" for m in quoted)
    found = decode(nested(is_open=is_open), data.encode(), form, b"meta,day")
    assert found.rows["_event_time"].to_pylist() == [dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)]
    paths = ["meta.at"] if is_open else []
    assert found.rows.schema.names == ["meta", "day", *paths, "_event_time", *POSITION_NAMES]
    assert [row[1] for row in told(found)] == ["event_time"] * 2


def test_an_expression_that_does_not_fit_is_told_when_the_decoder_is_made() -> None:
    wrong = column("x", "integer", pa.int64(), transform="dya + 1")
    with pytest.raises(SpecError, match="dya"):
        make_decoder(contract(DAY, wrong), FileSource(path="x"))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_record_too_long_to_hold_is_refused_by_pointer_and_hash(
    tmp_path: Path, form: str
) -> None:
    long = b"9" * 3000
    (tmp_path / "a").write_bytes(b"day\n" * (form == "csv") + b"1\n" + long + b"\n")
    source = FileSource(path="a", format=form, max_record_bytes=2000)
    decoder = make_decoder(contract(DAY), source)
    (piece,) = discover(source, tmp_path, {}).slices
    (dead,) = [
        row
        for block in read_blocks(piece)
        if (refused := decoder.decode(block).refused) is not None
        for row in refused.to_pylist()
        if row["rule"] == "record_length"
    ]
    assert dead["reason"].startswith("record must be at most 2000 bytes; raise source.batch.files")
    assert dead["format"] == "pointer"
    at = dead["_position"]
    assert json.loads(dead["record"]) == {
        "source": piece.source,
        "start": at,
        "end": at + 3001,
        "sha256": hashlib.sha256(long + b"\n").hexdigest(),
    }


def test_the_same_rows_come_out_of_every_format(tmp_path: Path) -> None:
    at = [dt.datetime(2024, 7, 1, hour, tzinfo=dt.UTC) for hour in range(5)]
    rows = [{"n": i, "at": t, "x": i / 4, "s": f"é,{i}"} for i, t in enumerate(at)]
    texts = [{**r, "at": r["at"].isoformat()} for r in rows]
    (tmp_path / "json").write_text("".join(json.dumps(r) + "\n" for r in texts))
    lines = "".join(f'{r["n"]},{r["at"]},{r["x"]},"{r["s"]}"\n' for r in texts)
    (tmp_path / "csv").write_text("n,at,x,s\n" + lines)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet")
    kinds = {"n": "long", "x": "double", "s": "string"}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    fields.append({"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}})
    with (tmp_path / "avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, rows)
    rules = contract(
        column("n", "integer", pa.int64()),
        column("at", "timestamp", TIMESTAMP, required=True),
        column("x", "number", pa.float64()),
        column("s", "string", pa.string()),
        column("y", "number", pa.float64(), transform="x + n"),
        event_time="at",
    )
    for form in ("json", "csv", "parquet", "avro"):
        source = FileSource(path=form, format=form)
        (piece,) = discover(source, tmp_path, {}).slices
        (block,) = read_blocks(piece)
        found = make_decoder(rules, source).decode(block)
        expected = [r | {"y": r["x"] + r["n"]} for r in rows]
        assert found.rows.select(["n", "at", "x", "s", "y"]).to_pylist() == expected
        assert found.refused is None


@pytest.mark.parametrize("form", ["csv", "parquet", "avro"])
def test_a_file_that_lacks_a_required_column_is_told_before_any_is_read(
    tmp_path: Path, form: str
) -> None:
    for name, field in (("a", "day"), ("b", "dya")):
        path = tmp_path / f"{name}.{form}"
        if form == "csv":
            path.write_text(f"{field}\n")
        elif form == "parquet":
            pq.write_table(pa.table({field: pa.array([], pa.int64())}), path)
        else:
            schema = {"type": "record", "name": "r", "fields": [{"name": field, "type": "long"}]}
            with path.open("wb") as file:
                fastavro.writer(file, schema, [])
    rules = contract(column("day", "integer", pa.int64(), required=True))
    source = FileSource(path="*", format=form)
    pieces = discover(source, tmp_path, {}).slices
    check_files(rules, source, pieces[:1])
    with pytest.raises(SourceError, match=rf"got file://.*/b\.{form} without 'day' \(is it 'dya'"):
        check_files(rules, source, pieces)
