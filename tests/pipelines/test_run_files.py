"""`penstock run` over files that are added, grow, stay, move and are rewritten."""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import commit_once
from beam_pipelines.cli import main
from tests.faults.world import at
from tests.pipelines.shop import (
    FACT,
    HOURLY,
    LEDGER,
    PROCESSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from transforms.commit.committer import Committer

Run = Callable[..., dict[str, Any]]


def _added(result: dict[str, Any]) -> dict[str, int]:
    return {n: t["added"] for n, t in (result["tables"] | result["warehouse"]).items()}


def test_files_that_share_hours_give_the_tables_of_one_run_over_both(
    folder: Path, out: Out, run: Run
) -> None:
    first = sales(0, 150, copies=10, broken=4)
    # Sales 100 to 149 come again, word for word, among those of the second file.
    again = b"".join(x for x in first.splitlines(True) if b'"s001' in x and x[13:19] >= b"s00100")
    files = {"a.jsonl": first, "b.jsonl": sales(150, 150, copies=5, broken=2) + again}
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content)
        result = run()
    want = expected(files)
    assert_tables(out, want)
    second = expected({"a.jsonl": first})
    new = len(want["rows"]) - len(second["rows"])
    assert result["tables"][PROCESSED] == {"rows": len(want["rows"]), "added": new}
    assert result["warehouse"][FACT] == {"rows": len(want["rows"]), "added": new}
    assert (
        result["rows"]["duplicate"] == want["counts"]["duplicate"] - second["counts"]["duplicate"]
    )


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_grew_gives_the_tables_of_the_whole_file(
    folder: Path, out: Out, run: Run, *, packed: bool
) -> None:
    first, more = sales(0, 120, copies=6, broken=3), sales(120, 60, copies=3, broken=2)
    file = folder / "data" / ("a.jsonl.gz" if packed else "a.jsonl")
    pack = gzip.compress if packed else bytes
    file.write_bytes(pack(first))
    run()
    with file.open("ab") as handle:
        handle.write(pack(more))
    result = run()
    want, before = expected({"a": first + more}), expected({"a": first})
    assert_tables(out, want)
    assert result["rows"]["read"] == len(more.splitlines())
    assert result["tables"][PROCESSED]["added"] == len(want["rows"]) - len(before["rows"])
    # Positions go on in decompressed bytes: each row stands where its record is in the text.
    text = first + more
    for row in out.rows(PROCESSED):
        assert json.loads(text[row["_position"] :].split(b"\n", 1)[0])["sale_id"] == row["sale_id"]


def test_the_same_run_again_changes_nothing_and_says_so(folder: Path, out: Out, run: Run) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 80, copies=5, broken=3))
    first = run()
    commits, rows = out.done(), out.rows(HOURLY)
    again = run()
    assert [c["seq"] for c in out.done()] == [c["seq"] for c in commits]
    assert set(_added(again).values()) == {0}
    assert again["rows"] == dict.fromkeys(again["rows"], 0)
    assert {n: t["rows"] for n, t in again["tables"].items()} == {
        n: t["rows"] for n, t in first["tables"].items()
    }
    assert any("unchanged" in w and "a.jsonl" in w for w in again["warnings"])
    assert any("nothing new" in w for w in again["warnings"])
    assert out.rows(HOURLY) == rows
    # So does a file that was touched, its bytes the same.
    os.utime(folder / "data" / "a.jsonl", (1, 1))
    touched = run()
    assert touched["rows"]["read"] == 0
    assert set(_added(touched).values()) == {0}
    assert len(out.done()) == 1


def test_a_renamed_copy_adds_duplicates_only(folder: Path, out: Out, run: Run) -> None:
    content = sales(0, 80, copies=5)
    (folder / "data" / "a.jsonl").write_bytes(content)
    run()
    want, groups = expected({"a": content}), out.rows(HOURLY)
    (folder / "data" / "b.jsonl").write_bytes(content)
    result = run()
    read = len(content.splitlines())
    assert result["rows"]["read"] == read
    assert result["rows"]["kept"] == 0
    assert result["rows"]["filtered"] == want["counts"]["filtered"]
    assert result["rows"]["duplicate"] + result["rows"]["filtered"] == read
    assert_tables(out, want)
    assert sorted(out.rows(HOURLY), key=str) == sorted(groups, key=str)


def test_a_rewritten_file_stops_the_run_until_it_is_taken_as_a_new_source(
    folder: Path, out: Out, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first, other = folder / "data" / "a.jsonl", sales(0, 60), sales(60, 70)
    file.write_bytes(first)
    run()
    file.write_bytes(other)
    assert main(["run", str(folder), "--json"]) == 1
    captured = capsys.readouterr()
    assert "a.jsonl" in captured.err
    assert "rewritten" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert len(out.done()) == 1
    run("--set", "source.batch.files.rewritten=append")
    assert_tables(out, expected({"a": first, "b": other}))
    sources = {r["_source"].rpartition("/")[2] for r in out.rows(PROCESSED)}
    assert sources == {"a.jsonl", "a.jsonl@2"}


def test_runs_beside_each_other_over_copies_give_the_tables_of_one(
    folder: Path, out: Out, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a": sales(0, 80, broken=2), "b": sales(40, 80, copies=5, broken=2)}
    files["b"] += b"".join(files["a"].splitlines(keepends=True)[:50])
    for name, content in files.items():
        (folder / "data" / f"{name}.jsonl").write_bytes(content)
    inner = []

    def other() -> None:
        monkeypatch.undo()
        inner.append(run("--input", str(folder / "data" / "b.jsonl")))

    # The other run begins and lands when this one has read its rows and is about to commit.
    hooked = functools.partial(Committer, point=at("before intent", other))
    monkeypatch.setattr(commit_once, "Committer", hooked)
    outer = run("--input", str(folder / "data" / "a.jsonl"))
    want = expected({"a": files["b"], "b": files["a"]})  # b landed first
    assert_tables(out, want)
    for name, value in want["counts"].items():
        assert outer["rows"][name] + inner[0]["rows"][name] == value, name
    ledger = out.rows(LEDGER)
    for destiny in ("kept", "duplicate"):
        assert sum(r["rows"] for r in ledger if r["destiny"] == destiny) == want["counts"][destiny]


def test_an_empty_file_is_a_run_of_no_rows(folder: Path, out: Out, run: Run) -> None:
    (folder / "data" / "a.jsonl").write_bytes(b"")
    result = run()
    assert set(result["rows"].values()) == {0}
    assert {n: _added(result).get(n, 0) for n in (PROCESSED, FACT, HOURLY)} == {
        PROCESSED: 0,
        FACT: 0,
        HOURLY: 0,
    }
    (folder / "data" / "b.jsonl").write_bytes(sales(0, 20))
    run()
    assert_tables(out, expected({"b": sales(0, 20)}))


def test_destinies_add_up_by_source_and_range(folder: Path, out: Out, run: Run) -> None:
    files = {"a.jsonl": sales(0, 90, copies=9, broken=5), "b.jsonl": sales(50, 60, seed=1)}
    grown = sales(200, 30, copies=2, broken=1)
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content)
    result = run()
    destinies = ("kept", "refused", "duplicate", "filtered", "late")
    assert result["rows"]["read"] == sum(result["rows"][d] for d in destinies)
    assert result["rows"]["read"] == sum(len(c.splitlines()) for c in files.values())
    with (folder / "data" / "a.jsonl").open("ab") as handle:
        handle.write(grown)
    files["a.jsonl"] += grown
    run()
    ledger = out.rows(LEDGER)
    for name, content in files.items():
        own = [r for r in ledger if r["_source"].endswith(name)]
        entries = {r["commit_id"]: r["ranges"] for r in own}
        ranges = sorted((x["start"], x["end"]) for e in entries.values() for x in e)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == len(content)
        assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:], strict=False))
        for commit, parts in entries.items():
            records = sum(content[x["start"] : x["end"]].count(b"\n") for x in parts)
            assert sum(r["rows"] for r in own if r["commit_id"] == commit) == records
    kept = sum(r["rows"] for r in ledger if r["destiny"] == "kept")
    assert kept == out.lake(PROCESSED).num_rows


def test_a_copy_of_a_filtered_row_is_no_duplicate_in_one_run_or_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copies that differ: the first is filtered, so that no kept row has the key of the second."""
    row = {"sale_id": "s1", "sold_at": "2026-03-01T00:10:00Z", "country": "de"}
    texts = [
        json.dumps(row | {"properties": {"email": "a@b.c", "amount": amount}}) + "\n"
        for amount in (1, 20)
    ]
    kept = []
    for way in ("together", "apart"):
        folder = make_folder(tmp_path / way)
        for name, text in zip("ab", texts, strict=True):
            (folder / "data" / f"{name}.jsonl").write_text(text)
            if way == "apart" or name == "b":
                assert main(["run", str(folder), "--json", "--sinks", "lake"]) == 0
                capsys.readouterr()
        kept.append([r["_source"][-7:] for r in Out(folder / "out").rows(PROCESSED)])
    assert kept == [["b.jsonl"], ["b.jsonl"]]
