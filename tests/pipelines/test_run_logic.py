"""`penstock run` when the pipeline or the contract changed since rows landed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import (
    FACT,
    HOURLY,
    PROCESSED,
    Out,
    assert_tables,
    expected,
    hourly,
    make_folder,
    sales,
)

Run = Callable[..., dict[str, Any]]
CONTENT = sales(0, 100, copies=6, broken=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_folder(tmp_path)
    (folder / "data" / "a.jsonl").write_bytes(CONTENT)
    return folder


@pytest.fixture
def out(folder: Path) -> Out:
    return Out(folder / "out")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def once(*flags: str) -> dict[str, Any]:
        code = main(["run", str(folder), "--json", *flags])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return once


def _change(folder: Path, old: str, new: str, name: str = "pipeline.yaml") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_a_changed_step_is_said_and_rebuild_gives_the_tables_of_a_fresh_run(
    folder: Path, out: Out, run: Run
) -> None:
    run()
    _change(folder, ">= 50 THEN 'big'", ">= 20 THEN 'large'")
    (folder / "data" / "b.jsonl").write_bytes(sales(100, 40))
    mixed = run()
    old = [w for w in mixed["warnings"] if "--rebuild" in w]
    assert len(old) == 1
    assert PROCESSED in old[0]
    assert "steps" in old[0]
    before = out.done()
    rebuilt = run("--rebuild")
    assert not [w for w in rebuilt["warnings"] if "--rebuild" in w]
    after = out.done()
    assert len(after) == len(before) + 1
    assert after[-1]["op"] == "rebuild"
    want = expected({"a": CONTENT, "b": sales(100, 40)})
    for row in want["rows"].values():
        row["size"] = "large" if row["amount"] >= 20 else "small"
    want["hourly"] = hourly(want["rows"].values())
    assert_tables(out, want)
    assert rebuilt["rows"] == want["counts"]
    again = run()
    assert not [w for w in again["warnings"] if "--rebuild" in w]
    assert len(out.done()) == len(after)
    # And the very tables of a fresh run, refused rows and ledger included.
    fresh = folder.parent / "fresh"
    assert main(["run", str(folder), "--out", str(fresh)]) == 0
    for table in (PROCESSED, HOURLY, "operations.shop_refused", "operations.shop_ledger"):
        ours, theirs = (_comparable(o.rows(table)) for o in (out, Out(fresh)))
        assert ours == theirs, table


def _comparable(rows: list[dict[str, Any]]) -> list[str]:
    """Rows without what names a run or is random (sealed records)."""
    own = {"run_id", "commit_id", "seq", "at", "_epoch", "record"}
    return sorted(repr({n: v for n, v in row.items() if n not in own}) for row in rows)


def test_a_changed_aggregate_is_computed_anew_over_all_windows(
    folder: Path, out: Out, run: Run
) -> None:
    run()
    _change(folder, "group_by: [land, size]", "group_by: [size]")
    _change(folder, 'sales: "count(*)"', 'sales: "count(*)", lands: "count(land)"')
    result = run()
    assert not [w for w in result["warnings"] if "--rebuild" in w]
    assert result["rows"]["read"] == 0
    rows = expected({"a": CONTENT})["rows"].values()
    want: dict[Any, list[Any]] = {}
    for row in rows:
        start = row["sold_at"].replace(minute=0, second=0)
        found = want.setdefault((start, row["size"]), [0, 0])
        found[0] += 1
        found[1] += row["land"] is not None
    for table in (out.rows(HOURLY), out.warehouse(HOURLY)):
        assert {(r["window_start"], r["size"]): [r["sales"], r["lands"]] for r in table} == want
        assert len(table) == len(want)
    assert len(out.done()) == 2
    run()
    assert len(out.done()) == 2


def test_an_aggregate_that_is_new_is_computed_over_the_lake(
    folder: Path, out: Out, run: Run
) -> None:
    run()
    text = (folder / "pipeline.yaml").read_text()
    more = (
        "  - name: sales_ever\n    windowing: {type: fixed, size: 1d}\n    group_by: [country]\n"
        '    measures: {sales: "count(*)"}\nsinks:'
    )
    (folder / "pipeline.yaml").write_text(text.replace("sinks:", more))
    result = run()
    assert result["rows"]["read"] == 0
    rows = expected({"a": CONTENT})["rows"].values()
    want = {c: sum(r["country"] == c for r in rows) for c in ("de", "fr", "it", "xx")}
    found = {r["country"]: r["sales"] for r in out.warehouse("analytics.sales_ever")}
    assert found == want


def test_a_column_that_the_contract_adds_is_null_in_old_rows(
    folder: Path, out: Out, run: Run
) -> None:
    run()
    more = "      - {name: pieces, logicalType: integer}\n"
    added = more + "      - {name: colour, logicalType: string}\n"
    _change(folder, more, added, "contract.odcs.yaml")
    new = sales(100, 30).replace(b'"pieces"', b'"colour": "red", "pieces"')
    (folder / "data" / "b.jsonl").write_bytes(new)
    result = run()
    assert any("contract" in w and "--rebuild" in w for w in result["warnings"])
    for rows in (out.rows(PROCESSED), out.warehouse(PROCESSED), out.warehouse(FACT)):
        colours = {(r["sale_id"] >= "s00100", r["colour"]) for r in rows}
        assert colours == {(False, None), (True, "red")}
    assert_tables(out, expected({"a": CONTENT, "b": sales(100, 30)}))


def test_a_required_column_that_the_contract_drops_is_null_in_new_rows(
    folder: Path, out: Out, run: Run
) -> None:
    line = "      - {name: pieces, logicalType: integer, required: true}\n"
    _change(folder, "      - {name: pieces, logicalType: integer}\n", line, "contract.odcs.yaml")
    _change(folder, ', most: "max(pieces)"', "")
    run()
    _change(folder, line, "", "contract.odcs.yaml")
    (folder / "data" / "b.jsonl").write_bytes(sales(100, 30))
    result = run()
    kept = result["rows"]["kept"]
    assert kept > 0
    assert result["warehouse"][FACT]["added"] == kept


def test_a_changed_type_is_refused_before_anything_is_written(
    folder: Path, out: Out, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    tables = {n: out.rows(n) for n in (PROCESSED, HOURLY)}
    columns = out.lake(PROCESSED).schema.names
    (folder / "data" / "b.jsonl").write_bytes(sales(100, 30))
    _change(
        folder,
        "      - {name: country, logicalType: string, required: true}\n"
        "      - {name: pieces, logicalType: integer}\n",
        "      - {name: country, logicalType: string, required: true}\n"
        "      - {name: colour, logicalType: string}\n"
        "      - {name: pieces, logicalType: string}\n",
        "contract.odcs.yaml",
    )
    assert main(["run", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "pieces" in said
    assert "Traceback" not in said
    assert len(out.done()) == 1
    assert {n: out.rows(n) for n in (PROCESSED, HOURLY)} == tables
    assert out.lake(PROCESSED).schema.names == columns


def _refused(folder: Path, capsys: pytest.CaptureFixture[str], code: int, *flags: str) -> str:
    """Run; it must end with one message."""
    assert main(["run", str(folder), "--json", *flags]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    return captured.err


def test_a_rebuild_refuses_to_lose_a_file_that_is_gone_unless_it_may(
    folder: Path, out: Out, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, other = folder / "data" / "b.jsonl", sales(200, 20)
    gone.write_bytes(sales(100, 30))
    assert run("--sinks", "lake")["warnings"] == []
    gone.unlink()
    (folder / "data" / "a.jsonl").write_bytes(CONTENT + b"no json\n")  # it would read this one
    said = _refused(folder, capsys, 1, "--rebuild")
    assert "b.jsonl" in said
    assert "a.jsonl" not in said
    assert "--forget-missing" in said
    assert "--forget-missing must come with" in _refused(folder, capsys, 2, "--forget-missing")
    assert len(out.done()) == 1
    assert_tables(out, expected({"a": CONTENT, "b": sales(100, 30)}), warehouse=False)
    result = run("--rebuild", "--forget-missing")
    assert [w for w in result["warnings"] if "b.jsonl" in w]
    assert len(out.rows(PROCESSED)) == result["rows"]["kept"]
    # What bears that name later is another source, whatever it holds.
    gone.write_bytes(other)
    run()
    places = {r["_source"].rpartition("/")[2] for r in out.rows(PROCESSED)}
    assert places == {"a.jsonl", "b.jsonl@2"}


def test_a_run_refuses_another_key_than_that_of_the_landed_rows_unless_it_may(
    folder: Path, out: Out, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    key = folder / ".penstock-key"
    run("--sinks", "lake")
    (row,) = out.rows("operations.shop_runs")
    first = key.read_text()
    assert first.strip() not in repr(row)
    key.unlink()
    (folder / "data" / "b.jsonl").write_bytes(sales(100, 30))
    assert row["keys"] in _refused(folder, capsys, 2)
    assert not key.exists()
    key.write_text("5" * 64)
    key.chmod(0o600)
    assert row["keys"] in _refused(folder, capsys, 2, "--rebuild")
    assert len(out.done()) == 1
    # A newer key after the old one is a rotation.
    key.write_text(first + "5" * 64)
    assert run("--sinks", "lake")["warnings"] == [f"unchanged, not read again: {_uri(folder, 'a')}"]
    key.write_text("5" * 64)
    assert any("lost" in w for w in run("--sinks", "lake", "--new-key")["warnings"])
    assert run("--sinks", "lake", "--rebuild", "--new-key")["warnings"] == []
    assert " " not in max(out.rows("operations.shop_runs"), key=lambda r: r["seq"])["keys"]


def _uri(folder: Path, name: str) -> str:
    return (folder / "data" / f"{name}.jsonl").resolve().as_uri()
