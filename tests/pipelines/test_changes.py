"""A file whose records have changed: met as the contract says, told, and taken up by `evolve`."""

from __future__ import annotations

import csv
import json
import re
import shlex
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
from tests.streams import Middle, commit, stream_plan
from tests.unit.transforms.raws import raw
from transforms.changes.kept import kept_changes
from transforms.changes.meet import SchemaChangeError
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


@pytest.mark.parametrize("form", FORMS)
def test_what_was_quarantined_lands_once_with_its_column_when_the_contract_has_it(
    tmp_path: Path, run: Run, form: str
) -> None:
    folder = folder_of(tmp_path, form, "quarantine", NEW)
    pipeline = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(pipeline.replace("lake: {}", "lake: {}, warehouse: {}"))
    run(folder)
    shown = run(folder, "--dry-run", verb="evolve")
    assert "coupon" not in (folder / "contract.odcs.yaml").read_text()
    told = run(folder, verb="evolve")
    assert told["versions"] == ["1.0.0", "1.1.0"]
    assert told["diff"] == shown["diff"]
    assert (told["applied"], shown["applied"]) == (True, False)
    assert told["left"] == []
    text = (folder / "contract.odcs.yaml").read_text()
    before = CONTRACT.format(mode="quarantine").splitlines()
    assert [line for line in before if line not in text.splitlines()] == [before[3]]
    assert "version: 1.1.0   # raised by evolve" in text
    coupon = load_contract(folder / "contract.odcs.yaml").columns[-1]
    assert (coupon.name, coupon.logical, coupon.required) == ("coupon", "string", False)
    done = run(folder, verb="dlq replay")
    assert done["rows"] | {} == done["rows"] | {"replayed": len(NEW), "kept": len(NEW)}
    rows = landed(folder)
    assert {k: rows[k]["coupon"] for k in rows if k >= 100} == {
        row["sale_id"]: row["coupon"] for row in NEW
    }
    assert_as_ever(folder)
    assert Out(folder / "out").rows(REFUSED) == []
    inside = {row["sale_id"]: row["coupon"] for row in Out(folder / "out").warehouse(PROCESSED)}
    assert inside == {key: row["coupon"] for key, row in rows.items()}
    assert run(folder, verb="dlq replay")["rows"]["replayed"] == 0
    assert run(folder)["rows"]["read"] == 0
    assert len(landed(folder)) == len(GOOD) + len(NEW)


def test_rows_that_landed_without_a_column_have_it_after_a_rebuild(
    tmp_path: Path, run: Run
) -> None:
    folder = folder_of(tmp_path, "json", "evolve", NEW)
    run(folder)
    run(folder, verb="evolve")
    result = run(folder)
    assert any("--rebuild" in warning for warning in result["warnings"])
    assert {row["coupon"] for row in landed(folder).values()} == {None}
    run(folder, "--rebuild")
    want = {row["sale_id"]: row["coupon"] for row in NEW}
    assert {k: row["coupon"] for k, row in landed(folder).items() if k >= 100} == want


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["quarantine", "discard_row", "freeze"])
def test_an_evolved_contract_reads_the_older_files_too(
    tmp_path: Path, run: Run, form: str, mode: str
) -> None:
    folder = folder_of(tmp_path, form, mode, NEW)
    assert main(["run", str(folder)]) == (1 if mode == "freeze" else 0)
    run(folder, verb="evolve")
    result = run(folder, "--rebuild")
    assert result["rows"]["kept"] == result["rows"]["read"] == len(GOOD) + len(NEW)
    assert_balanced(folder, result)
    assert {row["sale_id"]: row["coupon"] for row in landed(folder).values()} == {
        row["sale_id"]: row.get("coupon") for row in (*GOOD, *NEW)
    }
    assert destinies(folder) == {("kept", ""): len(GOOD) + len(NEW)}
    told = [(c["kind"], c["column"], c["mode"], c["rows"]) for c in result["changes"]]
    old = [("lacking", "coupon", "may_lack", len(GOOD))]
    assert told == ([] if form == "json" else old)  # a record of JSON lines need not have a key
    assert run(folder, "--dry-run", verb="evolve")["left"] == []
    write(folder / "data" / f"c.{form}", [{**row, "sale_id": 200} for row in GOOD[:1]])
    assert run(folder)["rows"]["kept"] == 1
    assert landed(folder)[200]["coupon"] is None


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("mode", "destiny"), [("discard_row", "filtered"), ("quarantine", "refused")]
)
def test_a_column_that_was_always_there_may_not_be_lacking_after_evolve(
    tmp_path: Path, run: Run, form: str, mode: str, destiny: str
) -> None:
    folder = folder_of(tmp_path, form, mode, NEW)
    run(folder)
    run(folder, verb="evolve")
    run(folder, "--rebuild")
    write(folder / "data" / f"c.{form}", [{**row, "sale_id": 200} for row in LACKING[:1]])
    assert run(folder)["rows"][destiny] == 1
    assert destinies(folder)[destiny, "lacking"] == 1
    assert 200 not in landed(folder)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_of_a_renamed_column_both_names_are_told_and_evolve_says_what_becomes_of_each(
    tmp_path: Path, run: Run, form: str
) -> None:
    renamed = [{"sale_id": 100 + i, "pieces": 1, "cost": 1.5} for i in range(4)]
    folder = folder_of(tmp_path, form, "quarantine", renamed)
    result = run(folder)
    assert destinies(folder)["refused", "undeclared"] == len(renamed)
    assert [(c["kind"], c["column"], c["rows"]) for c in result["changes"]] == [
        ("lacking", "price", len(renamed)),
        ("undeclared", "cost", len(renamed)),
    ]
    told = run(folder, verb="evolve")
    assert told["changed"][0].startswith("cost: added")
    assert [line.partition(":")[0] for line in told["left"]] == ["price"]
    assert "penstock:mayLack: true" in told["left"][0]


@pytest.mark.parametrize(
    ("mode", "first"),
    [
        (None, "dlq replay"),
        ("evolve", "dlq replay"),
        ("freeze", "run"),
        ("quarantine", "dlq replay"),
        ("discard_value", "run"),
        ("discard_row", "run"),
    ],
)
def test_what_evolve_says_is_to_be_done_lands_every_row_with_its_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str | None, first: str
) -> None:
    folder = folder_of(tmp_path, "csv", mode, NEW)
    assert main(["run", str(folder)]) == (1 if mode == "freeze" else 0)
    capsys.readouterr()
    assert main(["evolve", str(folder)]) == 0
    said = re.findall(r": penstock (.+)", capsys.readouterr().out)
    assert said[0].startswith(first)
    assert said[-1].endswith(" --rebuild")
    for line in said:
        assert main(shlex.split(line)) == 0
    assert {row["sale_id"]: row["coupon"] for row in landed(folder).values()} == {
        row["sale_id"]: row.get("coupon") for row in (*GOOD, *NEW)
    }


def test_rows_refused_for_a_column_that_files_may_lack_land_when_the_contract_says_so(
    tmp_path: Path, run: Run
) -> None:
    folder = folder_of(tmp_path, "csv", "quarantine", LACKING)
    run(folder)
    told = run(folder, "--dry-run", verb="evolve", code=1)
    assert "penstock:mayLack: true" in told["left"][0]
    path = folder / "contract.odcs.yaml"
    own = '\n        customProperties: [{property: "penstock:mayLack", value: true}]'
    was = "logicalType: number"
    path.write_text(path.read_text().replace(was, f"{was}{own}"))
    assert run(folder, verb="dlq replay")["rows"]["kept"] == len(LACKING)
    assert {row["price"] for key, row in landed(folder).items() if key >= 100} == {None}


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
    [(None, "kept"), ("discard_row", "filtered"), ("quarantine", "refused")],
)
def test_a_stream_meets_changes_as_a_batch_does_and_keeps_what_it_saw(
    tmp_path: Path, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, "json", mode, NEW)
    plan = stream_plan(folder)
    middle = Middle(plan)
    payloads = [json.dumps(row).encode() for row in (*GOOD, *NEW)]
    memory, one = middle.begins(), middle.committer()
    for at in range(0, len(payloads), 4):
        batch = raw(*(("t/0", at + i, p) for i, p in enumerate(payloads[at : at + 4])))
        memory = commit(one, memory, middle.ship(batch))
    assert_as_ever(folder)
    assert len(landed(folder)) == len(GOOD) + (len(NEW) if destiny == "kept" else 0)
    rule = "" if destiny == "kept" else "undeclared"
    assert destinies(folder)[destiny, rule] == len(NEW) + (len(GOOD) if destiny == "kept" else 0)
    assert balance(open_lake(plan), plan, "run").faults == ()
    (change,) = kept_changes(plan)
    assert (change.name, change.rows, change.source) == ("coupon", len(NEW), "t/0")
    assert change.position == len(GOOD)


def test_a_frozen_stream_ends_at_a_change_and_what_came_before_has_landed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "json", "freeze", NEW)
    middle = Middle(stream_plan(folder))
    good, new = (
        raw(*(("t/0", at + i, json.dumps(row).encode()) for i, row in enumerate(rows)))
        for at, rows in ((0, GOOD), (len(GOOD), NEW))
    )
    memory = commit(middle.committer(), middle.begins(), middle.ship(good))
    with pytest.raises(SchemaChangeError, match="t/0 at 8"):
        middle.ship(new)
    assert [c.name for c in kept_changes(middle.plan)] == ["coupon"]
    path = folder / "contract.odcs.yaml"
    path.write_text(path.read_text().replace("freeze", "evolve"))
    again = Middle(stream_plan(folder))
    commit(again.committer(), memory, again.ship(new))
    assert len(landed(folder)) == len(GOOD) + len(NEW)


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


def test_a_replay_is_simulated_before_there_is_a_key_and_makes_none(
    tmp_path: Path, run: Run
) -> None:
    mails = [{**row, "sale_id": 100 + i, "mail": f"a{i}@example.org"} for i, row in enumerate(GOOD)]
    folder = folder_of(tmp_path, "json", "evolve", mails)
    path, most = folder / "contract.odcs.yaml", "\n        logicalTypeOptions: {maximum: 1}"
    path.write_text(path.read_text().replace("Type: number", f"Type: number{most}"))
    refused = run(folder)["rows"]["refused"]
    assert refused > 0
    run(folder, verb="evolve")  # adds the first column that is protected
    path.write_text(path.read_text().replace(most, ""))
    key = folder / ".penstock-key"
    would = run(folder, "--simulate", verb="dlq replay")
    assert would["rows"]["kept"] == refused
    assert ["no key could be read" in warning for warning in would["warnings"]] == [True]
    assert not key.exists()
    did = run(folder, verb="dlq replay")
    assert did["became"] == would["became"]
    assert run(folder, "--simulate", verb="dlq replay")["warnings"] == []
    key.unlink()  # now rows have landed that were protected with it
    assert main(["dlq", "replay", str(folder), "--simulate"]) == 2


LISTS = """\
      - name: state
        logicalType: string
        enum:
          - {value: open}   # at first
          - value: paid
        {more}
      - {name: step, logicalType: integer, enum: [{value: 1}, {value: 2}]}
"""


def listed(root: Path, mode: str, more: str, rows: list[dict[str, Any]]) -> Path:
    folder = folder_of(root, "json", mode, [{"sale_id": 100 + i, **r} for i, r in enumerate(rows)])
    path = folder / "contract.odcs.yaml"
    path.write_text(path.read_text() + LISTS.replace("{more}\n", f"{more}\n" if more else "\n"))
    return folder


@pytest.mark.parametrize("mode", ["evolve", "quarantine"])
def test_values_that_an_enumeration_refused_are_listed_by_evolve_and_their_rows_land(
    tmp_path: Path, run: Run, mode: str
) -> None:
    rows = [{"state": state} for state in ("lost", "paid", "sent back", "lost")]
    rows += [{"state": "open", "step": 3}, {"state": "new", "step": 1, "sale_id": "x"}]
    folder = listed(tmp_path, mode, "", rows)
    assert run(folder)["rows"]["refused"] == 5
    kept = (folder / "out/changes").rglob("*") if (folder / "out/changes").exists() else []
    assert not any(b"lost" in file.read_bytes() for file in kept if file.is_file())
    told = run(folder, verb="evolve")
    assert told["changed"] == [
        "state: lists 'lost', 'sent back' too, of 3 refused rows",
        "step: lists 3 too, of 1 refused row",
    ]
    text = (folder / "contract.odcs.yaml").read_text()
    assert (
        """\
          - value: paid
          - {value: lost}
          - {value: sent back}
"""
        in text
    )
    assert "enum: [{value: 1}, {value: 2}, {value: 3}]" in text
    assert run(folder, verb="dlq replay")["rows"]["kept"] == 4
    assert run(folder, verb="evolve")["changed"] == []


@pytest.mark.parametrize(
    ("more", "states", "said"),
    [
        ("classification: confidential", ["lost"], "it is personal"),
        ("", [f"canary {n}" for n in range(11)], "more than 10 different values"),
        ("", ["canary@example.org"], "do not look like words"),
        ("", [f"192.168.7.{n}" for n in range(8)], "look personal"),
        ("", ["Susan Canary"], "look personal"),
    ],
    ids=["protected", "many", "mail", "addresses", "person"],
)
def test_values_that_may_be_personal_or_are_many_are_not_listed(
    tmp_path: Path,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    more: str,
    states: list[str],
    said: str,
) -> None:
    folder = listed(tmp_path, "evolve", more, [{"state": state} for state in states])
    assert run(folder)["rows"]["refused"] == len(states)
    before = (folder / "contract.odcs.yaml").read_text()
    assert main(["evolve", str(folder)]) == 1
    told = capsys.readouterr().out
    assert said in told
    assert not any(state in told for state in states)
    assert (folder / "contract.odcs.yaml").read_text() == before
