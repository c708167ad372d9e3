"""Without the check of where personal data goes, a run leaves it there: so the check is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from beam_pipelines import cli
from runners import audit
from schemas import contract_protection, contract_transforms, planning
from schemas.kafka_sink import kafka_sink
from tests import leaks
from tests.pipelines.byte_search import find
from transforms.sinks.kafka_rows import RowMessages

LEAKING = [route for route in leaks.routes() if route.left is not None]
NEEDLES = {route.left[1] for route in LEAKING if route.left is not None}
STEPS = "steps:\n"


def run(folder: Path, *flags: str) -> Path:
    assert cli.main(["run", str(folder), "--json", *flags]) == 0
    return folder / "out"


def seen(route: leaks.Route, found: dict[str, set[str]]) -> bool:
    """Whether a route's text is in a file where it would be."""
    assert route.left is not None
    part, needle = route.left
    return any(part in file for file in found.get(needle, ()))


@pytest.mark.parametrize("route", LEAKING, ids=lambda route: route.claim)
def test_with_the_check_switched_off_the_way_out_is_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: leaks.Route
) -> None:
    monkeypatch.setattr(planning, "check_personal", lambda *_: [])
    monkeypatch.setattr(contract_protection, "_unexplained", lambda _: False)
    monkeypatch.setattr(contract_transforms, "_personal", lambda _: False)
    folder = leaks.make(tmp_path, contract=route.contract, pipeline=route.pipeline)
    assert seen(route, find(NEEDLES, run(folder, "--sinks", "lake")))


def test_a_pipeline_that_passes_leaves_nothing_there(tmp_path: Path, capfd: Any) -> None:
    out = run(leaks.make(tmp_path))
    found = find([*NEEDLES, leaks.CANARY], out)
    assert not [route.claim for route in LEAKING if seen(route, found)]
    said = capfd.readouterr()
    assert not [n for n in NEEDLES | {leaks.CANARY} if n in said.out + said.err]
    # What is kept with a reason is there, so that the search would find more.
    assert any("processed_data/people/data" in file for file in found[leaks.CANARY])


@pytest.mark.parametrize("claim", ["keys of messages", "headers of messages"])
def test_with_the_check_switched_off_messages_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: str
) -> None:
    monkeypatch.setattr(planning, "check_personal", lambda *_: [])
    route = next(r for r in leaks.routes() if r.claim == claim)
    folder = leaks.make(tmp_path, pipeline=route.pipeline)
    plan = planning.load_plan(folder)
    sink = kafka_sink(plan)
    assert sink is not None
    lake = run(folder, "--sinks", "lake") / "lake"
    files = (lake / plan.processed.replace(".", "/")).rglob("*.parquet")
    (rows,) = pq.read_table(next(files)).to_batches()
    messages = RowMessages(plan.tables[plan.processed], sink, plan.contract)(rows, None)
    shown = [messages.keys, *messages.headers.values()]
    texts = [str(text) for values in shown for text in values.to_pylist()]
    assert any(leaks.CANARY in text for text in texts)


def test_a_group_by_pseudonym_is_a_group_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "check_personal", lambda *_: [])
    route = next(r for r in leaks.routes() if r.claim == "a group of one person, by pseudonym")
    out = run(leaks.make(tmp_path, pipeline=route.pipeline))
    files = (out / "lake/analytics/daily").rglob("*.parquet")
    assert {n for file in files for n in pq.read_table(file)["rows"].to_pylist()} == {1}


def test_an_expression_that_fails_on_it_says_no_value(tmp_path: Path, capfd: Any) -> None:
    step = f'{STEPS}  - filter: {{keep: "CAST(user AS BIGINT) > 0"}}\n'
    out = run(leaks.make(tmp_path, pipeline=(STEPS, step)))
    said = capfd.readouterr()
    assert '"refused": 6' in said.out
    assert leaks.CANARY not in said.out + said.err
    assert not find([leaks.CANARY], out)


def test_what_comes_out_in_clear_is_written_down_by_each_run(tmp_path: Path) -> None:
    folder = leaks.make(tmp_path)
    log = run(folder) / audit.FILE
    run(folder)
    assert audit.broken(log) is None
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "personal-data-released" in line
        assert "user (keep) -> processed_data.people" in line
        assert "the invoice names it" in line
    log.write_text("\n".join([lines[0].replace("invoice", "person"), lines[1]]) + "\n")
    assert audit.broken(log) == 1


def test_the_plan_lists_what_comes_out_in_clear(tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["plan", str(leaks.make(tmp_path))]) == 0
    said = capsys.readouterr().out
    assert "processed.user: user (keep) -> processed_data.people\n    the invoice names it" in said
