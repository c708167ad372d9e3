"""A file whose records have changed: met as the contract says, told, and taken up by `evolve`."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.balance import balance
from beam_pipelines.cli import main
from schemas.contract_file import load_contract
from schemas.planning import load_plan
from tests.pipelines.shop import Out
from transforms.changes.kept import kept_changes
from transforms.commit.lake import open_lake

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0   # raised by evolve
status: active
schema:
  - name: shop
    logicalType: object
    customProperties: [{{property: "penstock:onChange", value: {mode}}}]
    properties:
      - {{name: sale_id, logicalType: integer, required: true, primaryKey: true}}
      # Seldom more than ten.
      - name: pieces
        logicalType: integer
      - name: price   # in euros
        logicalType: number
"""
PIPELINE = """\
name: shop
contract: contract.odcs.yaml
source:
  batch: {{files: {{path: "data/*.{form}", format: {form}}}}}
sinks: {{lake: {{}}}}
"""
PROCESSED, REFUSED, LEDGER = (
    "processed_data.shop",
    "operations.shop_refused",
    "operations.shop_ledger",
)
FORMS = ("json", "csv", "parquet")
GOOD = [{"sale_id": i, "pieces": i % 3, "price": i / 4} for i in range(8)]
NEW = [{**row, "sale_id": 100 + i, "coupon": f"c{i}"} for i, row in enumerate(GOOD)]
"""Every record has a column that the contract does not declare."""
MISTYPED = [
    {**row, "sale_id": 100 + i, "pieces": 1.5 if i % 2 else 3.0} for i, row in enumerate(GOOD)
]
"""Every other record has a value that is not of its column's type."""
WRONG = [row["sale_id"] for row in MISTYPED if row["pieces"] == 1.5]
LACKING = [{"sale_id": 100 + i, "pieces": 1} for i in range(4)]

Run = Callable[..., dict[str, Any]]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {k: int(v) if k == "pieces" and v == int(v) else v for k, v in row.items()}
                for row in rows
            )
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def folder_of(root: Path, form: str, mode: str | None, second: list[dict[str, Any]]) -> Path:
    """A folder with a file that is as the contract has it, and one behind it that is not."""
    folder = root / "shop"
    (folder / "data").mkdir(parents=True)
    contract = CONTRACT.format(mode=mode or "freeze")
    if mode is None:
        contract = "".join(line for line in contract.splitlines(True) if "onChange" not in line)
    (folder / "contract.odcs.yaml").write_text(contract)
    (folder / "pipeline.yaml").write_text(PIPELINE.format(form=form))
    write(folder / "data" / f"a.{form}", GOOD)
    write(folder / "data" / f"b.{form}", second)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def once(folder: Path, *flags: str, verb: str = "run", code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        ended = main([*verb.split(), str(folder), "--json", *flags])
        captured = capsys.readouterr()
        assert ended == code, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return once


def landed(folder: Path) -> dict[int, dict[str, Any]]:
    rows = Out(folder / "out").rows(PROCESSED)
    found = {row["sale_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def destinies(folder: Path) -> dict[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in Out(folder / "out").rows(LEDGER):
        counts[row["destiny"], row["rule"] or ""] += row["rows"]
    return {key: rows for key, rows in counts.items() if rows}


def assert_balanced(folder: Path, result: dict[str, Any]) -> None:
    plan = load_plan(folder)
    assert balance(open_lake(plan), plan, result["run_id"]).faults == ()
    rows = result["rows"]
    assert rows["read"] == sum(rows.values()) - rows["read"]


def assert_as_ever(folder: Path) -> None:
    """The rows of the first file are what they would be by themselves."""
    rows = landed(folder)
    for want in GOOD:
        assert want.items() <= rows[want["sale_id"]].items()


each_mode = pytest.mark.parametrize(
    ("mode", "destiny"),
    [
        (None, "kept"),
        ("evolve", "kept"),
        ("discard_value", "kept"),
        ("discard_row", "filtered"),
        ("quarantine", "refused"),
    ],
)


@pytest.mark.parametrize("form", FORMS)
@each_mode
def test_a_column_that_is_not_declared_is_met_as_the_contract_says(
    tmp_path: Path, run: Run, form: str, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, form, mode, NEW)
    result = run(folder)
    assert result["rows"][destiny] == len(NEW) + (len(GOOD) if destiny == "kept" else 0)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    assert len(landed(folder)) == len(GOOD) + (len(NEW) if destiny == "kept" else 0)
    rule = "" if destiny == "kept" else "undeclared"
    assert destinies(folder)[destiny, rule] == result["rows"][destiny]
    (change,) = result["changes"]
    assert change["column"] == "coupon"
    assert change["rows"] == len(NEW)
    assert change["mode"] == (mode or "")
    assert change["source"].endswith(f"b.{form}")
    assert change["type"] == "string"
    assert run(folder)["rows"]["read"] == 0  # and changes nothing
    assert len(landed(folder)) == len(GOOD) + (len(NEW) if destiny == "kept" else 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("mode", "destiny"),
    [
        (None, "refused"),
        ("evolve", "refused"),
        ("discard_value", "kept"),
        ("discard_row", "filtered"),
        ("quarantine", "refused"),
    ],
)
def test_a_value_of_another_type_is_met_as_the_contract_says(
    tmp_path: Path, run: Run, form: str, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, form, mode, MISTYPED)
    result = run(folder)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    rows = landed(folder)
    if destiny == "kept":
        assert result["rows"]["kept"] == len(GOOD) + len(MISTYPED)
        assert [rows[key]["pieces"] for key in WRONG] == [None] * len(WRONG)
        assert all(rows[key]["price"] is not None for key in WRONG)
    else:
        assert not set(rows) & set(WRONG)
        assert destinies(folder)[destiny, "type"] == len(WRONG)
    right = [row for row in MISTYPED if row["sale_id"] not in WRONG]
    assert all(rows[row["sale_id"]]["pieces"] == 3 for row in right)
    (change,) = result["changes"]
    assert change | {"source": "", "position": 0, "shape": ""} == {
        "kind": "type",
        "column": "pieces",
        "mode": mode or "",
        "rows": len(WRONG),
        "source": "",
        "position": 0,
        "type": "number",
        "personal": False,
        "shape": "",
        "note": "",
    }
    assert change["shape"] == "9.9"


@pytest.mark.parametrize("form", ["csv", "parquet"])
@each_mode
def test_a_file_without_a_column_is_met_as_the_contract_says(
    tmp_path: Path, run: Run, form: str, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, form, mode, LACKING)
    result = run(folder)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    if destiny == "kept":
        assert landed(folder)[100]["price"] is None
    else:
        assert destinies(folder)[destiny, "lacking"] == len(LACKING)
    told = [(c["kind"], c["column"], c["rows"]) for c in result["changes"]]
    assert told == ([] if mode is None else [("lacking", "price", len(LACKING))])


def test_the_count_of_wrong_values_is_that_of_all_files(tmp_path: Path, run: Run) -> None:
    bad = [{**row, "pieces": 1.5} for row in MISTYPED]
    folder = folder_of(tmp_path, "json", None, bad)
    write(folder / "data" / "c.json", [{**row, "sale_id": 200 + i} for i, row in enumerate(GOOD)])
    with (folder / "data" / "c.json").open("a") as file:
        file.write('{"sale_id": 300, "pieces": 1.5}\n')
    (change,) = run(folder)["changes"]
    assert (change["column"], change["rows"]) == ("pieces", len(bad) + 1)
    assert destinies(folder)["refused", "type"] == len(bad) + 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("second", "said"),
    [
        (NEW, "a record must have no column that its contract does not declare"),
        (MISTYPED, "`pieces` must be a"),
        (LACKING, "a file must have the column `price`"),
    ],
    ids=["undeclared", "type", "lacking"],
)
def test_freeze_ends_the_run_before_anything_lands(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    second: list[dict[str, Any]],
    said: str,
) -> None:
    if form == "json" and second is LACKING:
        pytest.skip("a record of JSON lines need not have every key")
    folder = folder_of(tmp_path, form, "freeze", second)
    assert main(["run", str(folder), "--json"]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert "penstock:onChange: freeze" in captured.err
    assert f"b.{form} at " in captured.err
    assert "c0" not in captured.err
    assert "1.5" not in captured.err
    assert Out(folder / "out").rows(PROCESSED) == []
    (change,) = kept_changes(load_plan(folder))  # so that evolve needs no other run
    assert change.mode == "freeze"


def test_a_column_may_be_met_in_another_way_than_the_others(tmp_path: Path, run: Run) -> None:
    both = [{**new, "pieces": old["pieces"]} for new, old in zip(NEW, MISTYPED, strict=True)]
    folder = folder_of(tmp_path, "json", "quarantine", both)
    path = folder / "contract.odcs.yaml"
    own = '\n        customProperties: [{property: "penstock:onChange", value: discard_row}]'
    text = path.read_text()
    path.write_text(
        text.replace(
            "pieces\n        logicalType: integer", f"pieces\n        logicalType: integer{own}"
        )
    )
    result = run(folder)
    assert_balanced(folder, result)
    assert destinies(folder)["filtered", "type"] == len(WRONG)
    assert destinies(folder)["refused", "undeclared"] == len(both) - len(WRONG)


def test_records_of_a_renamed_column_say_so_though_all_are_refused(
    tmp_path: Path, run: Run
) -> None:
    renamed = [{"id": 100 + i, "pieces": 1} for i in range(5)]
    folder = folder_of(tmp_path, "json", None, renamed)
    result = run(folder)
    assert result["rows"]["refused"] == len(renamed)
    (change,) = result["changes"]
    assert (change["kind"], change["column"], change["rows"]) == ("undeclared", "id", len(renamed))


def test_a_few_wrong_values_are_no_change_of_the_data(tmp_path: Path, run: Run) -> None:
    few = [{**row, "sale_id": 100 + i} for i, row in enumerate(GOOD)]
    folder = folder_of(tmp_path, "json", None, [*few, {"sale_id": 200, "pieces": "x"}])
    result = run(folder)
    assert result["rows"]["refused"] == 1
    assert result["changes"] == []
    assert not (folder / "out" / "changes").exists()


def test_no_value_of_an_undeclared_column_is_shown_or_kept_in_clear(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = [{**row, "mail": f"canary{i}@example.org"} for i, row in enumerate(NEW)]
    folder = folder_of(tmp_path, "json", "quarantine", mail)
    assert main(["run", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "looks personal" in told
    assert f"penstock evolve {folder}"[:16] in told
    for verb in (["dlq", "list"], ["dlq", "show"], ["evolve"]):
        assert main([*verb, str(folder)]) == 0
    told += capsys.readouterr().out
    assert "canary" not in told
    found = [
        path
        for path in (folder / "out").rglob("*")
        if path.is_file() and b"canary" in path.read_bytes()
    ]
    assert found == []
    mail_column = load_contract(folder / "contract.odcs.yaml").columns[-1]
    assert (mail_column.name, mail_column.protect) == ("mail", "pseudonymize")
    run(folder, verb="dlq replay")
    assert all("canary" not in str(row) for row in landed(folder).values())


@pytest.mark.parametrize(
    ("mode", "destiny"),
    [("discard_value", "kept"), ("discard_row", "filtered"), ("quarantine", "refused")],
)
def test_a_file_of_another_type_is_met_row_by_row_where_the_contract_says_how(
    tmp_path: Path, run: Run, mode: str, destiny: str
) -> None:
    texts = [{**row, "sale_id": 100 + i, "pieces": "many"} for i, row in enumerate(GOOD)]
    folder = folder_of(tmp_path, "parquet", mode, texts)
    result = run(folder)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    if destiny == "kept":
        assert {row["pieces"] for key, row in landed(folder).items() if key >= 100} == {None}
    else:
        assert destinies(folder)[destiny, "type"] == len(texts)


def test_a_file_of_another_type_for_a_required_column_has_its_rows_refused_under_discard_value(
    tmp_path: Path, run: Run
) -> None:
    texts = [{**row, "sale_id": f"s{row['sale_id']}"} for row in GOOD]
    folder = folder_of(tmp_path, "parquet", "discard_value", texts)
    result = run(folder)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    assert destinies(folder) == {("kept", ""): len(GOOD), ("refused", "type"): len(texts)}


@pytest.mark.parametrize("mode", [None, "evolve", "freeze", "discard_value"])
def test_a_file_that_cannot_be_of_the_contract_ends_the_run_as_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str | None
) -> None:
    nameless = [{"pieces": 1, "price": 1.0}]
    folder = folder_of(tmp_path, "csv", mode, nameless)
    assert main(["run", str(folder), "--json"]) == 1
    assert "a file must have every required column" in capsys.readouterr().err
    if mode == "discard_value":
        return
    folder = folder_of(tmp_path / "other", "parquet", mode, [{**GOOD[0], "pieces": "many"}])
    assert main(["run", str(folder), "--json"]) == 1
    assert "a file must have columns of the contract's types" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mode", "destiny"), [("discard_row", "filtered"), ("quarantine", "refused")]
)
def test_a_file_without_a_required_column_may_be_taken_out_whole(
    tmp_path: Path, run: Run, mode: str, destiny: str
) -> None:
    nameless = [{"pieces": 1, "price": 1.0}, {"pieces": 2, "price": 1.5}]
    folder = folder_of(tmp_path, "csv", mode, nameless)
    result = run(folder)
    assert_balanced(folder, result)
    assert_as_ever(folder)
    assert destinies(folder)[destiny, "lacking"] == len(nameless)
