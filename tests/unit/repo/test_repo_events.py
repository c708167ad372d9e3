"""The generated events have the shape that the reference job is measured on."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from beam_pipelines.events import generate


def test_the_same_number_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        generate.generate(500, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    generate.generate(500, tmp_path / "c", seed=8)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_two_in_a_hundred_repeat_the_event_before_and_one_in_two_hundred_is_broken() -> None:
    rows = generate.lines(0, 20_000, 7)
    good = [json.loads(r) for r in rows if r != generate.BROKEN_LINE]
    broken = len(rows) - len(good)
    ids = Counter(row["event_id"] for row in good)
    assert 60 <= broken <= 140
    assert 320 <= len(good) - len(ids) <= 480
    runs = [line for line, _ in groupby(r for r in rows if r != generate.BROKEN_LINE)]
    assert len(runs) == len(ids), "copies of an event follow it directly, byte for byte"


def test_an_event_has_the_keys_of_the_contract_and_more() -> None:
    row = json.loads(generate.lines(0, 1, 7)[0])
    assert set(row) == {"event_id", "event_time", "user_id", "event_type", "properties"}
    assert set(row["properties"]) == {"country", "email", "ip", "amount", "page"}


def test_the_command_says_how_it_is_used_when_it_is_used_wrongly() -> None:
    assert generate.main(["many"]) == 2


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert generate.main(["10", str(tmp_path / "file" / "events.jsonl")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}/file must be a place that can be read")
