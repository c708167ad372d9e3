"""Keys inside of objects and arrays that no contract declares: found, met, told, and taken up."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.cli import main
from schemas.contract_file import load_contract
from tests.pipelines.shop import Out
from tests.pipelines.test_changes import (
    PIPELINE,
    PROCESSED,
    REFUSED,
    Run,
    assert_balanced,
    destinies,
    each_mode,
    landed,
    run,
)

__all__ = ["run"]
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
schema:
  - name: shop
    logicalType: object
    customProperties: [{{property: "penstock:onChange", value: {mode}}}]
    properties:
      - {{name: sale_id, logicalType: integer, required: true, primaryKey: true}}
      - name: address
        logicalType: object
{own}        properties:
          - {{name: city, logicalType: string}}   # as people write it
          - name: geo
            logicalType: object
            properties:
              - {{name: lat, logicalType: number}}
      - name: items
        logicalType: array
        items:
          logicalType: object
          properties:
            - name: pieces
              logicalType: integer
      - name: more
        logicalType: object
        customProperties: [{{property: "penstock:open", value: true}}]
        properties:
          - {{name: k, logicalType: integer}}
"""
FORMS = ("json", "csv", "parquet")
LETTERS = ("zip", "lon", "sku")
PATHS = ("address.zip", "address.geo.lon", "items[].sku")


def sale(number: int, *new: str) -> dict[str, Any]:
    """A record, and which keys it has that nobody has declared."""
    geo: dict[str, Any] = {"lat": 1.5} | ({"lon": 2.5} if "lon" in new else {})
    item = {"pieces": 2} | ({"sku": f"s{number}"} if "sku" in new else {})
    address = {"city": "x", "geo": geo} | ({"zip": f"z{number}"} if "zip" in new else {})
    more = {"k": 1, "stays": 2}
    return {"sale_id": number, "address": address, "items": [{"pieces": 1}, item], "more": more}


GOOD = [sale(i) for i in range(6)]
NEW = [sale(100 + i, *LETTERS) for i in range(4)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: json.dumps(v) for k, v in row.items()} for row in rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def folder_of(root: Path, form: str, mode: str | None, *, own: str = "") -> Path:
    folder = root / "shop"
    (folder / "data").mkdir(parents=True)
    said = f'        customProperties: [{{property: "penstock:onChange", value: {own}}}]\n'
    contract = CONTRACT.format(mode=mode or "freeze", own=said if own else "")
    if mode is None:
        lines = contract.splitlines(keepends=True)
        contract = "".join(line for line in lines if "value: freeze" not in line)
    (folder / "contract.odcs.yaml").write_text(contract)
    (folder / "pipeline.yaml").write_text(PIPELINE.format(form=form))
    write(folder / "data" / f"a.{form}", GOOD)
    write(folder / "data" / f"b.{form}", NEW)
    return folder


@pytest.mark.parametrize("form", FORMS)
@each_mode
def test_a_key_inside_that_is_not_declared_is_met_as_the_contract_says(
    tmp_path: Path, run: Run, form: str, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, form, mode)
    result = run(folder)
    assert result["rows"][destiny] == len(NEW) + (len(GOOD) if destiny == "kept" else 0)
    assert_balanced(folder, result)
    rows = landed(folder)
    assert len(rows) == len(GOOD) + (len(NEW) if destiny == "kept" else 0)
    assert all(set(rows[i]["address"]) == {"city", "geo"} for i in rows)
    told = [(c["kind"], c["column"], c["rows"], c["mode"]) for c in result["changes"]]
    assert sorted(told) == sorted(("undeclared", p, len(NEW), mode or "") for p in PATHS)
    assert {c["type"] for c in result["changes"]} == {"string", "number"}
    rule = "" if destiny == "kept" else "undeclared"
    assert destinies(folder)[destiny, rule] == result["rows"][destiny]
    if destiny == "refused":
        said = {row["reason"] for row in Out(folder / "out").rows(REFUSED)}
        names = ", ".join(f"`{path}`" for path in sorted(PATHS))
        assert said == {f"columns of a record must be declared; got {names}"}


@pytest.mark.parametrize("form", FORMS)
def test_freeze_ends_the_run_at_a_key_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    folder = folder_of(tmp_path, form, "freeze")
    assert main(["run", str(folder), "--json"]) == 1
    said = capsys.readouterr().err
    assert any(f"got '{path}' in " in said for path in PATHS)
    assert f"b.{form} at " in said
    assert Out(folder / "out").rows(PROCESSED) == []


@pytest.mark.parametrize("form", FORMS)
def test_what_was_quarantined_for_keys_inside_lands_once_with_them(
    tmp_path: Path, run: Run, form: str
) -> None:
    folder = folder_of(tmp_path, form, "quarantine")
    pipeline = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(pipeline.replace("lake: {}", "lake: {}, warehouse: {}"))
    run(folder)
    told = run(folder, verb="evolve")
    assert (told["left"], told["applied"]) == ([], True)
    assert sorted(line.partition(":")[0] for line in told["changed"]) == sorted(PATHS)
    text = (folder / "contract.odcs.yaml").read_text()
    before = CONTRACT.format(mode="quarantine", own="").splitlines()
    assert [line for line in before if line not in text.splitlines()] == ["version: 1.0.0"]
    leaves = {c.path: c.logical for c in load_contract(folder / "contract.odcs.yaml").leaves()}
    assert {path: leaves.get(path) for path in PATHS} == dict(
        zip(PATHS, ("string", "number", "string"), strict=True)
    )
    done = run(folder, verb="dlq replay")
    assert done["rows"] | {"replayed": len(NEW), "kept": len(NEW)} == done["rows"]
    rows = landed(folder)
    for want in NEW:
        got = rows[want["sale_id"]]
        assert got["address"] == want["address"]
        assert [item["sku"] for item in got["items"]] == [None, want["items"][1]["sku"]]
    assert rows[0]["address"] == {"city": "x", "zip": None, "geo": {"lat": 1.5, "lon": None}}
    assert Out(folder / "out").rows(REFUSED) == []
    inside = {row["sale_id"]: row["address"] for row in Out(folder / "out").warehouse(PROCESSED)}
    assert inside == {key: row["address"] for key, row in rows.items()}


def test_a_column_says_itself_what_meets_keys_inside_of_it(tmp_path: Path, run: Run) -> None:
    folder = folder_of(tmp_path, "json", "discard_row", own="quarantine")
    write(folder / "data" / "b.json", [sale(100, "zip"), sale(101, "sku"), sale(102, *LETTERS)])
    assert load_contract(folder / "contract.odcs.yaml").classified
    result = run(folder)
    assert_balanced(folder, result)
    assert {(c["column"], c["mode"]) for c in result["changes"]} == {
        ("address.zip", "quarantine"),
        ("address.geo.lon", "quarantine"),
        ("items[].sku", "discard_row"),
    }
    assert destinies(folder)["refused", "undeclared"] == 2
    assert destinies(folder)["filtered", "undeclared"] == 1


def test_evolve_finds_keys_inside_in_a_sample(tmp_path: Path, run: Run) -> None:
    for form in FORMS:
        folder = folder_of(tmp_path / form, form, "evolve")
        sample = str(folder / "data" / f"b.{form}")
        told = run(folder, "--dry-run", "--from", sample, verb="evolve")
        assert sorted(line.partition(":")[0] for line in told["changed"]) == sorted(PATHS)


def test_a_contract_in_another_style_is_left_and_said(tmp_path: Path, run: Run) -> None:
    folder = folder_of(tmp_path, "json", "evolve")
    path = folder / "contract.odcs.yaml"
    geo = "            properties:\n              - {name: lat, logicalType: number}\n"
    flow = "            properties: [{name: lat, logicalType: number}]\n"
    assert geo in path.read_text()
    path.write_text(path.read_text().replace(geo, flow))
    run(folder)
    told = run(folder, "--dry-run", verb="evolve")
    (left,) = told["left"]
    assert left.startswith("address.geo.lon: ")
    assert "write it by hand" in left
