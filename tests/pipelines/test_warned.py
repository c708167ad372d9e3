"""Rows that break a rule which only counts land, and how many there are is told wherever one looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from tests.pipelines.test_changes import GOOD, Run, folder_of, landed, run
from tests.streams import Middle, commit, stream_plan
from tests.unit.transforms.raws import raw
from transforms.changes.kept import kept_changes, since

__all__ = ["run"]

MANY = [{**row, "sale_id": 100 + i, "pieces": 50 + i % 2} for i, row in enumerate(GOOD)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = folder_of(tmp_path, "json", None, MANY)
    contract = made / "contract.odcs.yaml"
    rule = """\
        logicalTypeOptions: {maximum: 10}
        customProperties: [{property: "penstock:onFailure", value: warn}]
"""
    pieces = "        logicalType: integer\n"
    contract.write_text(contract.read_text().replace(pieces, pieces + rule))
    return made


def told(changes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("kind", "column", "note", "mode", "rows", "position")
    return [tuple(change[name] for name in names) for change in changes]


def test_a_run_says_how_many_rows_break_which_rule_and_keeps_them(folder: Path, run: Run) -> None:
    said = run(folder)
    assert told(said["changes"]) == [("broken", "pieces", "maximum", "warn", len(MANY), 0)]
    assert said["changes"][0]["source"].endswith("b.json")
    assert said["rows"]["kept"] == len(GOOD) + len(MANY)
    assert len(landed(folder)) == len(GOOD) + len(MANY)
    assert run(folder)["changes"] == []


def test_a_person_sees_it_and_no_contract_is_proposed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["pieces", "broken", "maximum", "warn", "b.json", str(len(MANY))] in shown
    assert not any("evolve" in line for line in shown)
    assert main(["evolve", str(folder), "--dry-run"]) == 0
    assert "pieces" not in capsys.readouterr().out


def test_a_preview_says_it_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", str(folder), "--rows", "12"]) == 0
    said = capsys.readouterr()
    assert "pieces: maximum is broken by 4 of these records" in said.out + said.err


def test_a_stream_counts_each_such_message_once(folder: Path) -> None:
    plan = stream_plan(folder)
    middle = Middle(plan)
    payloads = [json.dumps(row).encode() for row in (*GOOD, *MANY)]
    memory, one = middle.begins(), middle.committer()
    for at in range(0, len(payloads), 3):
        batch = raw(*(("t/0", at + i, p) for i, p in enumerate(payloads[at : at + 3])))
        shipped = middle.ship(batch)
        memory = commit(one, memory, shipped)
        memory = commit(one, memory, shipped)
    assert told([change.told() for change in since((), kept_changes(plan))]) == [
        ("broken", "pieces", "maximum", "warn", len(MANY), len(GOOD))
    ]
