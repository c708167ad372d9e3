"""Every CSV record is in rows or refused, once, whole, at the position where it starts."""

import csv
import datetime as dt
import io
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.contract import Column
from schemas.errors import SourceError
from schemas.names import POSITION, REFUSED, TIMESTAMP
from schemas.plan import FileSource, Written
from tests.contracts import column, contract
from transforms.decode.decoded import Decoded
from transforms.decode.delimited import CsvDecoder
from transforms.sources.blocks import Block
from transforms.sources.files import discover, read_blocks

NAME = column("name", "string", pa.string())
N = column("n", "integer", pa.int64())


def decode(
    data: bytes,
    *columns: Column,
    header: bytes = b"name,n",
    start: int = 7,
    nulls: tuple[str, ...] = ("",),
    delimiter: str = ",",
    written: Written = Written(),  # noqa: B008  # frozen
) -> Decoded:
    source = FileSource(path="x", format="csv", nulls=nulls, delimiter=delimiter, written=written)
    decoder = pickle.loads(pickle.dumps(CsvDecoder(contract(*(columns or (NAME, N))), source)))
    block = Block("file:///x.csv", start, np.frombuffer(data, np.uint8), 0, header)
    return decoder.decode(block)


def rows(decoded: Decoded) -> list[tuple]:
    names = [n for n in decoded.rows.schema.names if not n.startswith("_")]
    return [tuple(row[n] for n in names) for row in decoded.rows.to_pylist()]


def refused(decoded: Decoded) -> list[tuple[int, str, str, bytes]]:
    found = decoded.refused.to_pylist() if decoded.refused else []
    return [(r["_position"], r["rule"], r["reason"], r["record"]) for r in found]


def test_columns_are_read_by_name_and_others_passed_over() -> None:
    found = decode(b"1,x,a\n2,y,b\n", header=b"n,other,name")
    assert rows(found) == [("a", 1), ("b", 2)]
    assert found.rows.to_pylist()[1] | {} == {
        "name": "b",
        "n": 2,
        "_source": "file:///x.csv",
        "_position": 13,
        "_sequence": 0,
        "_arrived": dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        "_watermark": None,
    }
    assert found.format == "csv"


def test_quoted_fields_hold_delimiters_newlines_and_quotes() -> None:
    found = decode(b'"a,b\r\nc ""d""",1\r\n5" pipe,2\r\n')
    assert rows(found) == [('a,b\r\nc "d"', 1), ('5" pipe', 2)]
    assert found.rows[POSITION].to_pylist() == [7, 25]


def test_only_unquoted_texts_are_null() -> None:
    found = decode(b'NA,NA\n"NA",\n"",1\n', nulls=("", "NA"))
    assert rows(found) == [(None, None), ("NA", None), ("", 1)]
    assert rows(decode(b",1\n", nulls=())) == [("", 1)]


def test_empty_lines_are_no_records() -> None:
    found = decode(b"\na,1\n\r\n\nb,2\n\r\n")
    assert rows(found) == [("a", 1), ("b", 2)]
    assert found.rows[POSITION].to_pylist() == [8, 15]
    assert refused(found) == []


def test_a_column_that_the_file_lacks_is_null() -> None:
    assert rows(decode(b"a\n", header=b"name")) == [("a", None)]


BROKEN = [
    (b"a\n", "record must have 2 fields; got 1"),
    (b"a,1,\n", "record must have 2 fields; got 3"),
    (b'"a"b,1\n', "record must have a delimiter behind each closing quote; see RFC 4180"),
    (b"a\rb,1\n", "record must end in LF or CRLF, and have CR alone only in quotes"),
    (b"a\0,1\n", "record must not have NUL bytes; the file may be UTF-16 or damaged"),
    (b"\xff,1\n", "record must be UTF-8 text; convert the file"),
    (b"\xed\xa0\x80,1\n", "record must be UTF-8 text; convert the file"),
]


@pytest.mark.parametrize(("record", "reason"), BROKEN)
def test_a_broken_record_is_refused_alone(record: bytes, reason: str) -> None:
    found = decode(b"a,1\n" + record + b"b,2\n")
    assert rows(found) == [("a", 1), ("b", 2)]
    assert refused(found) == [(11, "csv", reason, b"name,n\n" + record[:-1])]
    assert found.refused.schema == REFUSED


def test_a_quote_that_never_closes_takes_its_line_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'name,n\na,1\n"b\n",2\n"c,3\nd,4\ne,5')
    good, bad = read_file(tmp_path / "a.csv", 1 << 20)
    assert [(row["name"], row["n"]) for row in good] == [("a", 1), ("b\n", 2), ("d", 4), ("e", 5)]
    (dead,) = bad
    assert (dead["_position"], dead["record"]) == (18, b'name,n\n"c,3')
    assert dead["reason"] == "record must close each quote that opens a field; see RFC 4180"


def test_values_are_read_strictly_and_refused_by_row() -> None:
    texts = [b"1", b"007", b"-3", b"1.0", b"0x1F", b"+1", b" 1", b"1_0", b"9" * 19, b"one"]
    found = decode(b"".join(b"a," + text + b"\n" for text in texts))
    assert [n for _, n in rows(found)] == [1, 7, -3]
    assert {(rule, reason) for _, rule, reason, _ in refused(found)} == {
        ("type", "`n` must be an integer of 64 bits")
    }
    assert [r.rpartition(b",")[2] for *_, r in refused(found)] == texts[3:]


TYPES: list[tuple[Column, dict[str, object], list[str]]] = [
    (
        column("v", "number", pa.float64()),
        {"1": 1.0, "1.5e3": 1500.0, "-.5": -0.5},
        ["NaN", "inf", "-Infinity", "1e400", "1,5", "x"],
    ),
    (
        column("v", "number", pa.decimal128(5, 2)),
        {"1.5": Decimal("1.50"), "-123.45": Decimal("-123.45")},
        ["1.555", "1234.00", "nan", "x"],
    ),
    (
        column("v", "boolean", pa.bool_()),
        {"true": True, "False": False, "TRUE": True},
        ["1", "t", "yes", "true "],
    ),
    (
        column("v", "date", pa.date32()),
        {"2024-02-29": dt.date(2024, 2, 29)},
        ["2023-02-29", "2024-2-9", "2024-02-29T00:00:00"],
    ),
    (
        column("v", "date", pa.date32(), formats=("%d.%m.%Y", "%Y%m%d")),
        {"29.02.2024": dt.date(2024, 2, 29), "20240229": dt.date(2024, 2, 29)},
        ["2024-02-29", "30.02.2024"],
    ),
    (
        column("v", "time", pa.time64("us")),
        {"09:30:00.5": dt.time(9, 30, 0, 500_000), "09:30": dt.time(9, 30)},
        ["25:00", "9"],
    ),
    (
        column("v", "timestamp", TIMESTAMP, timezone="America/New_York"),
        {
            "2013-01-01T05:15:00": dt.datetime(2013, 1, 1, 10, 15, tzinfo=dt.UTC),
            "2013-01-01 05:15:00Z": dt.datetime(2013, 1, 1, 5, 15, tzinfo=dt.UTC),
            "2013-01-01T05:15:00+01:00": dt.datetime(2013, 1, 1, 4, 15, tzinfo=dt.UTC),
            "2013-11-03 01:30:00": dt.datetime(2013, 11, 3, 5, 30, tzinfo=dt.UTC),
        },
        ["2013-03-10 02:30:00", "2013-01-01", "now", "1357035300"],
    ),
    (column("v", "integer", pa.int32()), {"2147483647": 2147483647}, ["2147483648"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=[str(t[0].type) for t in TYPES])
def test_each_type_has_its_texts(kind: Column, good: dict, bad: list[str]) -> None:
    for alone in (False, True):  # without a bad text the fast paths are taken
        texts = [*good, *([] if alone else bad)]
        data = "".join(f'"{text}"\n' for text in texts).encode()
        found = decode(data, kind, header=b"v")
        assert [v for (v,) in rows(found)] == list(good.values())
        assert len(refused(found)) == len(texts) - len(good)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["1", "x", "-5", "1.0", "NA", "99999999999999999999"]), max_size=60)
)
def test_bad_values_are_found_wherever_they_stand(texts: list[str]) -> None:
    found = decode("".join(f"a,{t}\n" for t in texts).encode(), nulls=("NA",))
    fits = {"1": 1, "-5": -5, "NA": None}
    assert [n for _, n in rows(found)] == [fits[t] for t in texts if t in fits]
    assert [r.decode().rpartition(",")[2] for *_, r in refused(found)] == [
        t for t in texts if t not in fits
    ]


def test_the_first_thing_wrong_with_a_row_is_told_once() -> None:
    found = decode(b"x,y\n", column("a", "integer", pa.int64()), N, header=b"a,n")
    assert [reason for _, _, reason, _ in refused(found)] == ["`a` must be an integer of 64 bits"]


def test_no_reason_holds_a_value() -> None:
    secret = b"4929-1111"
    data = secret + b"\n" + secret + b",x\n\xff" + secret + b',1\n"' + secret + b'"z,1\n'
    assert all(secret.decode() not in reason for _, _, reason, _ in refused(decode(data)))
    assert len(refused(decode(data))) == 4


def test_records_are_found_again_by_position() -> None:
    found = decode(b'a,1\n\n"b\n",2\r\nc,3')
    rows = found.rows.take(pa.array([2, 1]))
    assert found.records(rows).to_pylist() == [b"name,n\nc,3", b'name,n\n"b\n",2']


OBJECTS = [
    Column(
        name="tags",
        path="tags",
        logical="array",
        type=pa.list_(pa.field("element", pa.string())),
        items=Column(name="element", path="tags[]", logical="string", type=pa.string()),
    ),
    Column(
        name="more",
        path="more",
        logical="object",
        type=pa.string(),
        open=True,
        children=(Column(name="amount", path="more.amount", logical="number", type=pa.float64()),),
    ),
]


def test_objects_and_arrays_are_json_in_their_field() -> None:
    good = b'"[""a"",\n""b""]","{""amount"": 1.5, ""x"": null}"\n,\n'
    bad = b'"[1]",\n[,\n,"{""amount"": ""x""}"\n"[]}{",\n"[],""x"":1",\n"[""a\nb""]",\n'
    found = decode(good + bad, *OBJECTS, header=b"tags,more")
    assert rows(found) == [(["a", "b"], '{"amount": 1.5, "x": null}', 1.5), (None, None, None)]
    assert [rule for _, rule, _, _ in refused(found)] == ["type", "json", "type"] + ["json"] * 3


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            b"name,name,n",
            r"must have different names; got the same for columns 1 and 2 of file:///x\.csv",
        ),
        (b"Name,m", r"got file:///x\.csv without 'name' \(is it 'Name'\?\); 'n'"),
        (
            b"name;n",
            r"without 'name' .*its header, the contract, or source\.batch\.files\.csv\.delim",
        ),
        (b"\xff,n", "of UTF-8 text; got other bytes .*; convert it, for example: iconv -f"),
        (b'"name"x,n', "header must be one record of UTF-8 text"),
    ],
)
def test_a_header_that_does_not_fit_refuses_the_file(header: bytes, message: str) -> None:
    required = [column(c.name, c.logical, c.type, required=True) for c in (NAME, N)]
    with pytest.raises(SourceError, match=message):
        decode(b"", *required, header=header)


def test_columns_of_one_name_are_read_by_their_numbers() -> None:
    second = column("name_2", "string", pa.string())
    found = decode(b"a,1,b\n", NAME, N, second, header=b"name,n,name")
    assert rows(found) == [("a", 1, "b")]
    assert found.undeclared == ()
    assert rows(decode(b"a,b\n", second, header=b"name,name")) == [("b",)]
    # A column that is called so is that one.
    assert rows(
        decode(
            b"a,b,c\n", second, column("name_3", "string", pa.string()), header=b"name,name_2,name"
        )
    ) == [("b", "c")]
    with pytest.raises(SourceError, match="the latter by its name and '_3' behind"):
        decode(b"a,b,c\n", NAME, second, header=b"name,name,name")


def read_file(path: Path, block: int) -> tuple[list[dict], list[dict]]:
    """Rows and refused records of a file that is read in blocks of some size."""
    source = FileSource(path=path.name, format="csv", block_bytes=block)
    decoder = CsvDecoder(contract(NAME, N), source)
    good: list[dict] = []
    bad: list[dict] = []
    for piece in discover(source, path.parent, {}).slices:
        for found in map(decoder.decode, read_blocks(piece)):
            good += found.rows.to_pylist()
            bad += found.refused.to_pylist() if found.refused else []
    return good, bad


PIECES = [b"a", b"1", b",", b"\n", b"\r\n", b"\r", b'"', b'""', b"\0", b"\xff", b"\xc3\xa9", b" "]
MESS = st.one_of(
    st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=50).map(b"".join)
)


@settings(max_examples=150, deadline=None)
@given(MESS, st.integers(1, 50))
@example(b'"\n\xef\xbb\xbfa,1\n\xef\xbb\xbfb,2\n', 9)
@example(b'"a\rb",1\n"a"\r\n', 50)
@example(b'a"\r",1\n', 5)
@example(b"\r", 1)
def test_any_bytes_are_rows_or_refused_once_at_any_block_size(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int
) -> None:
    path, text = tmp_path_factory.mktemp("mess") / "a.csv", b"name,n\n" + data
    path.write_bytes(text)
    good, bad = read_file(path, 1 << 20)
    assert read_file(path, block) == (good, bad)
    found = sorted(row["_position"] for row in (*good, *bad))
    assert len(set(found)) == len(found)
    covered = [text[a:b] for a, b in zip(found, [*found[1:], len(text)], strict=False)]
    records = {row["_position"]: row["record"] for row in bad}
    values = {row["_position"]: (row["name"] or "", row["n"]) for row in good}
    for at, whole in zip(found, covered, strict=True):
        if at in records:  # what stands from here on, but for line ends and empty lines
            record = records[at].removeprefix(b"name,n\n")
            assert whole.startswith(record)
            assert not whole[len(record) :].strip(b"\r\n")
        else:
            name, n = next(csv.reader(io.StringIO(whole.decode(), newline="")))
            assert values[at] == (name, int(n) if n else None)
    assert b"".join(covered).strip(b"\r\n") == data.strip(b"\r\n")


YES = column("yes", "boolean", pa.bool_())
PRICE = column("price", "number", pa.float64())
EXACT = column("price", "number", pa.decimal128(18, 4))


def read(texts: list[str], of: Column, written: Written) -> list[object]:
    """Values of a column, and of a refused record its reason."""
    data = "".join(f"{text}\n" for text in texts).encode()
    found = decode(data, of, header=of.name.encode(), delimiter="|", start=0, written=written)
    values = dict(zip(found.rows[POSITION].to_pylist(), (r[0] for r in rows(found)), strict=True))
    values |= {position: reason for position, _, reason, _ in refused(found)}
    return [values[position] for position in sorted(values)]


def test_words_mean_true_or_false_in_any_case_and_others_are_refused() -> None:
    written = Written(trues=("yes", "Y"), falses=("no", "N"))
    found = read(["Yes", "y", "NO", "n", "true", "FALSE", "maybe"], YES, written)
    said = "`yes` must be true or false (or yes, Y, no, N)"
    assert found == [True, True, False, False, True, False, said]


@pytest.mark.parametrize(
    ("written", "texts", "values", "others", "said"),
    [
        (
            Written(thousands=",", signs=("$", "%")),
            ["1,234.50", "$1,234,567", "-$5", "$-5", "12 %", "12%", "1234", ".5", "$ 7"],
            [1234.5, 1234567.0, -5.0, -5.0, 12.0, 12.0, 1234.0, 0.5, 7.0],
            ["1,23", "12,3456", "$5%", "--5", "-$-5", "5$$", "€5", "1 234", ",5", "$", "1.2.3"],
            "a finite number written as 1,234.5, perhaps with $ or %",
        ),
        (
            Written(decimal=",", thousands="."),
            ["1.234,5", "-0,5", "7", "1.000.000", "1e3"],
            [1234.5, -0.5, 7.0, 1e6, 1000.0],
            ["1.5", "1,234.5", "1,2,3", "nan", "1e400"],
            "a finite number written as 1.234,5",
        ),
        (
            Written(decimal=",", thousands=" "),
            ["1 234,5", "1\u00a0234,5", "1\u202f234"],
            [1234.5, 1234.5, 1234.0],
            ["1 23", " 5"],
            "a finite number written as 1 234,5",
        ),
    ],
)
@pytest.mark.parametrize("of", [PRICE, EXACT])
def test_numbers_are_read_as_the_file_writes_them_and_no_other_way(
    of: Column,
    written: Written,
    texts: list[str],
    values: list[float],
    others: list[str],
    said: str,
) -> None:
    assert read(texts, of, written) == values
    exact = "a number of 14 digits and 4 decimals" + said.removeprefix("a finite number")
    reason = f"`price` must be {exact if of is EXACT else said}"
    assert read(others, of, written) == [reason] * len(others)


def test_integers_have_marks_and_signs_too_and_text_keeps_them() -> None:
    written = Written(thousands=",", signs=("%",))
    assert read(["1,000", "12%"], N, written) == [1000, 12]
    assert read(["1.0"], N, written) == [
        "`n` must be an integer of 64 bits written as 1,234, perhaps with %"
    ]
    assert read(["1,000", "12%"], NAME, written) == ["1,000", "12%"]


def test_a_file_without_header_is_read_by_the_names_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfa,1\nb,2\n")
    source = FileSource(path="x.csv", format="csv", names=("name", "n"))
    (piece,) = discover(source, tmp_path, {}).slices
    (block,) = read_blocks(piece)
    assert isinstance(block, Block)
    decoder = CsvDecoder(contract(NAME, N), source)
    decoder.check(block.header, block.source)
    found = decoder.decode(block)
    assert rows(found) == [("a", 1), ("b", 2)]
    assert found.rows[POSITION].to_pylist() == [3, 7]


def test_a_trimmed_field_of_nothing_but_spaces_is_null() -> None:
    of = (column("n", "integer", pa.int64()), column("s", "string", pa.string()))
    found = decode(b" 1, x\n  ,  \n", *of, header=b"n,s", start=0, written=Written(trim=True))
    assert found.refused is None
    assert [row[:2] for row in rows(found)] == [(1, "x"), (None, None)]
