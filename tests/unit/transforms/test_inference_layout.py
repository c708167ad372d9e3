"""How the files of a sample are read: headers, delimiters, encodings."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import fsspec
import pytest

from schemas.errors import PenstockError
from tests.samples import Infer, column
from transforms.inference.reading import read_sample


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n" + "1,5;2,5;3,5\n" * 30, ";"),  # commas cut all lines but the first into four
        ("1,5;2,5\n" * 30, ";"),
        ("a,b\n" + "x;y,1\n" * 30, ","),
        ("a\tb\n" + "x,y\t1,2\n" * 30, "\t"),
        ("a\n1\n2\n", ","),
    ],
)
def test_a_comma_within_fields_is_no_delimiter(tmp_path: Path, text: str, delimiter: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert read_sample("s.csv", tmp_path).delimiter == delimiter


def test_delimiters_compression_and_archives_are_found_out(tmp_path: Path) -> None:
    text = "a;b\n1;x\n2;y\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.csv", text.replace(";", "\t"))
    (tmp_path / "c.txt").write_text(text.replace(";", "|"))
    for name, delimiter in (("a.csv.gz", ";"), ("b.zip", "\t"), ("c.txt", "|")):
        sample = read_sample(name, tmp_path)
        assert (sample.format, sample.delimiter, sample.rows) == ("csv", delimiter, 2)
        assert [field.key for field in sample.fields] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '[{"a": 1}, {"a": 2}]', "got one array in a.json"),
        ("a.json", '{\n "a": 1\n}\n', "an object over several lines"),
        ("a.json", '{\n "a": [\n{"b": 1},\n{"b": 2}]\n}\n', "to lines: jq -c '.a[]' FILE"),
        ("a.csv", "a,b\n1,2\n1\n2\n3\n", "most records of a sample must be such as a run takes"),
        ("a.csv", "", "must have records"),
        ("a.csv", "a;b\n" + "1;2;3\n" * 30, "all differ from its header"),
        ("a.jsonl", "no json\n", "must have records of its format"),
    ],
)
def test_what_a_run_could_not_read_is_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PenstockError, match=said.replace("[", r"\[")):
        read_sample(name, tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_another_encoding_is_said_and_broken_records_are_counted(tmp_path: Path, name: str) -> None:
    rows = ['{"a": "Zürich"}', '{"a": "Genève"}', '{"a": "Rom"}'] * 20
    texts = ["a", *(row[7:-2] for row in rows)] if name.endswith("csv") else rows
    text = "".join(f"{row}\n" for row in texts)
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    with pytest.raises(PenstockError, match="a sample must be UTF-8 text; got other bytes in 4"):
        read_sample(name, tmp_path)
    (tmp_path / name).write_bytes(text.encode() + texts[-3].encode("cp1252") + b"\n")
    sample = read_sample(name, tmp_path)
    assert (sample.rows, sample.broken) == (60, 1)


def test_spaces_around_all_of_a_column_are_no_part_of_its_texts(csv: Infer) -> None:
    proposal = csv("id, job, n\n" + "1, ?, 7\n2, Sales, ?\n")
    assert proposal.sample.written.trim
    assert proposal.sample.nulls == ("", " ?")
    assert column(proposal, "n").logical == "integer"
    assert proposal.sample.fields[1].key == " job"
    assert not csv("id,job\n1, a\n2,b\n").sample.written.trim


def test_a_column_without_a_name_is_left_out_if_it_counts_and_said_if_anything_is_in_it(
    csv: Infer,
) -> None:
    proposal = csv(",a,\n0,1,\n1,2,\n")
    assert [p.name for p in proposal.properties] == ["a"]
    assert proposal.left_out == {"": "it has no name, and counts"}
    assert csv("a,\n1,\n2,\n").left_out == {}
    cars = csv(",mpg\nMazda RX4,21\nFiat 128,32.4\n")
    assert [(p.name, p.key, p.logical) for p in cars.properties] == [
        ("unnamed", "", "string"),
        ("mpg", "mpg", "number"),
    ]


def test_files_whose_columns_stand_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c\n1,x,1\n")
    (tmp_path / "b.csv").write_text("b,a\ny,2\n")
    sample = read_sample("*.csv", tmp_path)
    values = {f.key: f.values.to_pylist() for f in sample.fields if f.values is not None}
    assert values == {"a": ["1", "2"], "b": ["x", "y"], "c": ["1", None]}


def test_all_of_many_small_records_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a":1}\n' * 250_000)
    sample = read_sample("a.jsonl", tmp_path)
    assert (sample.whole, sample.rows) == (True, 250_000)


def test_only_part_of_much_data_is_looked_at_and_it_is_spread(tmp_path: Path) -> None:
    for day in range(4):
        with (tmp_path / f"{day}.jsonl").open("w") as file:
            file.writelines(f'{{"day": {day}, "i": {i}}}\n' for i in range(30_000))
    sample = read_sample(str(tmp_path), tmp_path, max_bytes=1 << 18)
    assert not sample.whole
    assert sample.spread
    assert sample.read_bytes < 1 << 20
    (day, _) = sample.fields
    assert day.values is not None
    assert len(set(day.values.to_pylist())) > 1
    assert sample.about_rows is not None
    assert 90_000 < sample.about_rows < 150_000


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    out = io.StringIO()
    out.write("\ufeffa,b\n1,2\n")
    (tmp_path / "a.csv").write_text(out.getvalue(), encoding="utf-8")
    assert [f.key for f in read_sample("a.csv", tmp_path).fields] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", ["c1", "c2", "c3"]),
        ("1,2.5\n3,4\n", ["c1", "c2"]),
        ("2024-01-01,a\n2024-01-02,b\n", ["c1", "c2"]),
        ("39,State-gov,13\n50,Private,9\n38,State-gov,9\n", ["c1", "c2", "c3"]),
        ("p,x,s\n" + "e,x,s\np,b,y\n" * 20, ["c1", "c2", "c3"]),
        ("country,2019,2020\nDE,1,2\nFR,3,4\n", ["country", "2019", "2020"]),
        ("label,0,1,2\n7,0,0,0\n2,0,1,0\n", ["label", "0", "1", "2"]),
        ("2019,2018\n5,6\n7,8\n", ["2019", "2018"]),
        ("name,34\nBob,28\nEve,41\n", ["name", "34"]),
        ("name,city\nBob,Rome\nname,city\n" * 20, ["name", "city"]),
        ("x,y\n1,2\n", ["x", "y"]),
    ],
)
def test_a_first_record_that_is_data_names_no_columns(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "s.csv").write_text(text)
    sample = read_sample("s.csv", tmp_path)
    assert [field.key for field in sample.fields] == names
    assert list(sample.names) == (names if names[0] == "c1" else [])


@pytest.mark.parametrize(
    ("text", "skip", "delimiter", "keys"),
    [
        ("sep=;\na;b\n1;2,5\n3;4,5\n", 1, ";", ["a", "b"]),
        ("Sales\nof May\n\nday,shop,sum\n1,A,2\n2,B,3\n", 3, ",", ["day", "shop", "sum"]),
        ("Sales,,\n,,\nday,shop,sum\n1,A,2\n2,B,3\n", 2, ",", ["day", "shop", "sum"]),
        ("# made 2024\nday;shop;sum\n1;A;2\n2;B;3\n", 1, ";", ["day", "shop", "sum"]),
        ("Report, of May\na,b,c,d\n1,2,3,4\n5,6,7,8\n", 1, ",", ["a", "b", "c", "d"]),
        ("\ufeffTitle\n\na,b\n1,2\n3,4\n", 2, ",", ["a", "b"]),
        ("Title\n\n7,2,x\n3,4,y\n5,6,z\n", 2, ",", ["c1", "c2", "c3"]),
        # no titles
        ("a,b\n1,2\n3,4\n", 0, ",", ["a", "b"]),
        (",a\n0,2\n1,4\n", 0, ",", ["", "a"]),
        ("a;b;c\n1;2;3\n4;5;6\n", 0, ";", ["a", "b", "c"]),
        ("a\n1\n2\n", 0, ",", ["a"]),
    ],
)
def test_lines_before_the_header_are_passed_over(
    tmp_path: Path, text: str, skip: int, delimiter: str, keys: list[str]
) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    sample = read_sample("s.csv", tmp_path)
    assert (sample.skip, sample.delimiter) == (skip, delimiter)
    assert [field.key for field in sample.fields] == keys
    assert sample.broken == 0


def test_a_header_of_one_column_is_no_title_of_texts_with_commas(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("who\nDoe, Ann\nRoe, Bob\n")
    with pytest.raises(PenstockError, match="all differ from its header"):
        read_sample("s.csv", tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sample,0.5,1.0,1.5\n1,2.5,3.5,4.5\n2,2.5,3.5,4.5\n", True),
        ("0.5,1.0,1.5\n2.5,3.5,4.5\n2.5,1.5,4.5\n", True),
        ("16.5,16.7,17.2,17.7,18.2,19.7\n1,0,4,2,1,2\n0,2,1,3,4,1\n", True),
        ("0.1,0.7,1.2,1.7,2.2,3.7\n0.2,0.9,1.4,1.8,2.3,3.1\n0.1,0.3,0.4,0.8,1,2\n", False),
        ("5.1,3.5,1.4\n4.9,3.0,1.4\n4.7,3.2,1.3\n", False),
        ("0.5,0.7,1.5\n2.5,3.5,4.5\n2.5,1.5,4.5\n", False),
    ],
)
def test_fractions_are_a_header_if_they_are_steps_of_a_scale(
    tmp_path: Path, text: str, named: bool
) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert (not read_sample("s.csv", tmp_path).names) is named


@pytest.mark.parametrize(
    ("text", "types", "marks"),
    [
        # German: what is 1.234 in one column follows from another
        ("a;b;c\n1.234,50;1.234;7\n2,25;2.345;8\n", ["number", "integer", "integer"], (",", ".")),
        # one column against two
        ("a;b;c\n1,5;2,5;52.52\n2,25;3,5;13.4\n", ["number", "number", "string"], (",", "")),
        # alone it could be both, and so it stays as it is
        ("a;b\n1,234;x\n2,345;y\n", ["string", "string"], (".", "")),
        # small numbers have no comma
        ("a;b\n1,234;x\n345;y\n", ["integer", "string"], (".", ",")),
        # dates and versions are no numbers
        (
            "a,b,c\n2024-01-31,1.2.3,1\n2024-02-01,1.2.4,2\n",
            ["date", "string", "integer"],
            (".", ""),
        ),
        ("a;b\n1'234.5;1\n12'000;2\n", ["number", "integer"], (".", "'")),
    ],
)
def test_a_file_has_one_way_to_write_numbers(
    csv: Infer, text: str, types: list[str], marks: tuple[str, str]
) -> None:
    proposal = csv(text)
    written = proposal.sample.written
    assert (written.decimal, written.thousands) == marks
    assert [p.logical for p in proposal.properties if p.field] == types


@pytest.mark.parametrize("name", ["ORCID", "ARROW1", "BZhi"])
def test_a_header_that_begins_as_other_files_do_is_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name},reviews\n0000-0001,1\n0000-0002,2\n")
    assert [field.key for field in read_sample("a.csv", tmp_path).fields] == [name, "reviews"]


@pytest.mark.parametrize("begin", [b"ORC\x0a\x03\x00", b"ARROW1\x00\x00", b"BZh91AY&SY\x94"])
def test_what_else_begins_so_is_said(tmp_path: Path, begin: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(begin + bytes(range(200)))
    with pytest.raises(PenstockError, match="a sample must be JSON lines, CSV, Parquet or Avro"):
        read_sample("a.csv", tmp_path)


def test_lines_that_end_in_a_return_alone_are_said_and_one_among_others_is_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\r1,2\r3,4\r")
    with pytest.raises(PenstockError, match="got text whose lines end in CR alone"):
        read_sample("a.csv", tmp_path)
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,x\ry\n3,4\n5,6\n")
    sample = read_sample("b.csv", tmp_path)
    assert (sample.rows, sample.broken) == (2, 1)


def test_the_line_of_excel_may_name_a_tab(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=\t\na\tb\n1\t2\n")
    sample = read_sample("a.csv", tmp_path)
    assert (sample.delimiter, sample.skip) == ("\t", 1)
    assert [field.key for field in sample.fields] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"no json\n", "must have records of its format"),
        ("a.csv", b"a,b\n1\n2\n3,4\n", "most records of a sample"),
        ("a.csv", "a\nZürich\nGenève\n".encode("cp1252"), "must be UTF-8 text"),
    ],
)
def test_no_password_of_a_url_is_in_what_is_said_of_it(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    url = f"memory://key:secret@bucket/{name}"
    fsspec.filesystem("memory").pipe(url, content)
    with pytest.raises(PenstockError, match=said) as error:
        read_sample(url, tmp_path)
    assert "secret" not in str(error.value)
    assert f"bucket/{name}" in str(error.value)
