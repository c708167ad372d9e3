"""What `penstock init` says of samples that it cannot read, and of records that a run refuses."""

from __future__ import annotations

import bz2
import gzip
import io
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest

from beam_pipelines.init import begin
from beam_pipelines.init_contract import refusals
from schemas.errors import PenstockError
from transforms.inference.reading import read_sample


def make(folder: Path) -> None:
    """Files of many kinds that hold no records for us."""
    (folder / "empty").mkdir()
    for name, content in {
        "none.csv": b"",
        "header.csv": b"a,b\n",
        "page.csv": b"<!DOCTYPE html>\n<html></html>\n",
        "feed.txt": b'<?xml version="1.0"?><a/>',
        "noise.csv": bytes(range(256)) * 8,
        "doc.csv": b"%PDF-1.7 and so on",
        "t.csv.bz2": bz2.compress(b"a,b\n1,2\n"),
        "old.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
        "cut.csv.gz": gzip.compress(b"a,b\n" + bytes(str(list(range(9999))), "ascii"))[:900],
        "broken.parquet": b"PAR1 and no more",
        "deep.jsonl": b'{"a": NaN}\n{"a": NaN}\n{"a": 1}\n',
    }.items():
        (folder / name).write_bytes(content)
    sqlite3.connect(folder / "d.csv").execute("CREATE TABLE t (a)")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    (folder / "t.tar.gz").write_bytes(gzip.compress(tar.getvalue()))
    for name, members in {
        "book.xlsx": {"xl/workbook.xml": "", "xl/a.bin": ""},
        "mixed.zip": {"a.csv": "a,b\n1,2\n", "b.jsonl": '{"a": 1}\n', "readme.md": "hi"},
        "bomb.zip": {"a.csv": "0" * (80 << 20)},
    }.items():
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as packed:
            for member, content in members.items():
                packed.writestr(member, content)


ONE = "a sample must be JSON lines, CSV, Parquet or Avro; got "
SAID = {
    "nix.csv": "a sample must be a readable file, glob, directory or URL; got {0}, which is not "
    "there; correct SAMPLE",
    "nix*": "a sample must name at least one file; got none at {0}; correct SAMPLE",
    "empty": "a sample must name at least one file; got none at {0}; correct SAMPLE",
    "none.csv": "a sample must have records; got none in {0}; give another",
    "header.csv": "a sample must have records; got a header alone in {0}; give another",
    "page.csv": ONE + "a page of HTML in page.csv; the address may be that of a page about the "
    "file",
    "feed.txt": ONE + "XML in feed.txt; convert it to JSON lines or CSV",
    "noise.csv": ONE + "binary data of no format that is known here in noise.csv; convert it to "
    "one of these",
    "doc.csv": ONE + "a PDF document in doc.csv; write its table as CSV in UTF-8",
    "t.csv.bz2": ONE + "a bzip2 file in t.csv.bz2; unpack it first",
    "t.tar.gz": ONE + "a tar archive in t.tar.gz; unpack it first",
    "old.xls": ONE + "a file of an old Office program in old.xls; write its table as CSV in UTF-8",
    "book.xlsx": ONE + "an Excel workbook in book.xlsx; save its sheet as CSV in UTF-8",
    "d.csv": ONE + "an SQLite database in d.csv; export a table of it as CSV or Parquet",
    "mixed.zip": "files of one archive must be of one format; got a.csv, b.jsonl, readme.md in "
    "mixed.zip; unpack it, and give those that are records",
    "bomb.zip": "a CSV file must begin with a header of at most 67108864 bytes; got more in "
    "file://{0}!a.csv; check that its quotes close",
    "broken.parquet": "parquet files must be whole; got damage in {0} (ArrowInvalid); get a whole "
    "copy, or name it by what it is",
    "deep.jsonl": "most records of a sample must be such as a run takes; got 2 of 3 in {0} that it "
    "refuses, 2 of them as json since record must be valid JSON, got a word that is no number, "
    "true, false or null; correct the file, and remove lines before its header",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    make(made)
    return made


@pytest.mark.parametrize("name", SAID)
def test_a_sample_that_cannot_be_read_is_said_to_be_what_it_is(name: str, folder: Path) -> None:
    with pytest.raises(PenstockError) as said:
        begin([str(folder / name)], folder / "new", None)
    assert str(said.value) == SAID[name].format(folder / name)
    assert not (folder / "new").exists()


def test_no_message_speaks_of_a_pipeline_that_is_not_there_yet(folder: Path) -> None:
    with pytest.raises(PenstockError) as said:
        begin([str(folder / "cut.csv.gz")], folder / "new", None)
    assert "compressed files must be whole" in str(said.value)
    for word in ("--input", "source.", "the source", "nothing was written"):
        assert word not in str(said.value)


def test_a_sample_of_no_column_that_a_contract_can_have_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"a": 1}\n{"a": "x"}\n' * 9)
    with pytest.raises(PenstockError) as said:
        begin([str(tmp_path / "s.jsonl")], tmp_path / "new", None)
    assert str(said.value) == (
        f"a sample must have a column that a contract can have; got none in {tmp_path}/s.jsonl "
        "(of the first: values of several kinds stand in it); give other records"
    )
    assert not (tmp_path / "new").exists()


def test_records_that_a_run_refuses_are_counted_by_reason(tmp_path: Path) -> None:
    good = "".join(f'{{"id": {i}, "in": {{"a": 1}}}}\n' for i in range(20))
    bad = '{"id": NaN}\n{"id": 1, "id": 2}\n{"id": 3, "in": {"a": 1, "a": 2}}\n{"id": 4\n[5]\n'
    (tmp_path / "s.jsonl").write_text(good + bad)
    sample = read_sample("s.jsonl", tmp_path)
    assert (sample.rows, sample.broken) == (20, 5)
    assert [f.key for f in sample.fields] == ["id", "in"]
    assert refusals(sample).startswith("keys of an object must be distinct, got one twice (2); ")
    (tmp_path / "s.csv").write_text("a,b\n" + "1,2\n" * 9 + '1\n1\n1,"2"3\n')
    sample = read_sample("s.csv", tmp_path)
    assert refusals(sample) == (
        "record must have 2 fields, got 1 (2); "
        "record must have a delimiter behind each closing quote, see RFC 4180 (1)"
    )
