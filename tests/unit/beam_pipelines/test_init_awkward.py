"""Samples that are awkward begin a pipeline all the same, or are said why they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from beam_pipelines import init_pipeline
from beam_pipelines.cli import main
from beam_pipelines.init import Begun, begin
from schemas.errors import UsageError
from tests.samples import csv_proposal, of_column
from transforms.inference import infer


def begun(folder: Path, *samples: str) -> tuple[Begun, dict[str, Any], str]:
    """What is begun over samples, its pipeline file, and the text of its contract."""
    made = begin([str(folder / name) for name in samples], folder / "new", None)
    text = (folder / "new/contract.odcs.yaml").read_text(encoding="utf-8")
    pipeline = yaml.safe_load((folder / "new/pipeline.yaml").read_text(encoding="utf-8"))
    return made, pipeline, text


def lines(path: Path, *records: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def test_names_of_another_script_are_measured_grouped_by_and_added(tmp_path: Path) -> None:
    rows = [
        f"{i % 27 + 1}.1.2024,{i * 5 % 97},{'да' if i % 2 else 'нет'},k{i % 9}\n"
        for i in range(400)
    ]
    (tmp_path / "s.csv").write_text("Дата,Сумма,Вид,код\n" + "".join(rows), encoding="utf-8")
    table = "код,Имя места\n" + "".join(f"k{i},m{i}\n" for i in range(9))
    (tmp_path / "places.csv").write_text(table, encoding="utf-8")
    _, pipeline, _ = begun(tmp_path, "s.csv", "places.csv")
    (rollup,) = pipeline["aggregates"]
    assert rollup["measures"] == {"records": "count(*)", "mean_1": 'avg("Сумма")'}
    (enrich,) = [step["enrich"] for step in pipeline["steps"] if "enrich" in step]
    assert {name: added["column"] for name, added in enrich["add"].items()} == {
        "places_2": "Имя места"
    }


def test_a_long_name_is_measured(tmp_path: Path) -> None:
    name = "x" * 126
    rows = "".join(f"2024-01-{i % 27 + 1:02},{i * 5 % 97}\n" for i in range(400))
    (tmp_path / "s.csv").write_text(f"day,{name}\n{rows}")
    _, pipeline, _ = begun(tmp_path, "s.csv")
    assert pipeline["aggregates"][0]["measures"]["mean_1"] == f"avg({name})"


@pytest.mark.parametrize("sign", ["\x00", "\x01", "\x1f", "\x7f", "\x85", "\x9f"])
def test_control_characters_in_values_and_keys_are_in_no_file(tmp_path: Path, sign: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": i, "state": ["a", f"b{sign}", "c"][i % 3]} for i in range(400)
    ]
    lines(tmp_path / "s.jsonl", *({**row, f"k{sign}": 1, "in": {f"k{sign}": 1}} for row in rows))
    made, _, text = begun(tmp_path, "s.jsonl")
    assert list(made.proposal.left_out) == [f"k{sign}"]
    assert sign not in text
    assert [prop.enum for prop in made.proposal.properties if prop.key == "state"] == [()]


@pytest.mark.parametrize("name", ["religion", "diagnosis", "lohn"])
def test_nothing_is_grouped_by_what_people_are_harmed_by(tmp_path: Path, name: str) -> None:
    rows = "".join(f"2024-01-{i % 27 + 1:02},{'abc'[i % 3]}x,{i * 5 % 97}\n" for i in range(400))
    for column, group in ((name, None), ("state", ["state"])):
        (tmp_path / "s.csv").write_text(f"day,{column},weight\n{rows}")
        made = begin([str(tmp_path / "s.csv")], tmp_path / column, None)
        pipeline = yaml.safe_load((made.folder / "pipeline.yaml").read_text(encoding="utf-8"))
        assert pipeline["aggregates"][0].get("group_by") == group


def test_an_address_with_a_mail_in_it_can_be_protected(tmp_path: Path) -> None:
    rows = "".join(f"{i},https://shop.example/u?email=a{i}@b.example\n" for i in range(60))
    (tmp_path / "s.csv").write_text(f"id,url\n{rows}")
    _, _, text = begun(tmp_path, "s.csv")
    assert "within" in text


def test_what_may_be_names_of_persons_is_neither_listed_nor_grouped_by(tmp_path: Path) -> None:
    names = ("Anna Müller", "Kano Reth", "Sabine Lorenz", "Vilo Kram", "Oto Brandt")
    rows = "".join(f"2024-01-{i % 27 + 1:02},{names[i % 5]},{i * 5 % 97}\n" for i in range(400))
    (tmp_path / "s.csv").write_text(f"day,seat_for,weight\n{rows}", encoding="utf-8")
    _, pipeline, text = begun(tmp_path, "s.csv")
    assert "may be names of persons" in text
    assert not any(name in text for name in names)
    assert "group_by" not in pipeline["aggregates"][0]


@pytest.mark.parametrize(("keys", "protect"), [(["a"], None), (["a", "email"], "drop")])
def test_a_map_is_an_open_object_even_if_the_sample_has_one_key(
    tmp_path: Path, keys: list[str], protect: str | None
) -> None:
    maps = [
        [(key, f"x{i}@b.example" if key == "email" else "1") for key in keys] for i in range(99)
    ]
    table = pa.table({"id": range(99), "m": pa.array(maps, pa.map_(pa.string(), pa.string()))})
    pq.write_table(table, tmp_path / "s.parquet")
    made, _, text = begun(tmp_path, "s.parquet")
    (prop,) = [prop for prop in made.proposal.properties if prop.key == "m"]
    hidden = {child.key: child.protect for child in prop.children if child.protect}
    assert prop.open
    assert hidden == ({"email": "pseudonymize"} if protect else {})
    assert "penstock:open" in text
    assert main(["run", str(made.folder), "--json"]) == 0


def test_negative_amounts_of_accountants_are_noted() -> None:
    said = csv_proposal(of_column(["1.50", "(2.75)", "(1)", "30.00"] * 9)).properties[0]
    assert said.logical == "string"
    assert any("in brackets, as accountants write them" in note for note in said.notes)


def test_a_lookup_table_of_personal_columns_is_passed_over_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.csv").write_text(
        "id,who,weight\n" + "".join(f"{i},k{i % 20},{i * 5 % 97}\n" for i in range(400))
    )
    (tmp_path / "people.csv").write_text(
        "who,email\n" + "".join(f"k{i},a{i}@b.example\n" for i in range(20))
    )
    samples = [str(tmp_path / name) for name in ("s.csv", "people.csv")]
    assert main(["init", *samples, "--into", str(tmp_path / "new"), "--yes"]) == 0
    assert "no lookup   people: all that it could add is personal" in capsys.readouterr().out
    assert "enrich" not in (tmp_path / "new/pipeline.yaml").read_text()


def test_a_key_with_a_control_character_does_not_reach_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(tmp_path / "s.jsonl", *({"id": i, "k\x1b[2J": 1} for i in range(9)))
    assert main(["init", str(tmp_path / "s.jsonl"), "--into", str(tmp_path / "new"), "--yes"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "left out" in told


@pytest.mark.parametrize(
    ("where", "name", "other", "cause"),
    [
        (init_pipeline, "behind", lambda *_: "mean_Сумма", "got 'mean_Сумма'"),
        (infer, "_CONTROL", "$^", "the column state: text must be Unicode without NUL"),
    ],
    ids=["pipeline", "contract"],
)
def test_what_cannot_be_begun_is_said_by_what_is_in_the_sample(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: ModuleType,
    name: str,
    other: object,
    cause: str,
) -> None:
    rows = ({"day": f"2024-01-{i % 27 + 1:02}", "n": i, "state": "ab\0"[i % 3]} for i in range(400))
    good = ({**row, "state": "x"} for row in rows) if where is init_pipeline else rows
    lines(tmp_path / "s.jsonl", *good)
    monkeypatch.setattr(where, name, other)
    with pytest.raises(UsageError) as said:
        begin([str(tmp_path / "s.jsonl")], tmp_path / "new", None)
    assert cause in str(said.value)
    assert str(tmp_path / "s.jsonl") in str(said.value)
    assert ".yaml" not in str(said.value)
    assert not (tmp_path / "new").exists()
