"""Which files are read, what is new in them, and what is said when there are none."""

import gzip
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import SourceError, UsageError
from schemas.plan import FileSource
from transforms.sources import files, memory, places, slices, stored
from transforms.sources.files import Discovery, discover, read_blocks, scan
from transforms.sources.identity import SOURCES, Remembered, forgotten, remember, remembered
from transforms.sources.places import public

Known = dict[str, Remembered]


def find(folder: Path, path: str, memory: Known | None = None, **options: object) -> Discovery:
    return discover(FileSource(path=path, **options), folder, memory or {})


def land(found: Discovery, memory: Known | None = None) -> tuple[dict[str, bytes], Known]:
    """Read what was found, as a run would: the bytes of each source, and what is remembered."""
    data: dict[str, bytes] = {}
    prints: list[pa.RecordBatch] = []
    for piece in found.slices:
        reading = scan(piece)
        while True:
            try:
                block = next(reading)
            except StopIteration as end:
                prints.append(end.value.to_batch())
                break
            rows = block.data
            text = rows.tobytes() if not isinstance(rows, pa.RecordBatch) else str(rows).encode()
            data[block.source] = data.get(block.source, b"") + text
    old = list((memory or {}).items())
    return data, dict(old) | dict(remembered(pa.Table.from_batches([remember(prints)])))


def names(found: Discovery) -> list[str]:
    return [piece.source.rpartition("/")[2] for piece in found.slices]


def test_globs_and_directories_give_their_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.json", "a.json", "deep/c.json", ".hidden", "_SUCCESS"):
        (tmp_path / "in" / name).write_text("{}\n")
    assert names(find(tmp_path, "in/*.json")) == ["a.json", "b.json"]
    assert names(find(tmp_path, "in/**/*.json")) == ["a.json", "b.json", "c.json"]
    assert names(find(tmp_path, "in")) == ["a.json", "b.json", "c.json"]
    assert names(find(tmp_path, str(tmp_path / "in"))) == ["a.json", "b.json", "c.json"]
    assert names(find(tmp_path / "in", "../in/*")) == ["_SUCCESS", "a.json", "b.json"]


def test_a_file_has_one_name_however_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "a b@2!%.json").write_text("{}\n")
    (tmp_path / "link").symlink_to(tmp_path / "a b@2!%.json")
    uri = f"{tmp_path.as_uri()}/a%20b%402%21%25.json"
    for path in ("*", "link", "./link", uri, str(tmp_path)):
        assert [piece.source for piece in find(tmp_path, path).slices] == [uri]


def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a[1].json").write_text("{}\n")
    assert names(find(tmp_path, "a[1].json")) == ["a%5B1%5D.json"]


@pytest.mark.parametrize("path", ["none-*.json", "none.json", "empty", "none/*"])
def test_a_source_without_files_is_an_error_that_names_it(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError) as error:
        find(tmp_path, path)
    assert path in str(error.value)
    assert "source.batch.files.path" in str(error.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="must be a regular file; got"):
        find(tmp_path, "pipe")


def test_a_store_whose_library_is_not_there_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(_: str) -> None:
        msg = "at https://user:secret@host/a.csv"
        raise ImportError(msg)

    monkeypatch.setattr(places, "_remote", lacking)
    with pytest.raises(SourceError, match=r"aiohttp.*pip install 'fsspec\[http\]'") as caught:
        places.expand("https://user:secret@host/a.csv", tmp_path)
    assert "secret" not in str(caught.value)


def test_a_file_without_permission_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}\n")
    (tmp_path / "a.json").chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from schemas.plan import FileSource; from transforms.sources.places import expand\n"
        "os.chdir(sys.argv[1]); os.geteuid() or os.setuid(65534)\n"
        "expand('a.json', Path('.'))"
    )
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SourceError: every file of the source must be readable; got permission" in done.stderr
    assert "a.json" in done.stderr


def test_what_landed_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}\n")
    _, memory = land(find(tmp_path, "*.json"))
    again = find(tmp_path, "*.json", memory)
    assert again.slices == ()
    assert again.unchanged == ((tmp_path / "a.json").as_uri(),)
    os.utime(tmp_path / "a.json", (1, 1))
    assert find(tmp_path, "*.json", memory).slices == ()
    (tmp_path / "b.json").write_text("{}\n")
    assert names(find(tmp_path, "*.json", memory)) == ["b.json"]


PACKS = {"plain": bytes, "gzip": gzip.compress, "zstd": lambda b: pa.compress(b, "zstd", True)}


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_a_file_that_grew_is_read_from_where_it_ended(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(pack(b"{}\n" * 1000))
    _, memory = land(find(tmp_path, "a"))
    path.write_bytes(path.read_bytes() + pack(b"[1]\n"))
    found = find(tmp_path, "a", memory)
    (piece,) = found.slices
    assert piece.start == 3000
    data, memory = land(found, memory)
    assert data == {path.as_uri(): b"[1]\n"}
    assert find(tmp_path, "a", memory).slices == ()
    path.write_bytes(path.read_bytes() + pack(b"[2]"))
    data, memory = land(find(tmp_path, "a", memory), memory)
    assert data == {path.as_uri(): b"[2]"}
    path.write_bytes(path.read_bytes() + pack(b"3]\n"))
    with pytest.raises(SourceError, match="must stay as it was, or grow by whole records"):
        find(tmp_path, "a", memory)


def test_a_csv_file_that_grew_keeps_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf\n"a",b\r\n1,2\r\n')
    _, memory = land(find(tmp_path, "a.csv", format="csv"))
    path.write_bytes(path.read_bytes() + b"3,4\r\n")
    (piece,) = find(tmp_path, "a.csv", memory, format="csv").slices
    (block,) = read_blocks(piece)
    assert (block.start, block.data.tobytes(), block.header) == (16, b"3,4\r\n", b'"a",b')


def test_a_csv_file_whose_last_quote_was_open_did_not_just_grow(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,"2\n3,4\n')
    data, memory = land(find(tmp_path, "a.csv", format="csv"))
    assert data == {path.as_uri(): b'1,"2\n3,4\n'}
    path.write_bytes(path.read_bytes() + b'5"\n')
    with pytest.raises(SourceError, match="must stay as it was, or grow by whole records"):
        find(tmp_path, "a.csv", memory, format="csv")


def test_a_rewritten_file_is_named_and_read_only_as_a_new_source(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_bytes(b"{}\n")
    second.write_bytes(b"{}\n")
    _, memory = land(find(tmp_path, "*"))
    first.write_bytes(b"[]\n{}\n")
    second.write_bytes(b"")
    with pytest.raises(SourceError) as error:
        find(tmp_path, "*", memory)
    assert first.as_uri() in str(error.value)
    assert second.as_uri() in str(error.value)
    assert "source.batch.files.rewritten: append" in str(error.value)
    data, memory = land(find(tmp_path, "*", memory, rewritten="append"), memory)
    assert data == {f"{first.as_uri()}@2": b"[]\n{}\n"}
    assert find(tmp_path, "*", memory, rewritten="append").slices == ()
    first.write_bytes(b"[]\n{}\n1\n")
    data, memory = land(find(tmp_path, "*", memory), memory)
    assert data == {f"{first.as_uri()}@2": b"1\n"}
    first.write_bytes(b"0\n")
    found = find(tmp_path, "*", memory, rewritten="append")
    assert [p.source for p in found.slices] == [f"{first.as_uri()}@3"]


def test_reading_everything_anew_keeps_a_name_for_one_content(tmp_path: Path) -> None:
    for name in ("same", "grown", "touched", "rewritten", "twice"):
        (tmp_path / name).write_bytes(b"{}\n")
    _, memory = land(find(tmp_path, "*"))
    (tmp_path / "twice").write_bytes(b"[]\n")
    _, memory = land(find(tmp_path, "*", memory, rewritten="append"), memory)
    (tmp_path / "grown").write_bytes(b"{}\n[]\n")
    os.utime(tmp_path / "touched", (1, 1))
    (tmp_path / "rewritten").write_bytes(b"0\n")
    (tmp_path / "new").write_bytes(b"1\n")
    found = discover(FileSource(path="*"), tmp_path, memory, anew=True)
    assert set(names(found)) == {"new", "same", "grown", "touched", "rewritten@2", "twice@2"}
    assert all(piece.start == 0 for piece in found.slices)
    data, _ = land(found)
    assert data[(tmp_path / "grown").as_uri()] == b"{}\n[]\n"


def test_a_file_that_bears_a_forgotten_name_is_another_source(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"{}\n")
    _, memory = land(find(tmp_path, "a"))
    ((uri, one),) = memory.items()
    row = {"source": uri, "size": one.size, "modified": one.modified_us, "hash": one.hash}
    gone = pa.Table.from_pylist([forgotten(row)], schema=SOURCES)
    memory = dict(remembered(gone))
    data, memory = land(find(tmp_path, "a", memory), memory)
    assert data == {f"{path.as_uri()}@2": b"{}\n"}
    assert find(tmp_path, "a", memory).slices == ()


def test_generations_are_told_apart_beyond_nine(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"{}\n")
    _, memory = land(find(tmp_path, "a"))
    ((uri, row),) = memory.items()
    memory |= {f"{uri}@{n}": replace(row, source=f"{uri}@{n}", hash="") for n in range(2, 11)}
    (tmp_path / "a").write_bytes(b"[]\n\n")
    (piece,) = find(tmp_path, "a", memory, rewritten="append").slices
    assert piece.source == f"{uri}@11"


def test_an_archive_lands_as_a_whole_and_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, passes = tmp_path / "a.zip", []
    hash_stored = stored.hash_stored

    def counted(*arguments: object) -> bytes:
        passes.append(arguments)
        return hash_stored(*arguments)

    for module in (files, memory, slices):
        monkeypatch.setattr(module, "hash_stored", counted)
    with zipfile.ZipFile(path, "w") as archive:
        for name in "xyz":
            archive.writestr(name, name + "\n")
    data, known = land(find(tmp_path, "a.zip"))
    assert set(data.values()) == {b"x\n", b"y\n", b"z\n"}
    assert len({row.hash for row in known.values()}) == len(passes) == 1
    assert find(tmp_path, "a.zip", known).unchanged == tuple(sorted(data))
    assert len(passes) == 1
    os.utime(path, (1, 1))
    assert find(tmp_path, "a.zip", known).slices == ()
    assert len(passes) == 3
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w", "w\n")
    with pytest.raises(SourceError, match="must stay as it was"):
        find(tmp_path, "a.zip", known)
    data, _ = land(find(tmp_path, "a.zip", known, rewritten="append"), known)
    assert [name.rpartition("!")[2] for name in sorted(data)] == ["w", "x@2", "y@2", "z@2"]


def test_what_is_unchanged_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("{}\n")
    _, known = land(find(tmp_path, "a.json"))
    monkeypatch.setattr(stored, "open_raw", None)
    assert find(tmp_path, "a.json", known).slices == ()


@pytest.mark.parametrize("delimiter", ["", ";;", "é", '"', "\n"])
def test_a_delimiter_that_cannot_be_one_is_refused(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(UsageError, match="delimiter must be one ASCII character"):
        find(tmp_path, "*.csv", format="csv", delimiter=delimiter)


def test_a_changed_archive_or_table_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    _, memory = land(find(tmp_path, path.name, format="parquet"))
    os.utime(path, (1, 1))
    assert find(tmp_path, path.name, memory, format="parquet").slices == ()
    pq.write_table(pa.table({"a": [1, 2]}), path)
    with pytest.raises(SourceError, match="must stay as it was"):
        find(tmp_path, path.name, memory, format="parquet")


def test_columnar_files_in_a_compressed_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.avro.gz").write_bytes(gzip.compress(b"Obj\x01"))
    with pytest.raises(SourceError, match="avro files compress inside; got gzip in"):
        find(tmp_path, "a.avro.gz", format="avro")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    """A folder in a file system that is not the local one."""
    root = f"memory://{request.node.name}"
    fs = fsspec.filesystem("memory")
    fs.pipe(f"{root}/b@1.jsonl.gz", gzip.compress(b"[]\n"))
    fs.pipe(f"{root}/a.jsonl", b"{}\n" * 10)
    fs.pipe(f"{root}/_tmp/c.jsonl", b"{}\n")
    return root


def test_urls_of_other_stores_are_read_alike(tmp_path: Path, store: str) -> None:
    for path in (f"{store}/*.jsonl*", store, f"{store}/"):
        data, memory = land(find(tmp_path, path))
        assert data == {f"{store}/a.jsonl": b"{}\n" * 10, f"{store}/b%401.jsonl.gz": b"[]\n"}
        assert find(tmp_path, path, memory).slices == ()
    assert names(find(tmp_path, f"{store}/a.jsonl")) == ["a.jsonl"]
    with pytest.raises(SourceError, match="must name at least one file"):
        find(tmp_path, f"{store}/none*")
    with pytest.raises(SourceError, match="must be a readable path, glob, directory or URL"):
        find(tmp_path, f"{store}/none")
    with pytest.raises(SourceError, match="must be a readable path, glob, directory or URL"):
        find(tmp_path, "nothing://x/y")


def test_a_file_of_another_store_that_changes_fails_the_reading(tmp_path: Path, store: str) -> None:
    (piece,) = find(tmp_path, f"{store}/a.jsonl", block_bytes=4).slices
    blocks = read_blocks(piece)
    next(blocks)
    fsspec.filesystem("memory").pipe(f"{store}/a.jsonl", b"[]\n" * 10)
    with pytest.raises(SourceError, match="must not change while it is read"):
        list(blocks)


def test_no_password_of_a_url_is_shown_or_stored() -> None:
    url = "s3://key:secret@bucket/in/a.json?session=secret"
    assert public(url) == "s3://bucket/in/a.json"
    with pytest.raises(SourceError) as error:
        find(Path(), "nothing://key:secret@bucket/in?session=secret")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "form", "says"),
    [
        (b"PAR1....PAR1", "csv", "must be a csv file, as the pipeline says; got parquet"),
        (b"Obj\x01....", "json", "got avro"),
        (b"Obj\x01....", "parquet", "got avro"),
        (b'{"a": 1}\n', "parquet", "got text or other bytes"),
        (b"a,b\n1,2\n", "avro", "set source.batch.files.format"),
    ],
)
def test_a_file_of_another_format_than_the_pipeline_says_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, form: str, says: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceError, match=r"files\.format") as caught:
        discover(FileSource(path="a", format=form), tmp_path, {})
    assert says in str(caught.value)


def test_what_cannot_be_a_source_is_told_without_the_words_of_an_exception(tmp_path: Path) -> None:
    for path in ("/nope.csv", "/dev/null", "nix://place/a.csv"):
        with pytest.raises(SourceError, match="correct --input or source") as caught:
            discover(FileSource(path=path), tmp_path, {})
        assert "Error" not in str(caught.value)
        assert "Errno" not in str(caught.value)


def test_a_secret_that_breaks_a_url_is_in_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_SECRET", "wJalr/UtnF EMI^/K7")
    for secret in ("${PENSTOCK_TEST_SECRET}", "wJalr/UtnF EMI^/K7"):
        with pytest.raises(SourceError, match="correct --input or source") as caught:
            discover(FileSource(path=f"s3://AKIA:{secret}@bucket/x.json"), tmp_path, {})
        assert "UtnF" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_reference_in_a_path_takes_its_value_when_files_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    source = FileSource(path="${PENSTOCK_TEST_PLACE}/*.jsonl")
    with pytest.raises(UsageError, match="PENSTOCK_TEST_PLACE"):
        discover(source, tmp_path, {})
    monkeypatch.setenv("PENSTOCK_TEST_PLACE", str(tmp_path))
    assert [s.source for s in discover(source, tmp_path, {}).slices] == [
        (tmp_path / "a.jsonl").as_uri()
    ]
    monkeypatch.setenv("PENSTOCK_TEST_PLACE", "/secret-place")
    with pytest.raises(SourceError, match="PENSTOCK_TEST_PLACE") as caught:
        discover(source, tmp_path, {})
    assert "secret-place" not in str(caught.value)
