"""`penstock preview` and `plan --diff`: what is seen before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import CONTRACT, PIPELINE, expected, sales

CONTENT = sales(0, 20, broken=4, copies=4)

Say = Callable[..., str]


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    (folder / "data" / "a.jsonl").write_bytes(CONTENT)

    def said(verb: str, *flags: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main([verb, str(folder), *flags]) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    return said


def previewed(say: Say, *flags: str) -> list[dict[str, Any]]:
    text = say("preview", "--json", *flags)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_preview_gives_every_row_the_destiny_that_a_run_gives_it(say: Say) -> None:
    rows = previewed(say, "--rows", "999")
    counts = expected({"a": CONTENT})["counts"]
    assert len(rows) == counts["read"]
    for destiny in ("kept", "refused", "filtered", "duplicate"):
        assert sum(r["end"]["destiny"] == destiny for r in rows) == counts[destiny], destiny
    kept = next(r for r in rows if r["end"]["destiny"] == "kept")
    assert list(kept["stages"]) == ["protect", "derive-1", "filter-1", "enrich-1", "deduplicate-1"]
    assert "land" not in kept["stages"]["filter-1"]
    assert "land" in kept["stages"]["enrich-1"]


def test_a_preview_takes_the_first_rows_and_writes_nothing(say: Say, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    rows = previewed(say, "--rows", "7")
    starts = [0]
    for line in CONTENT.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    assert [r["position"] for r in rows] == starts[:7]
    text = say("preview")
    assert sorted(folder.rglob("*")) == before
    assert "pseudonyms are made with one for this screen only" in text


def test_personal_data_is_not_seen_unless_somebody_asks_which_is_audited(
    say: Say, folder: Path
) -> None:
    secrets = ("@example.org", "SECRET", "yesterday")
    for flags in ((), ("--json",), ("--step", "protect")):
        text = say("preview", "--rows", "99", *flags)
        assert not [s for s in secrets if s in text]
    text = say("preview", "--rows", "99", "--json", "--show-personal")
    assert all(s in text for s in secrets)
    audited = (folder / "out" / "logs" / "audit.jsonl").read_text()
    told = json.loads(audited)
    shown = [line for line in text.splitlines() if line.startswith("{")]
    assert (told["action"], told["rows"]) == ("preview", len(shown))


@pytest.mark.parametrize("columns", [80, 200])
def test_a_grid_fits_the_terminal(say: Say, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = say("preview", "--rows", "99").splitlines()
    rows = [line for line in lines if not line.startswith("note: ")]
    assert max(map(len, rows)) <= columns
    titles = [line for line in rows if "protect" in line and "derive-1" in line]
    assert titles
    assert any("deduplicate-1" in line for line in titles) == (columns == 200)
    assert any(line.startswith("a.jsonl at 0: ") for line in rows)


def test_a_step_that_is_not_there_is_named(say: Say) -> None:
    assert "--step must be one of protect, derive-1" in say("preview", "--step", "x", code=2)
    assert "at least 1" in say("preview", "--rows", "0", code=2)


def test_the_difference_of_plans_names_what_changed(say: Say, folder: Path) -> None:
    assert "nothing has landed" in say("plan", "--diff")
    say("run", "--json")
    assert "as run " in say("plan", "--diff")
    pieces = "- {name: pieces, logicalType: integer}"
    colour = "\n      - {name: colour, logicalType: string}"
    contract = CONTRACT.replace(pieces, pieces + colour)
    (folder / "contract.odcs.yaml").write_text(contract)
    pipeline = PIPELINE.replace("size: 1h", "size: 2h").replace("> 5", "> 6")
    pipeline = pipeline.replace("  warehouse: {}\n", "").replace("sales: ", "sold: ")
    (folder / "pipeline.yaml").write_text(pipeline)
    found = json.loads(say("plan", "--diff", "--json"))
    said = {(c["what"], c["name"], c["change"], c["field"]) for c in found["changes"]}
    assert said >= {
        ("column", "colour", "added", ""),
        ("step", "filter-1", "changed", "keep"),
        ("aggregate", "sales_hourly", "changed", "window.size_us"),
        ("aggregate", "sales_hourly", "changed", "measure sold"),
        ("table", "processed_data.shop", "changed", "column colour"),
        ("sink", "warehouse", "removed", ""),
    }
    assert found["against"]
    assert len(found["effects"]) == 2
    text = say("plan", "--diff")
    assert "changed step filter-1 keep: properties.amount > 5 -> properties.amount > 6" in text
    for line in (
        "changed aggregate sales_hourly: removed measure sales, count(*)",
        "changed aggregate sales_hourly: added measure sold, count(*)",
        "changed table processed_data.shop: added column colour, string",
        "added column colour",
        "removed sink warehouse",
    ):
        assert line in text.splitlines(), text
    assert "None" not in text


def test_rules_that_no_column_shows_are_a_difference_too(say: Say, folder: Path) -> None:
    say("run", "--json")
    pieces = "- {name: pieces, logicalType: integer}"
    ruled = pieces[:-1] + ", logicalTypeOptions: {maximum: 2}}"
    (folder / "contract.odcs.yaml").write_text(CONTRACT.replace(pieces, ruled))
    assert "changed contract rules, texts" in say("plan", "--diff")
