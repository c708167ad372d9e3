"""`penstock run` as a command: output, flags, exit codes, messages, dead letters, warehouse."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import (
    BROKEN,
    CONTRACT,
    FACT,
    HOURLY,
    PIPELINE,
    PROCESSED,
    REFUSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from transforms.keys import resolve
from transforms.sealing import open_sealed

Run = Callable[..., dict[str, Any]]


CONTENT = sales(0, 60, copies=3, broken=8)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder whose CONTENT has landed, and what the run said: only to be looked at."""
    folder = make_folder(tmp_path_factory.mktemp("landed"))
    (folder / "data" / "a.jsonl").write_bytes(CONTENT)
    with redirect_stdout(io.StringIO()) as said:
        assert main(["run", str(folder), "--json"]) == 0
    return folder, json.loads(said.getvalue().splitlines()[-1])


def test_the_last_line_of_json_has_the_fields_of_the_interface(
    landed: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = landed
    out, want = Out(folder / "out"), expected({"a": CONTENT})
    assert list(result) == [
        "run_id",
        "pipeline",
        "runner",
        "mode",
        "cloud",
        "seconds",
        "rows",
        "tables",
        "warehouse",
        "warnings",
        "destinies",
        "sent",
        "changes",
    ]
    place = {n: result[n] for n in ("pipeline", "runner", "mode", "cloud")}
    assert place == {"pipeline": "shop", "runner": "direct", "mode": "batch", "cloud": "local"}
    assert list(result["rows"]) == ["read", "kept", "refused", "duplicate", "filtered", "late"]
    assert result["rows"] == want["counts"]
    taken = {d: n for d, n in want["counts"].items() if d not in ("read", "kept") and n}
    found = Counter()
    for entry in result["destinies"]:
        assert list(entry) == ["destiny", "step", "rule", "rows"]
        found[entry["destiny"]] += entry["rows"]
    assert found == taken
    kept, groups = len(want["rows"]), len(want["hourly"])
    assert result["tables"][PROCESSED] == {"rows": kept, "added": kept}
    assert result["tables"][HOURLY] == {"rows": groups, "added": groups}
    operations = [f"operations.shop_{n}" for n in ("refused", "ledger", "runs", "sources")]
    assert result["warehouse"] == {
        PROCESSED: {"rows": kept, "added": kept},
        FACT: {"rows": kept, "added": kept},
        HOURLY: {"rows": groups, "added": groups},
        "operations.shop_removed": {"rows": 0, "added": 0},
    } | {name: result["tables"][name] for name in operations}
    refused = want["counts"]["refused"]
    assert result["tables"]["operations.shop_refused"] == {"rows": refused, "added": refused}
    assert result["warnings"] == []
    assert result["run_id"] in {r["run_id"] for r in out.rows("operations.shop_runs")}
    # The stored plan is the plan's published JSON.
    plan = json.loads(out.rows("operations.shop_runs")[0]["plan"])
    assert plan["name"] == "shop"


def test_flags_move_input_and_output_and_leave_sinks_out(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 10))
    other = tmp_path / "elsewhere.jsonl"
    other.write_bytes(sales(500, 30))
    place = tmp_path / "place"
    result = run(
        *("--input", str(other), "--out", str(place), "--sinks", "lake"),
        *("--set", "aggregates.sales_hourly.windowing.size=30m"),
    )
    assert result["warehouse"] == {}
    assert not (place / "warehouse.duckdb").exists()
    assert not (folder / "out").exists()
    keys = {r["sale_id"] for r in Out(place).rows(PROCESSED)}
    assert keys == set(expected({"a": sales(500, 30)})["rows"])
    minutes = {r["window_start"].minute for r in Out(place).rows(HOURLY)}
    assert minutes == {0, 30}


def test_a_refused_row_says_where_it_stands_and_keeps_its_record_sealed(
    landed: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, result = landed
    rows = Out(folder / "out").rows(REFUSED)
    assert len(rows) == result["rows"]["refused"] == 8
    keyring = resolve("file:.penstock-key", folder)
    opened = open_sealed(pa.array([r["record"] for r in rows], pa.binary()), keyring)
    for row, record in zip(rows, opened.to_pylist(), strict=True):
        assert record in BROKEN
        assert CONTENT[row["_position"] :].split(b"\n", 1)[0] == record
        assert record not in row["record"]
        assert "SECRET" not in row["reason"]
        assert "yesterday" not in row["reason"]
        assert row["contract_version"] == "1.0.0"
        assert row["run_id"] == result["run_id"]
    assert {r["rule"] for r in rows} >= {"required", "type"}

    def dlq(action: str, *flags: str) -> list[dict[str, Any]]:
        assert main(["dlq", action, str(folder), "--json", *flags]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    counts = dlq("list")
    assert sum(row["rows"] for row in counts) == 8
    for rule in {row["rule"] for row in counts}:
        shown = dlq("show", "--rule", rule, "--rows", "99", "--records")
        assert len(shown) == sum(row["rows"] for row in counts if row["rule"] == rule)
        for row in shown:
            assert row["rule"] == rule
            assert CONTENT[row["position"] :].split(b"\n", 1)[0] == row["record"].encode()
    assert dlq("show", "--rows", "1")[0]["record"].encode() not in BROKEN


def _pipeline(old: str, new: str) -> str:
    assert old in PIPELINE
    return PIPELINE.replace(old, new)


def _double_key(folder: Path) -> None:
    with (folder / "countries.csv").open("a") as file:
        file.write("de,Deutschland\n")


def _no_lookup(folder: Path) -> None:
    (folder / "countries.csv").unlink()


def _bad_tail(folder: Path) -> None:
    packed = gzip.compress(sales(0, 400))
    (folder / "data" / "b.jsonl.gz").write_bytes(packed[: len(packed) * 2 // 3])


def _csv_without_a_required_column(folder: Path) -> None:
    (folder / "data" / "a.jsonl").unlink()
    (folder / "data" / "a.csv").write_text("sale_id,country\ns1,de\n")
    text = _pipeline('path: "data/*.jsonl*", format: json', 'path: "data/*.csv", format: csv')
    (folder / "pipeline.yaml").write_text(text)


def _unknown_column(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text(_pipeline("max(pieces)", "max(piecez)"))


def _out_is_a_file(folder: Path) -> None:
    (folder / "out").write_text("")


@pytest.mark.parametrize(
    ("breaks", "code", "says"),
    [
        (_double_key, 1, "countries"),
        (_no_lookup, 1, "countries.csv"),
        (_bad_tail, 1, "b.jsonl.gz"),
        (_csv_without_a_required_column, 1, "sold_at"),
        (_unknown_column, 2, "piecez"),
        (_out_is_a_file, 2, "out"),
    ],
)
def test_what_cannot_run_fails_with_one_message_and_lands_nothing(
    folder: Path,
    out: Out,
    capsys: pytest.CaptureFixture[str],
    breaks: Callable[[Path], None],
    code: int,
    says: str,
) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 20))
    breaks(folder)
    ended = main(["run", str(folder), "--json"])
    captured = capsys.readouterr()
    assert says in captured.err, captured.err
    assert "Traceback" not in captured.err
    assert "while running" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert captured.out == ""
    assert ended == code
    if (folder / "out").is_dir():
        assert out.done() == []
        assert not (folder / "out" / "warehouse.duckdb").exists()
        assert not list((folder / "out" / "lake").glob(".spill/*"))


def test_a_broken_second_file_leaves_what_the_first_landed(
    folder: Path, out: Out, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 40))
    run()
    _bad_tail(folder)
    assert main(["run", str(folder)]) == 1
    capsys.readouterr()
    assert_tables(out, expected({"a": sales(0, 40)}))
    (folder / "data" / "b.jsonl.gz").write_bytes(gzip.compress(sales(0, 400)))
    run()
    assert_tables(out, expected({"a": sales(0, 40), "b": sales(0, 400)}))


def test_a_verb_or_flag_that_is_wrong_ends_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 5))
    for flags in (["--sinks", "lak"], ["--set", "steps.9.x=1"], ["--runner", "nix"], ["--nix"]):
        assert main(["run", str(folder), *flags]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert main(["run", str(folder / "missing")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (folder / "out").exists()


_HOLDER = """
import duckdb, sys
c = duckdb.connect(sys.argv[1])
c.execute("CREATE TABLE IF NOT EXISTS other (x INT)")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_warehouse_held_by_another_process_is_caught_up_later(
    folder: Path, out: Out, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.sinks.duckdb_file.PATIENCE_S", 0.5)
    files = {"a.jsonl": sales(0, 40), "b.jsonl": sales(40, 40)}
    (folder / "data" / "a.jsonl").write_bytes(files["a.jsonl"])
    (folder / "out").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder / "out" / "warehouse.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = run()
    finally:
        holder.communicate("\n")
    assert result["warehouse"] == {}
    busy = [w for w in result["warnings"] if "warehouse.duckdb" in w]
    assert len(busy) == 1
    assert "penstock load" in busy[0]
    assert len(out.done()) == 1
    (folder / "data" / "b.jsonl").write_bytes(files["b.jsonl"])
    result = run()
    assert_tables(out, expected(files))
    assert result["warehouse"][FACT]["added"] == len(expected(files)["rows"])


def test_fact_keeps_the_latest_of_rows_that_share_a_key_beyond_the_horizon(
    folder: Path, out: Out, run: Run
) -> None:
    def sale(key: str, hour: int, country: str) -> str:
        row = {"sale_id": key, "sold_at": f"2026-03-01T{hour:02}:00:00Z", "country": country}
        return json.dumps(row | {"properties": {"email": "a@b.c", "amount": 10}}) + "\n"

    flags = ("--set", "steps.0.deduplicate.horizon=1h")
    data = folder / "data"
    (data / "a.jsonl").write_text(sale("s1", 9, "de") + sale("s2", 9, "de") + sale("s1", 4, "it"))
    run(*flags)
    assert out.sql(f"SELECT sale_id, country FROM {FACT} ORDER BY 1") == [
        ("s1", "de"),
        ("s2", "de"),
    ]
    # s1 comes later still, s2 comes from earlier, s3 twice in one run.
    (data / "b.jsonl").write_text(
        sale("s1", 12, "fr") + sale("s2", 2, "fr") + sale("s3", 1, "it") + sale("s3", 5, "fr")
    )
    result = run(*flags)
    assert result["rows"]["kept"] == 4
    assert out.sql(f"SELECT sale_id, country FROM {FACT} ORDER BY 1") == [
        ("s1", "fr"),
        ("s2", "de"),
        ("s3", "fr"),
    ]
    assert out.sql(f"SELECT count(*) FROM {PROCESSED}") == [(7,)]
    assert result["warehouse"][FACT] == {"rows": 3, "added": 1}


def test_fact_breaks_ties_of_event_time_alike_whatever_the_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a dedupe step, two rows of one key and time: the content decides."""
    contents = [
        json.dumps(
            {
                "sale_id": "s1",
                "sold_at": "2026-03-01T09:00:00Z",
                "country": country,
                "properties": {"email": "a@b.c", "amount": 10},
            }
        )
        for country in ("de", "fr", "it")
    ]
    text = _pipeline("  - deduplicate: {by: [sale_id], horizon: 1d}\n", "")
    winners = set()
    for number, order in enumerate((contents, contents[::-1])):
        folder = make_folder(tmp_path / str(number), pipeline=text, contract=CONTRACT)
        (folder / ".penstock-key").write_text("5" * 64 + "\n")
        (folder / ".penstock-key").chmod(0o600)
        (folder / "data" / "a.jsonl").write_text("\n".join(order) + "\n")
        assert main(["run", str(folder)]) == 0
        capsys.readouterr()
        (row,) = Out(folder / "out").sql(f"SELECT country FROM {FACT}")
        winners.add(row)
    assert len(winners) == 1
