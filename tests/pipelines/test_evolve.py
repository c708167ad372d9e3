"""What runs have seen becomes part of the contract, and every row lands with it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from schemas.contract_file import load_contract
from tests.pipelines.shop import Out
from tests.pipelines.test_changes import (
    CONTRACT,
    FORMS,
    GOOD,
    LACKING,
    NEW,
    PROCESSED,
    REFUSED,
    Run,
    assert_as_ever,
    assert_balanced,
    destinies,
    folder_of,
    landed,
    run,
    write,
)

__all__ = ["run"]


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
    text = (folder / "contract.odcs.yaml").read_text()
    assert ("mayLack" in text) is (form != "json")
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


def test_a_name_among_refused_values_is_not_listed_and_the_others_are(
    tmp_path: Path, run: Run
) -> None:
    states = ["lost", "Susan Canary", "Kanarina Canaryname", "susan", "7"]
    folder = listed(tmp_path, "evolve", "", [{"state": state} for state in states])
    assert run(folder)["rows"]["refused"] == len(states)
    assert run(folder, verb="evolve")["changed"] == [
        "state: lists '7', 'lost' too, of 2 refused rows"
    ]
    text = (folder / "contract.odcs.yaml").read_text()
    assert not any(name in text.lower() for name in ("canary", "susan"))


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
