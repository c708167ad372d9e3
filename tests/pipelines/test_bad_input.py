"""Bad input through the whole command: refused by row, or one message and nothing written."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.expressions import EqualTo

from beam_pipelines import batch, cli, commit_once
from tests.faults import oracle
from transforms.sources import compression

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: t
name: t
version: 1.0.0
status: active
schema:
  - name: t
    logicalType: object
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: n, logicalType: integer, logicalTypeOptions: {minimum: 0}}
      - {name: x, logicalType: number}
"""
OPEN = """\
      - name: p
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
"""
PIPELINE = """
name: t
contract: contract.odcs.yaml
source: {batch: {files: {path: "data/*", format: FORMAT}}}
sinks: {lake: {LAKE}, warehouse: {}}
"""


class Place:
    """A pipeline folder, run in this process through the command line."""

    def __init__(self, root: Path, capfd: Any) -> None:
        self.folder, self._capfd = root / "t", capfd
        (self.folder / "data").mkdir(parents=True)

    def write(self, name: str, data: bytes, form: str = "json", lake: str = "") -> None:
        open_object = OPEN if form == "json" else ""
        (self.folder / "contract.odcs.yaml").write_text(CONTRACT + open_object)
        spec = PIPELINE.replace("FORMAT", form).replace("{LAKE}", f"{{{lake}}}")
        (self.folder / "pipeline.yaml").write_text(spec)
        (self.folder / "data" / name).write_bytes(data)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Return exit code, the result and what was said on stderr."""
        code = cli.main(["run", str(self.folder), "--json", *arguments])
        out = self._capfd.readouterr()
        return code, json.loads(out.out.splitlines()[-1]) if code == 0 else {}, out.err

    def rows(self, name: str) -> dict[int, dict[str, Any]]:
        """Rows of a lake table by position, each of which must be there once."""
        catalog = oracle.catalog((self.folder / "out/lake").resolve())
        rows = catalog.load_table(name).scan().to_arrow().to_pylist()
        assert len({(r["_source"], r["_position"]) for r in rows}) == len(rows)
        return {r["_position"]: r for r in rows}

    @property
    def kept(self) -> dict[int, dict[str, Any]]:
        return self.rows("processed_data.t")

    @property
    def refused(self) -> dict[int, dict[str, Any]]:
        return self.rows("operations.t_refused")

    def fails(self, must: str) -> None:
        """Run; it must end with one message, and nothing may have been written."""
        code, _, err = self.run()
        assert code == 1, err
        assert must in err
        assert "Traceback" not in err
        assert len([line for line in err.splitlines() if line.strip()]) == 1, err
        catalog = oracle.catalog((self.folder / "out/lake").resolve())
        for name in ("processed_data.t", "operations.t_refused", "operations.t_commits"):
            assert catalog.load_table(name).current_snapshot() is None
        assert not (self.folder / "out/warehouse.duckdb").exists()
        assert not (self.folder / "out/lake/.spill").exists()


@pytest.fixture
def place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, capfd)


KEPT = None
JSON_LINES: list[tuple[bytes, str | None]] = [
    (b'{"id":"after a byte order mark"}', KEPT),
    (b'{"id":"windows line end"}\r', KEPT),
    (b'{"id":"extra","more":1,"p":{"more":[{}]}}', KEPT),
    (b'{"id":"cut off","n":', "json"),
    (b"no json at all", "json"),
    (b'{"id":"\xff\xfe"}', "json"),
    (b'{"id":"\xed\xa0\x80"}', "json"),
    (b'{"id":"a\x00b"}', "json"),
    (b'{"id":"\\ud800"}', "json"),
    (b'{"id":"x","p":{"k":"\\udc00"}}', "json"),
    (b'{"id":"an escaped\\u0000NUL"}', KEPT),
    (b"[" * 100_000 + b"]" * 100_000, "json"),
    (b'{"id":"deep","p":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "json"),
    (b'{"id":"deep and open","p":' + b'{"a":' * 100_000, "json"),
    (b'{"id":"twice","id":"twice"}', "duplicate_key"),
    (b'{"id":"twice","p":{"a":1,"\\u0061":2}}', "duplicate_key"),
    (b'{"id":"nan","x":NaN}', "json"),
    (b'{"id":"inf","x":-Infinity}', "json"),
    (b'{"id":"big","x":1e400}', "json"),
    (b'{"id":"long","x":1' + b"0" * 400 + b"}", "json"),
    (b'{"id":"big","p":{"x":1e400}}', "json"),
    (b'{"id":"wrong","n":"1"}', "type"),
    (b'{"id":"wrong","n":1.5}', "type"),
    (b'{"id":"wrong","n":9223372036854775808}', "type"),
    (b'{"id":7}', "type"),
    (b'{"id":"wrong","p":[]}', "type"),
    (b'{"n":1}', "required"),
    (b'{"id":null}', "required"),
    (b'{"id":"rule","n":-1}', "minimum"),
    (b"[1]", "json"),
    (b"null", "json"),
    (b'{"id":"one"}{"id":"two"}', "json"),
    (b'{"id":"no line end"}', KEPT),
]


def test_bad_json_lines_are_refused_with_reason_position_and_record(place: Place) -> None:
    text, at = b"\xef\xbb\xbf", {}
    for line, rule in JSON_LINES:
        text += b"" if not at else b"\n  \n" if len(at) % 3 == 1 else b"\n"
        at[len(text)] = (line, rule)
        text += line
    place.write("x.jsonl", text)
    code, result, err = place.run()
    assert code == 0, err
    bad = {p: (line, rule) for p, (line, rule) in at.items() if rule}
    assert result["rows"]["read"] == len(at)
    assert result["rows"]["refused"] == len(bad)
    assert set(place.kept) == set(at) - set(bad)
    refused = place.refused
    assert {p: (r["record"], r["rule"]) for p, r in refused.items()} == bad
    assert all(r["reason"] and r["_source"].endswith("x.jsonl") for r in refused.values())


def test_bad_csv_records_are_refused_with_reason_position_and_record(place: Place) -> None:
    good = [b"a,1,1.5", b'"quoted, and\nbroken",2,', b"crlf,3,1\r", "é,,".encode(), b"last,1,1"]
    bad = [
        (b"short,1", "csv"), (b"long,1,2,3", "csv"), (b"\xff,1,1", "csv"), (b"nul\x00,1,1", "csv"),
        (b'"x"y,1,1', "csv"), (b"w,one,1", "type"), (b"w,1.5,1", "type"), (b"w,1,nan", "type"),
        (b"w,1,1e400", "type"), (b",1,1", "required"), (b"w,-1,1", "minimum"),
    ]  # fmt: skip
    text, at = b"\xef\xbb\xbfid,n,x\r\n", {}
    for record, rule in [*((g, KEPT) for g in good[:-1]), *bad, (good[-1], KEPT)]:
        at[len(text)] = (record, rule)
        text += record + b"\n"
    place.write("x.csv", text[:-1], "csv")
    code, result, err = place.run()
    assert code == 0, err
    assert result["rows"]["read"] == len(at)
    refused = place.refused
    assert set(place.kept) | set(refused) == set(at)
    assert {p: r["rule"] for p, r in refused.items()} == {p: r for p, (_, r) in at.items() if r}
    assert all(at[p][0] in r["record"] and r["reason"] for p, r in refused.items())


def test_a_line_of_50_mb_is_kept_whole_or_refused_whole(place: Place) -> None:
    filler = b"y" * 50_000_000
    good, bad = b'{"id":"large","p":{"t":"' + filler + b'"}}', b'{"id":"bad","p":{"t":"' + filler
    place.write("x.jsonl", b'{"id":"a"}\n' + good + b"\n" + bad + b'\n{"id":"z"}\n')
    code, result, err = place.run("--sinks", "lake")
    assert code == 0, err
    assert result["rows"] == result["rows"] | {"read": 4, "kept": 3, "refused": 1}
    assert json.loads(place.kept[11]["p"])["t"].encode() == filler
    [dead] = place.refused.values()
    assert dead["_position"] == 12 + len(good)
    assert dead["reason"]
    assert dead["record"] == bad or dead["format"] == "pointer"


def test_a_record_beyond_the_limit_is_refused_by_pointer_and_hash(place: Place) -> None:
    place.write("x.jsonl", b'{"id":"a"}\n{"id":"' + b"y" * 500 + b'"}\n{"id":"z"}\n')
    code, result, err = place.run("--set", "source.batch.files.max_record_bytes=400")
    assert code == 0, err
    assert result["rows"] == result["rows"] | {"read": 3, "kept": 2, "refused": 1}
    [dead] = place.refused.values()
    assert (dead["_position"], dead["format"]) == (11, "pointer")
    assert "max_record_bytes" in dead["reason"]
    assert json.loads(dead["record"])["end"] == 11 + 510


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_a_file_without_records_is_said_to_hold_none(place: Place, data: bytes) -> None:
    place.write("x.jsonl", data)
    code, result, err = place.run("--sinks", "lake")
    assert code == 0, err
    assert result["rows"]["read"] == 0
    assert "the files that were read hold no records" in result["warnings"]


LINES = b"".join(b'{"id":"%d","n":%d}\n' % (i, i) for i in range(5000))
PACKED = gzip.compress(LINES)
DAMAGED = {
    "a gzip that is cut off": PACKED[: len(PACKED) // 2],
    "a gzip without its checksum": PACKED[:-6],
    "a gzip with something behind it": PACKED + b"tail",
    "a gzip with a flipped byte": PACKED[:3000] + bytes([PACKED[3000] ^ 255]) + PACKED[3001:],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_gzip_fails_the_run_before_anything_is_written(place: Place, name: str) -> None:
    place.write("x.jsonl.gz", DAMAGED[name])
    place.fails("compressed files must be whole")


def test_a_bomb_fails_the_run_before_anything_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "_FREE_BYTES", 1 << 20)
    place.write("x.jsonl.gz", gzip.compress(b'{"id":"a"}\n' + b" " * (64 << 20)))
    place.fails("may expand to")


def test_gzips_one_after_the_other_are_one_file(place: Place) -> None:
    place.write(
        "x.jsonl.gz",
        gzip.compress(LINES[: len(LINES) // 2]) + gzip.compress(LINES[len(LINES) // 2 :]),
    )
    code, result, err = place.run("--sinks", "lake")
    assert code == 0, err
    assert result["rows"]["kept"] == 5000


def test_utf_16_fails_the_run_before_anything_is_written(place: Place) -> None:
    place.write("x.jsonl", '{"id":"a"}\n'.encode("utf-16"))
    place.fails("text must be UTF-8")


def test_a_glob_without_files_fails_the_run(place: Place) -> None:
    place.write("x.jsonl", LINES)
    (place.folder / "data/x.jsonl").unlink()
    place.fails("data/*")


def _shrink(file: Path) -> None:
    os.truncate(file, 1000)


def _grow(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b'{"id":"new"}\n')


def _rewrite(file: Path) -> None:
    file.write_bytes(b" " * file.stat().st_size)


@pytest.mark.parametrize("change", [_shrink, _grow, _rewrite, Path.unlink])
def test_a_file_that_changes_while_it_is_read_fails_the_run(
    place: Place, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("x.jsonl", LINES)
    # After the files were found, before they are read.
    monkeypatch.setattr(batch, "_rows_near", lambda *_: change(place.folder / "data/x.jsonl"))
    place.fails("a file must not change while it is read")


def test_a_file_that_changes_before_the_commit_fails_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("x.jsonl", LINES)
    balance = commit_once._destinies

    def late(*arguments: Any) -> Any:
        _grow(place.folder / "data/x.jsonl")
        return balance(*arguments)

    monkeypatch.setattr(commit_once, "_destinies", late)
    place.fails("a file must not change while it is read")


def test_an_error_that_nobody_thought_of_is_told_by_class_and_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise KeyError(LINES)

    place.write("x.jsonl", LINES)
    monkeypatch.setattr(commit_once, "_destinies", breaks)
    place.fails("got KeyError at pipelines/test_bad_input.py")


def test_hostile_partition_values_stay_in_the_table_s_folder(place: Place) -> None:
    values = [
        "../../x",
        "..",
        ".",
        "/etc/x",
        "a/../../../b",
        "%2e%2e%2f",
        "",
        "é" * 300,
        "C:\\x",
        "n\nl",
    ]
    lines = [json.dumps({"id": v, "n": i}) for i, v in enumerate(values)]
    place.write("x.jsonl", "\n".join(lines).encode(), lake="partition_by: [id]")
    outside = {p for p in place.folder.parent.rglob("*") if "out" not in p.parts}
    code, result, err = place.run()
    assert code == 0, err
    assert result["rows"]["kept"] == len(values)
    now = {p for p in place.folder.parent.rglob("*") if "out" not in p.parts}
    assert {p.name for p in now - outside} <= {".penstock", ".gitignore", "keys"}
    data = place.folder / "out/lake/processed_data/t/data"
    files = [p for p in (place.folder / "out").rglob("*.parquet") if "processed_data" in p.parts]
    assert len(files) == len(values)
    assert all(p.resolve().is_relative_to(data.resolve()) for p in files)
    assert sorted(r["id"] for r in place.kept.values()) == sorted(values)
    catalog = oracle.catalog((place.folder / "out/lake").resolve())
    for value in values:
        scan = catalog.load_table("processed_data.t").scan(EqualTo("id", value))
        assert scan.to_arrow()["id"].to_pylist() == [value]
