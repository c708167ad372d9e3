"""What `evolve` makes of a file that runs have not read, and of types that a lake cannot take."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.cli import main
from beam_pipelines.cli.evolve import _next, _tell
from beam_pipelines.evolving import Patch
from schemas.contract_file import load_contract
from schemas.plan import Plan
from schemas.planning import load_plan
from transforms.commit.lake import open_lake

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: t
version: 1.0.0
schema:
  - name: t
    properties:
      - {name: id, logicalType: integer, required: true}
      - {name: small, logicalType: integer, physicalType: INT}
      - {name: single, logicalType: number, physicalType: REAL}
      - {name: exact, logicalType: number, physicalType: "DECIMAL(6,2)"}
      - {name: day, logicalType: date}
      - {name: word, logicalType: string}
      - {name: many, logicalType: array, items: {logicalType: integer}}
"""
PIPELINE = """\
name: t
contract: contract.odcs.yaml
source:
  batch: {files: {path: "data/*", format: json}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contract.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def evolved(
    folder: Path, capsys: pytest.CaptureFixture[str], sample: Path, *flags: str, code: int = 0
) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evolve", str(folder), "--from", str(sample), "--json", *flags]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def sample_of(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "sample.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def types(folder: Path) -> dict[str, str]:
    return {c.name: str(c.type) for c in load_contract(folder / "contract.odcs.yaml").columns}


def test_columns_of_every_kind_are_added_and_none_is_required(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {
        "at": "2026-03-01T10:00:00Z",
        "Cost Total $": 1.25,
        "where": {"lat": 1.5, "lon": 2.5},
        "tags": ["a"],
        "email": "ann@example.org",
        "code": "007",
        "yes": True,
        "nothing": None,
    }
    told = evolved(folder, capsys, sample_of(folder, {"id": 1, **new}, {"id": 2, **new}))
    assert told["left"] == []
    contract = load_contract(folder / "contract.odcs.yaml")
    added = {c.name: c for c in contract.columns[7:]}
    assert {name: str(c.type) for name, c in added.items()} == {
        "at": "timestamp[us, tz=UTC]",
        "cost_total": "decimal128(18, 4)",
        "where": "struct<lat: double, lon: double>",
        "tags": "list<element: string>",
        "email": "string",
        "code": "string",
        "yes": "bool",
    }
    assert added["cost_total"].physical == "Cost Total $"
    assert added["email"].protect == "pseudonymize"
    assert not any(c.required for c in added.values())
    assert contract.version == "1.1.0"


def test_types_are_widened_where_no_lake_is_in_the_way(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": 1.5, "exact": 12, "word": "a"}, {"id": 2, "exact": 1, "word": "b"}]
    told = evolved(folder, capsys, sample_of(folder, *rows))
    assert told["changed"] == ["id: integer becomes number"]
    assert types(folder)["id"] == "double"


def test_what_a_lake_cannot_take_in_place_is_left_with_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = load_plan(folder)
    open_lake(plan).prepare(plan)
    before = (folder / "contract.odcs.yaml").read_text()
    told = evolved(folder, capsys, sample_of(folder, {"id": 1.5}), code=1)
    assert told["changed"] == []
    (left,) = told["left"]
    assert left == (
        "id: a column's type must stay as it was landed; got double for id of processed_data.t, "
        "which holds long; give the new column another name, or remove out/ to begin anew"
    )
    assert (folder / "contract.odcs.yaml").read_text() == before
    told = evolved(folder, capsys, sample_of(folder, {"id": 1.5, "new": 1}))
    assert len(told["left"]) == 1
    assert told["changed"] == ["new: added, integer"]


@pytest.mark.parametrize("version", ["version:\n  1.0.0", "version: spring"])
def test_a_version_that_cannot_be_raised_keeps_nothing_else_from_being_changed(
    folder: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    text = CONTRACT.replace("version: 1.0.0", version)
    (folder / "contract.odcs.yaml").write_text(text)
    sample = sample_of(folder, {"id": 1, "new": 1})
    told = evolved(folder, capsys, sample, "--dry-run")
    assert told["changed"] == ["new: added, integer"]
    assert main(["evolve", str(folder), "--from", str(sample)]) == 0
    assert "note: raise its version yourself" in capsys.readouterr().out
    contract = load_contract(folder / "contract.odcs.yaml")
    assert (contract.columns[-1].name, contract.version) == ("new", version.rsplit(maxsplit=1)[-1])


def test_samples_that_share_a_new_column_add_it_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = folder / "whole.jsonl", folder / "parts.jsonl"
    whole.write_text('{"id": 1, "new": 7}\n')
    parts.write_text('{"id": 1, "new": 7.5}\n')
    told = evolved(folder, capsys, whole, "--from", str(parts))
    assert (told["changed"], told["left"]) == (["new: added, number"], [])


def test_a_kind_that_no_type_shares_is_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = sample_of(folder, {"id": "a", "day": 5}, {"id": "b", "day": 6})
    told = evolved(folder, capsys, sample, code=1)
    assert [line.split(";")[0] for line in told["left"]] == [
        "day: no type takes both date and integer",
        "id: no type takes both integer and string",
    ]


def test_a_sample_is_read_as_the_pipeline_reads_its_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = 'csv: {names: [id, exact, new], delimiter: ";", decimal: ",", nulls: [gone]}'
    pipeline = PIPELINE.replace("format: json", f"format: csv, {csv}")
    (folder / "pipeline.yaml").write_text(pipeline)
    sample = folder / "sample.csv"
    sample.write_text("".join(f"{i};{i},5;{'gone' if i % 2 else i}\n" for i in range(9)))
    told = evolved(folder, capsys, sample, "--dry-run")
    assert told["changed"] == ["new: added, integer"]
    assert told["left"] == []


def test_a_sample_that_is_as_the_contract_has_it_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "id": 1,
        "small": 2,
        "single": 1,
        "exact": 1.25,
        "day": "2026-01-01",
        "word": "2026-01-01",
    }
    told = evolved(folder, capsys, sample_of(folder, row, row))
    assert (told["changed"], told["left"], told["diff"]) == ([], [], "")
    pq.write_table(pa.Table.from_pylist([row | {"day": None}]), folder / "s.parquet")
    assert evolved(folder, capsys, folder / "s.parquet")["changed"] == []


def test_a_new_column_keeps_out_of_the_way_of_those_that_steps_make(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = 'steps:\n  - derive: {twice: "id * 2"}\n'
    (folder / "pipeline.yaml").write_text(PIPELINE + steps)
    told = evolved(folder, capsys, sample_of(folder, {"id": 1, "twice": 5}))
    assert told["changed"] == ["twice_2: added, integer"]
    assert load_contract(folder / "contract.odcs.yaml").columns[-1].physical == "twice"


@pytest.mark.parametrize(
    ("met", "said"),
    [
        ({"enum"}, ["dlq replay f"]),
        ({"quarantine"}, ["dlq replay f", "run f --rebuild"]),
        ({"discard_row", "enum"}, ["dlq replay f", "run f --rebuild"]),
        ({"discard_value"}, ["run f --rebuild"]),
        ({"freeze"}, ["run f", "run f --rebuild"]),
    ],
)
def test_what_is_to_be_done_hangs_on_what_met_the_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch, met: set[str], said: list[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    f = folder.name

    def advice(plan: Plan) -> list[str]:
        told = _next(frozenset(met), plan)
        return [line.partition(": penstock ")[2].replace(f" {f}", " f") for line in told]

    batch = load_plan(folder)
    assert advice(batch) == said
    elsewhere = replace(batch, out=folder.parent / "else where")
    to = "f --out 'else where'"
    assert advice(elsewhere) == [line.replace("f", to) for line in said]
    streamed = replace(batch, source=replace(batch.source, path=""))
    assert advice(streamed) == [
        f"{line} --stream --runner prism" for line in said if "--rebuild" not in line
    ]


def test_no_terminal_obeys_a_key_that_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    patch = Patch(
        file=Path("c.yaml"),
        before="",
        after="",
        versions=("1", "1"),
        done=(),
        left=("\x1b[31m\n",),
        met=frozenset(),
    )
    _tell(cast("Plan", None), patch, argparse.Namespace(json=False))
    assert capsys.readouterr().out == "left as it is: \\x1b[31m\\n\n"
