"""Positions that are gone while a stream runs: in the ledger, in `status`, at the end of the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pipelines import stream_follow, stream_status
from beam_pipelines.balance import balance
from beam_pipelines.cli import main
from beam_pipelines.stream_follow import Watching, follow
from beam_pipelines.stream_gaps import gaps
from schemas.plan import Plan
from tests.pipelines.shop import LEDGER, PIPELINE, PROCESSED, Out, make_folder, sales
from tests.streams import Middle, commit, raw, stream_plan
from transforms.sources.streams.raw import Span, with_spans
from transforms.sources.streams.vector import Place

LINES = sales(0, 40).splitlines()
SOURCE = "c/t/0"
PLACES = {SOURCE: Place(position=0, end=55, label="sales/0")}
SAID = "passed over: 15 positions of sales/0, from 20 to 34, were gone"


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    face = "  stream: {kafka: {topic: sales, brokers: b, on_gap: skip}}\nsteps:\n"
    return Middle(
        stream_plan(make_folder(tmp_path, pipeline=PIPELINE.replace("steps:\n", face, 1)))
    )


def with_gap(plain: pa.RecordBatch, start: int, end: int) -> pa.RecordBatch:
    """The batch as a reader makes it that has passed over positions before it."""
    rows = Span(SOURCE, end, end + plain.num_rows, plain.num_rows)
    return with_spans(plain, [rows, Span(SOURCE, start, end, 0, lost=True)])


def entries(plan: Plan) -> list[tuple[tuple[int, int], set[str], int]]:
    """Ranges of the ledger's entries, whether they are a gap, and their rows."""
    found: dict[tuple[int, int], tuple[set[str], int]] = {}
    for row in Out(plan.out).rows(LEDGER):
        (one,) = row["ranges"]
        rules, rows = found.get((one["start"], one["end"]), (set(), 0))
        rules |= {"gap"} & {row["rule"]}
        found[one["start"], one["end"]] = rules, rows + row["rows"]
    return [(place, *what) for place, what in sorted(found.items())]


def run_over_a_gap(middle: Middle) -> Any:
    before = middle.ship(raw(LINES[:20]))
    behind = middle.ship(with_gap(raw(LINES[20:], first=35), 20, 35))
    one = middle.committer()
    memory = commit(one, middle.begins(), before)
    commit(one, memory, behind)
    return behind


def test_a_gap_is_an_entry_of_its_own_beside_the_rows_of_its_commit(middle: Middle) -> None:
    behind = run_over_a_gap(middle)
    plan = middle.plan
    want = [((0, 20), set(), 20), ((20, 35), {"gap"}, 0), ((35, 55), set(), 20)]
    assert entries(plan) == want
    assert balance(middle.lake, plan, "run").faults == ()
    assert "15 positions hold no message" in balance(middle.lake, plan, "run").line()
    kept = len(Out(plan.out).rows(PROCESSED))
    # It is handed in again after a crash: nothing is passed over twice.
    commit(middle.committer(), middle.begins(), behind)
    assert entries(plan) == want
    assert len(Out(plan.out).rows(PROCESSED)) == kept
    (found,) = gaps(middle.lake, plan, PLACES)
    assert (found.said(), found.seq) == (SAID, 2)
    assert gaps(middle.lake, plan, PLACES, run_id="run") == [found]
    assert gaps(middle.lake, plan, PLACES, run_id="another") == []
    assert gaps(middle.lake, plan, PLACES, after=2) == []


def test_a_batch_of_nothing_but_a_gap_lands_it(middle: Middle) -> None:
    commit(middle.committer(), middle.begins(), middle.ship(with_gap(raw([]), 0, 15)))
    assert entries(middle.plan) == [((0, 15), {"gap"}, 0)]
    assert balance(middle.lake, middle.plan, "run").faults == ()


def test_positions_without_a_message_behind_a_gap_are_in_the_ledger_too(middle: Middle) -> None:
    marks = with_spans(raw([]), [Span(SOURCE, 15, 20, 0), Span(SOURCE, 0, 15, 0, lost=True)])
    commit(middle.committer(), middle.begins(), middle.ship(marks))
    assert entries(middle.plan) == [((0, 15), {"gap"}, 0), ((15, 20), set(), 0)]
    assert balance(middle.lake, middle.plan, "run").faults == ()


def test_a_gap_of_which_a_part_is_done_passes_over_the_rest(middle: Middle) -> None:
    one = middle.committer()
    memory = commit(one, middle.begins(), middle.ship(raw(LINES[:20])))
    commit(one, memory, middle.ship(with_gap(raw(LINES[20:], first=35), 10, 35)))
    assert ((20, 35), {"gap"}, 0) in entries(middle.plan)
    assert balance(middle.lake, middle.plan, "run").faults == ()


def test_status_says_what_was_passed_over_and_what_is_gone(
    middle: Middle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_over_a_gap(middle)
    monkeypatch.setattr(stream_status, "ends", lambda _: PLACES)
    assert main(["status", str(middle.plan.folder)]) == 0
    said = capsys.readouterr().out
    assert (
        "passed over 15 positions that were gone; the last sales/0, 20 to 34, in commit 2" in said
    )
    assert "is gone" not in said
    anew = {"c/u/0": replace(PLACES[SOURCE], position=0)}  # the topic was made anew
    monkeypatch.setattr(stream_status, "ends", lambda _: anew)
    assert main(["status", str(middle.plan.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["notes"] == [f"passed over: {SOURCE} is gone, read up to 55"]
    assert told["passed_over"]["positions"] == 15
    (one,) = told["passed_over"]["gaps"]
    assert (one["partition"], one["from"], one["to"], one["commit"]) == (SOURCE, 20, 34, 2)


def test_a_stream_that_ends_at_a_gap_is_not_said_to_have_passed_over_one(
    middle: Middle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(middle.committer(), middle.begins(), middle.ship(raw(LINES)))
    monkeypatch.setattr(stream_status, "ends", lambda _: {})  # its topic is gone
    pipeline = middle.plan.folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("on_gap: skip", "on_gap: fail"))
    assert main(["status", str(middle.plan.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []


class Runs:
    """A job that runs for so many looks."""

    id, page = "j", ""

    def __init__(self, looks: int, at: Any) -> None:
        self.looks, self.at = looks, at

    def over(self) -> bool:
        self.looks -= 1
        self.at(self.looks)
        return self.looks < 0

    def trouble(self) -> Exception | None:
        return None


def test_who_follows_a_stream_is_told_while_it_runs_and_once(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LOOK_S", "_COMMITS_S", "_GAPS_S"):
        monkeypatch.setattr(stream_follow, name, 0.0)
    monkeypatch.setattr(stream_follow, "ends", lambda _: PLACES)
    told: list[str] = []

    def at(looks: int) -> None:
        if looks == 4:
            run_over_a_gap(middle)

    job: Any = Runs(6, at)
    watching = Watching(warn=told.append)
    assert follow(job, middle.plan, middle.lake, watching)
    assert told == [SAID]
