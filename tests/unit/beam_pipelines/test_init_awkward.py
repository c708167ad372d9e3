"""Samples that are awkward begin a pipeline all the same, or are said why they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from beam_pipelines.init import Begun, begin


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
