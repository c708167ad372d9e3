"""`penstock load`: the warehouse follows the lake, whenever it is started."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import duckdb
import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import (
    FACT,
    HOURLY,
    PROCESSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)


def test_a_warehouse_is_loaded_later_again_and_anew_from_the_lake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path)
    out = Out(folder / "out")
    assert main(["load", str(folder)]) == 2
    assert "penstock run" in capsys.readouterr().err
    files = {"a.jsonl": sales(0, 50), "b.jsonl": sales(30, 50, copies=3)}
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content)
        assert main(["run", str(folder), "--sinks", "lake"]) == 0
    want = expected(files)
    assert main(["load", str(folder), "--input", "x"]) == 2
    assert "unrecognized arguments: --input" in capsys.readouterr().err
    assert main(["load", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shop: 2 commits taken, now at commit 2"
    rows = len(want["rows"])
    assert any(x.split() == [FACT, f"{rows}", "rows", f"+{rows}"] for x in lines)
    assert_tables(out, want)
    assert main(["load", str(folder)]) == 0
    assert "nothing new" in capsys.readouterr().out

    # Somebody spoils the warehouse, and has a table of their own in it.
    with duckdb.connect(str(out.path / "warehouse.duckdb")) as c:
        c.execute(f"DELETE FROM {FACT}; UPDATE {HOURLY} SET sales = 0; CREATE TABLE mine (x INT)")
    assert main(["load", str(folder), "--rebuild", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pipeline"], told["commit"], told["rebuilt"], told["warnings"]) == (
        *("shop", 2, True),
        [],
    )
    assert told["warehouse"][FACT] == {"rows": rows, "added": rows}
    assert_tables(out, want)
    assert out.sql("SELECT count(*) FROM mine") == [(0,)]
    assert main(["load", str(folder)]) == 0
    assert "nothing new" in capsys.readouterr().out

    # A warehouse that followed another lake must be built anew, and says how.
    with duckdb.connect(str(out.path / "warehouse.duckdb")) as c:
        c.execute("UPDATE operations.shop_loaded SET commit_id = 'x'")
    assert main(["load", str(folder)]) == 1
    assert "--rebuild" in capsys.readouterr().err
    assert main(["load", str(folder), "--rebuild"]) == 0
    assert_tables(out, want)


GROWING = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
schema:
  - name: shop
    logicalType: object
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: at, logicalType: timestamp, required: true, description: When it was sold.}
      - name: spot
        logicalType: object
        properties:
          - {name: city, logicalType: string}
      - name: items
        logicalType: array
        items:
          logicalType: object
          properties:
            - {name: name, logicalType: string}
"""
PLAIN = """\
name: shop
contract: contract.odcs.yaml
source: {batch: {files: {path: "data/*.jsonl"}}}
sinks: {lake: {}, warehouse: {}}
"""


def test_the_warehouse_grows_with_the_contract_and_keeps_old_rows_that_break_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path, contract=GROWING, pipeline=PLAIN)
    out = Out(folder / "out")
    old = {
        "id": "s1",
        "at": "2026-01-01T00:00:00Z",
        "spot": {"city": "x"},
        "items": [{"name": "n"}],
    }
    (folder / "data" / "a.jsonl").write_text(json.dumps(old) + "\n")
    assert main(["run", str(folder)]) == 0
    contract = (
        GROWING.replace(
            "{name: city, logicalType: string}",
            "{name: zip, logicalType: integer}\n          - {name: city, logicalType: string}",
        )
        .replace(
            "{name: name, logicalType: string}",
            "{name: name, logicalType: string}\n            - {name: n, logicalType: integer}",
        )
        .replace(
            "{name: id, logicalType: string,",
            "{name: id, logicalType: string, logicalTypeOptions: {format: uuid},",
        )
    )
    contract += "      - {name: till, logicalType: integer, required: true}\n"
    (folder / "contract.odcs.yaml").write_text(contract)
    key = str(uuid.UUID(int=7))
    spot, items = {"city": "y", "zip": 3}, [{"name": "m", "n": 2}]
    new = old | {"id": key, "spot": spot, "items": items, "till": 5}
    (folder / "data" / "b.jsonl").write_text(json.dumps(new) + "\n")
    assert main(["run", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["warehouse"][FACT] == {"rows": 2, "added": 1}
    want = [
        ("s1", "x", None, [("n", None)], None),
        (key, "y", 3, [("m", 2)], 5),
    ]
    query = (
        "SELECT id, spot.city, spot.zip, [(x.name, x.n) FOR x IN items], till FROM {} "
        "ORDER BY id DESC"
    )
    for _ in range(2):
        for table in (FACT, PROCESSED):
            assert out.sql(query.format(table)) == want
        comment = "SELECT comment FROM duckdb_columns() WHERE column_name = 'at' AND comment <> ''"
        assert out.sql(comment) == [("When it was sold.",)] * 2
        assert main(["load", str(folder), "--rebuild"]) == 0
    assert "id of analytics.fact_shop" in capsys.readouterr().out
