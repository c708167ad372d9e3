"""Parquet and Avro rows keep their values exactly, or are refused one by one."""

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.contract import Column, Rule
from schemas.errors import SourceError
from schemas.names import POSITION, TIMESTAMP
from schemas.plan import FileSource
from tests.contracts import column, contract
from transforms.decode.columnar import ColumnarDecoder
from transforms.decode.decoded import Decoded
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block
from transforms.sources.files import discover, read_blocks


def decode(data: pa.RecordBatch, *columns: Column) -> Decoded:
    return ColumnarDecoder(contract(*columns)).decode(Block("file:///x.parquet", 100, data, 0))


def cast(values: pa.Array, *columns: Column) -> tuple[list, list]:
    """Values of column `v` that fit, and the row numbers of those refused."""
    found = decode(pa.record_batch({"v": values}), *columns)
    dead = found.refused["_position"].to_pylist() if found.refused else []
    assert found.rows.num_rows + len(dead) == len(values)
    return found.rows["v"].to_pylist(), [position - 100 for position in dead]


INT32 = column("v", "integer", pa.int32())
INT64 = column("v", "integer", pa.int64())
DOUBLE = column("v", "number", pa.float64())
MONEY = column("v", "number", pa.decimal128(5, 2))
TEXT = column("v", "string", pa.string())
WHEN = column("v", "timestamp", TIMESTAMP, timezone="America/New_York")
DAY = column("v", "date", pa.date32())
CLOCK = column("v", "time", pa.time64("us"))
UUID = column("v", "string", pa.string(), rules=(Rule(kind="format", value="uuid"),))
ZEROS = "00000000-0000-0000-0000-00000000000"
NAIVE = pa.timestamp("us")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NOON = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "kind", "fit", "refused"),
    [
        (pa.array([1, 2**31, None, -(2**31)]), INT32, [1, None, -(2**31)], [1]),
        (pa.array([1.0, 1.5, float("nan"), None]), INT64, [1, None], [1, 2]),
        (pa.array([2**64 - 1, 3], pa.uint64()), INT64, [3], [0]),
        (pa.array([2**53 + 1, 3]), DOUBLE, [3.0], [0]),
        (pa.array([1.5, float("inf"), float("nan"), None]), DOUBLE, [1.5, None], [1, 2]),
        (pa.array([1e300, 0.5]), column("v", "number", pa.float32()), [0.5], [0]),
        (pa.array([Decimal("1.10")]), DOUBLE, [1.1], []),
        (pa.array([7, 1000]), MONEY, [Decimal("7.00")], [1]),
        (
            pa.array([Decimal("1.50"), Decimal("1.55"), Decimal("1.555")], pa.decimal128(9, 3)),
            MONEY,
            [Decimal("1.50"), Decimal("1.55")],
            [2],
        ),
        (pa.array([b"a", b"\xff"]), TEXT, ["a"], [1]),
        (pa.array(["a", None]).dictionary_encode(), TEXT, ["a", None], []),
        (pa.array(["a"], pa.large_string()), TEXT, ["a"], []),
        (pa.array([None, None]), INT64, [None, None], []),
        (pa.array([True, None]), column("v", "boolean", pa.bool_()), [True, None], []),
        (pa.array([NOON, None], pa.timestamp("ms", "Asia/Seoul")), WHEN, [NOON, None], []),
        (pa.array([NOON.replace(tzinfo=None)], NAIVE), WHEN, [NOON + dt.timedelta(hours=4)], []),
        (pa.array([dt.datetime(2024, 3, 10, 2, 30)], NAIVE), WHEN, [], [0]),  # noqa: DTZ001
        (
            pa.array([1001, -1, None], pa.timestamp("ns", "UTC")),
            WHEN,
            [EPOCH + dt.timedelta(microseconds=1), EPOCH - dt.timedelta(microseconds=1), None],
            [],
        ),
        (pa.array([1_999], pa.time64("ns")), CLOCK, [dt.time(microsecond=1)], []),
        (pa.array([2, None], pa.duration("s")), INT64, [2_000_000, None], []),
        (pa.array([-1], pa.duration("ns")), INT64, [-1], []),
        (pa.array([2**60], pa.duration("s")), INT64, [], [0]),
        (pa.array([0, 2**40], pa.duration("us")), INT32, [0], [1]),
        (pa.array([1.5, None], pa.float16()), DOUBLE, [1.5, None], []),
        (pa.array([Decimal("1.50")], pa.decimal256(60, 2)), MONEY, [Decimal("1.50")], []),
        (pa.array([Decimal("1000.50")], pa.decimal256(60, 2)), MONEY, [], [0]),
        (pa.array([Decimal("1.50")], pa.decimal32(7, 2)), MONEY, [Decimal("1.50")], []),
        (pa.array([b"\x00" * 15 + b"\x0f", None], pa.binary(16)), UUID, [ZEROS + "f", None], []),
        (pa.array([b"\x00" * 15 + b"\x0f"], pa.binary(16)), TEXT, ["\0" * 15 + "\x0f"], []),
        (pa.array([0, 2**62, -(2**62)], pa.timestamp("us", "UTC")), WHEN, None, [1, 2]),
        (pa.array([0, 2**62], pa.timestamp("s", "UTC")), WHEN, None, [1]),
        (pa.array([0, 2**30], pa.date32()), DAY, [dt.date(1970, 1, 1)], [1]),
        (pa.array(["2024-07-01T12:00:00Z", "noon"]), WHEN, [NOON], [1]),
        (pa.array([dt.date(2024, 7, 1)], pa.date64()), DAY, [dt.date(2024, 7, 1)], []),
        (pa.array([1500], pa.time32("ms")), CLOCK, None, []),
    ],
)
def test_a_value_is_kept_exactly_or_its_row_refused(
    values: pa.Array, kind: Column, fit: list | None, refused: list[int]
) -> None:
    found, dead = cast(values, kind)
    assert dead == refused
    assert fit is None or found == fit


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(["1"]), INT64),
        (pa.array([1]), TEXT),
        (pa.array([1.5]), MONEY),
        (pa.array([1]), column("v", "boolean", pa.bool_())),
        (pa.array([1]), WHEN),
        (pa.array([NOON]), DAY),
        (pa.array([[1]]), INT64),
        (pa.array([1]), column("v", "object", pa.string(), open=True)),
    ],
)
def test_a_type_that_cannot_be_the_columns_refuses_the_file(values: pa.Array, kind: Column) -> None:
    with pytest.raises(SourceError, match=r"types; got v as .* instead of .* in file:///x"):
        cast(values, kind)


def test_columns_are_found_by_name_and_missing_ones_are_null() -> None:
    data = pa.record_batch({"b": [1], "a": ["x"], "other": [None]})
    found = decode(data, column("a", "string", pa.string()), column("c", "string", pa.string()))
    assert found.rows.select(["a", "c"]).to_pylist() == [{"a": "x", "c": None}]
    needed = column("user_id", "string", pa.string(), required=True)
    asks = r"without 'user_id' \(is it 'userid'\?\); correct the file or the contract$"
    with pytest.raises(SourceError, match=asks):
        decode(pa.record_batch({"userid": ["x"]}), needed)


TAGS = Column(
    name="tags",
    path="tags",
    logical="array",
    type=pa.list_(pa.field("element", pa.string())),
    items=Column(name="element", path="tags[]", logical="string", type=pa.string()),
)
AMOUNT = Column(name="amount", path="more.amount", logical="number", type=pa.float64())
MORE = Column(
    name="more", path="more", logical="object", type=pa.string(), open=True, children=(AMOUNT,)
)


def test_structs_maps_lists_and_json_text_become_objects_and_arrays() -> None:
    struct = pa.array([{"amount": 1.5, "x": "é"}, None])
    pairs = pa.array([[("amount", 2.0)], []], pa.map_(pa.string(), pa.float64()))
    text = pa.array(['{"amount": 3}', "{"])
    tags = pa.array([["a", None], []])
    for more, amounts in ((struct, [1.5, None]), (pairs, [2.0, None]), (text, [3.0])):
        found = decode(pa.record_batch({"more": more, "tags": tags}), TAGS, MORE)
        assert found.rows["more.amount"].to_pylist() == amounts
        assert found.rows["tags"].to_pylist() == [["a", None], []][: len(amounts)]
        kept = [json.loads(v) for v in found.rows["more"].to_pylist() if v]
        assert kept[0] == {"amount": amounts[0], **({"x": "é"} if more is struct else {})}
    assert found.refused["rule"].to_pylist() == ["json"]


def test_a_refused_row_is_kept_as_json_with_its_position() -> None:
    data = pa.record_batch(
        {"v": [1, 2**40], "b": [b"\xff", b"\xfe"], "t": [NOON, NOON], "d": [Decimal("1.0")] * 2}
    )
    found = decode(data, INT32)
    (dead,) = found.refused.to_pylist()
    assert (dead["_position"], dead["rule"], dead["format"]) == (101, "type", "json")
    assert dead["reason"] == "`v` must be an integer of 32 bits"
    assert json.loads(dead["record"]) == {
        "v": 2**40,
        "b": {"base64": "/g=="},
        "t": "2024-07-01 12:00:00.000000Z",
        "d": 1.0,
    }
    assert json.loads(found.records(found.rows.slice(0, 1))[0].as_py())["v"] == 1


def read(path: Path, form: str, **options: Any) -> list[Block]:
    found = discover(FileSource(path=path.name, format=form, **options), path.parent, {})
    return [block for piece in found.slices for block in read_blocks(piece)]


def test_positions_of_parquet_rows_go_on_over_groups_and_slices(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(100)
    table = pa.table({"n": range(400_000), "_position": [0] * 400_000, "x": [noise] * 400_000})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=150_000, use_dictionary=False)
    pieces = discover(FileSource(path="a.parquet", format="parquet"), tmp_path, {}).slices
    assert [piece.start for piece in pieces] == [0, 150_000]
    decoder = ColumnarDecoder(contract(column("n", "integer", pa.int64())))
    blocks = [block for piece in pieces for block in read_blocks(piece)]
    assert max(block.data.nbytes for block in blocks) < 12 << 20
    found = [decoder.decode(block).rows for block in blocks]
    for rows in found:
        assert rows["n"].equals(rows[POSITION])
    assert sum(rows.num_rows for rows in found) == 400_000


AVRO = {
    "type": "record",
    "name": "e",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "n", "type": ["null", "long"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more", "type": {"type": "map", "values": "double"}},
        {"name": "in", "type": {"type": "record", "name": "i", "fields": [
            {"name": "s", "type": {"type": "enum", "name": "k", "symbols": ["A", "B"]}}]}},
    ],
}  # fmt: skip


def avro(rows: int, **options: Any) -> bytes:
    out = io.BytesIO()
    one = {"t": NOON, "tags": ["a"], "more": {"amount": 1.5}, "in": {"s": "B"}}
    uuid = "00000000-0000-4000-8000-{:012d}"
    records = [one | {"id": uuid.format(i), "n": i if i % 3 else None} for i in range(rows)]
    fastavro.writer(out, fastavro.parse_schema(AVRO), records, **options)
    return out.getvalue()


def test_avro_rows_are_placed_by_block_and_sequence(tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_bytes(avro(1000, sync_interval=2000, codec="deflate"))
    columns = (
        column("id", "string", pa.string()),
        column("n", "integer", pa.int32()),
        column("t", "timestamp", TIMESTAMP),
        TAGS,
        MORE,
    )
    (block,) = read(tmp_path / "a.avro", "avro")
    rows = ColumnarDecoder(contract(*columns)).decode(block).rows.to_pylist()
    assert len(rows) == 1000
    assert len({row["_position"] for row in rows}) > 5
    places = [(row["_position"], row["_sequence"]) for row in rows]
    assert places == sorted(set(places))
    assert all((p, s - 1) in places for p, s in places if s)
    with (tmp_path / "a.avro").open("rb") as file:
        offsets = [b.offset for b in fastavro.block_reader(file)]
    assert sorted({p for p, _ in places}) == offsets
    assert rows[4]["id"] == "00000000-0000-4000-8000-000000000004"
    assert [row["n"] for row in rows[:4]] == [None, 1, 2, None]
    assert (rows[0]["t"], rows[0]["tags"], rows[0]["more.amount"]) == (NOON, ["a"], 1.5)


SELF = {"type": "record", "name": "i", "fields": [{"name": "up", "type": ["null", "i"]}]}


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (["null", "string", "long"], "`in.v` of the union string, long in .*; write each"),
        ({"type": "array", "items": ["int", SELF]}, r"`in.v\[\]` of the union int, i in .*; wri"),
        (SELF, "`in.v.up` of the type i that it is in itself in .*; write it as JSON text"),
    ],
    ids=["union", "union in a list", "recursive"],
)
def test_an_avro_type_that_no_column_has_is_named_and_no_damage(
    tmp_path: Path, kind: Any, says: str
) -> None:
    inner = {"type": "record", "name": "e", "fields": [{"name": "v", "type": kind}]}
    schema = {"type": "record", "name": "r", "fields": [{"name": "in", "type": inner}]}
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), [])
    with pytest.raises(SourceError, match=says):
        read(tmp_path / "a.avro", "avro")


@pytest.mark.parametrize("form", ["parquet", "avro"])
@pytest.mark.parametrize("cut", [0.1, 0.6, 0.99])
def test_a_cut_off_file_fails_the_reading(tmp_path: Path, form: str, cut: float) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(avro(1000)) if form == "avro" else pq.write_table(
        pa.table({"n": range(10_000)}), path
    )
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(
        SourceError, match=rf"{form} files must be whole; got damage in .*a\.{form}"
    ):
        read(path, form)


@pytest.mark.parametrize(("form", "begins"), [("parquet", b"PAR1"), ("avro", b"Obj\x01")])
def test_a_file_that_only_begins_as_its_format_does_fails_the_reading(
    tmp_path: Path, form: str, begins: bytes
) -> None:
    (tmp_path / "a").write_bytes(begins + b'{"a": 1}\n' * 100)
    with pytest.raises(SourceError, match=rf"{form} files must be whole.*or set .*format"):
        read(tmp_path / "a", form)


STORED: list[tuple[pa.Array, Column]] = [
    (pa.array([2**64 - 1, 7, None], pa.uint64()), INT64),
    (pa.array([1.5, 2.0, float("nan"), None], pa.float16()), INT64),
    (pa.array([0.1, float("inf")], pa.float32()), DOUBLE),
    (pa.array([Decimal("123.45"), Decimal("1.005"), None], pa.decimal256(60, 3)), MONEY),
    (pa.array([b"plain", "grün".encode(), b"\xff", None]), TEXT),
    (pa.array([b"plain", b"\xff"], pa.large_binary()), TEXT),
    (pa.array([bytes(range(16)), None], pa.binary(16)), UUID),
    (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))), UUID),
    (pa.array(["a", None, "b"], pa.large_string()).dictionary_encode(), TEXT),
    (pa.array([1_999, -1, None], pa.timestamp("ns")), WHEN),
    (pa.array([1_999, -1, None], pa.timestamp("ns", "+02:00")), WHEN),
    (pa.array([2**62, 1], pa.timestamp("us", "UTC")), WHEN),
    (pa.array([2**30, 0], pa.date32()), DAY),
    (pa.array([1_999], pa.time64("ns")), CLOCK),
    (pa.array([2**60, 3, 0, None], pa.duration("s")), INT64),
    (pa.array([-1, None], pa.duration("ns")), INT64),
]


@pytest.mark.parametrize(("values", "kind"), STORED)
def test_a_stored_record_means_what_the_files_row_means(values: pa.Array, kind: Column) -> None:
    other = column("other", "integer", pa.int64())
    bad = pa.array([2**64 - 1] * len(values), pa.uint64())
    data = pa.record_batch({"v": values, "other": bad})
    stored = decode(data, kind, other).refused["record"].to_pylist()
    lines = np.frombuffer(b"".join(record + b"\n" for record in stored), np.uint8)
    again = JsonDecoder(contract(kind)).decode(Block("file:///x", 0, lines, 0))
    fit, refused = cast(values, kind)
    assert len(stored) == len(values)
    assert again.rows["v"].to_pylist() == fit
    assert (0 if again.refused is None else again.refused.num_rows) == len(refused)


def test_digits_below_a_microsecond_are_counted_where_they_are_cut() -> None:
    values = pa.array([1_000, 1_001, None, -1, 2], pa.timestamp("ns", "UTC"))
    data = pa.record_batch({"v": values, "n": pa.array([1, 2, 3, 2**40, 5])})
    found = decode(data, WHEN, column("n", "integer", pa.int32()))
    assert {name: rows.tolist() for name, rows in found.cut.items()} == {"v": [1, 3]}
    assert (
        decode(pa.record_batch({"v": values.cast(pa.timestamp("us"), safe=False)}), WHEN).cut == {}
    )


def test_a_reason_says_what_is_wrong_with_a_time_that_is_no_text() -> None:
    far = pa.array([2**62], pa.timestamp("us", "UTC"))
    skipped = pa.array([dt.datetime(2024, 3, 10, 2, 30)], NAIVE)  # noqa: DTZ001
    said = [decode(pa.record_batch({"v": v}), WHEN).refused["reason"][0] for v in (far, skipped)]
    must = "`v` must be a timestamp of the years 1 to 9999"
    clocks = ", and one that clocks of America/New_York show"
    assert [str(reason) for reason in said] == [must, must + clocks]
