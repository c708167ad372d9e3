"""Sessions in a stream's commits: at each of them those of the rows that are in the lake."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.shop import LEDGER, PROCESSED, START, Out, make_folder, plain_row, sales
from tests.pipelines.visits import GAP, VISITS, WITH_SESSIONS, assert_visits
from tests.streams import Middle, commit, raw, spread, stream_plan
from transforms.commit import refresh, session_keys
from transforms.continuous import rollup, sessions
from transforms.continuous.committer import Memory
from transforms.continuous.rollup import ALWAYS

LINES = sales(0, 400, broken=4, copies=40).splitlines()


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path, pipeline=WITH_SESSIONS)))


def _holds(middle: Middle) -> list[dict[str, Any]]:
    out = Out(middle.plan.out)
    stored = out.rows(VISITS)
    assert_visits(stored, [plain_row(row) for row in out.rows(PROCESSED)])
    return stored


def _us(moment: Any) -> int:
    return round(moment.timestamp() * 1e6)


def _line(number: int, seconds: float, country: str = "de") -> bytes:
    at = (START + timedelta(seconds=seconds)).isoformat()
    body = '"pieces": 1, "properties": {"email": "a@example.org", "amount": 20, "note": null}'
    text = f'{{"sale_id": "t{number}", "sold_at": "{at}", "country": "{country}", {body}}}'
    return text.encode()


@pytest.mark.parametrize("seed", [0, 1])
def test_any_order_of_rows_leaves_their_sessions_at_every_commit(middle: Middle, seed: int) -> None:
    one, memory = middle.committer(), Memory()
    batches = spread(LINES, partitions=3, size=40, seed=seed)
    rng = random.Random(seed)
    while batches:
        some = [batches.pop(0) for _ in range(min(len(batches), rng.randint(1, 8)))]
        memory = commit(one, memory, middle.ship(*some))
        _holds(middle)


def test_rows_in_order_of_time_are_final_as_time_passes(middle: Middle) -> None:
    lines = sorted(LINES, key=lambda line: line.partition(b"T0")[2][:7])
    one, memory = middle.committer(), Memory()
    finals = []
    for at in range(0, len(lines), 120):
        memory = commit(one, memory, middle.ship(raw(lines[at : at + 120], first=at)))
        stored = _holds(middle)
        closed = max(row["window_start"] for row in stored)
        memory = commit(one, replace(memory, closed_us=_us(closed)))
        stored = _holds(middle)
        # Not later than a step after it is over, and never before.
        step = timedelta(microseconds=max(_us(START + GAP / 8) - _us(START), 1_000_000))
        assert all(row["window_end"] <= closed for row in stored if row["_final"])
        assert all(row["_final"] for row in stored if row["window_end"] + step <= closed)
        finals.append(sum(row["_final"] for row in stored))
    assert finals == sorted(finals)
    assert finals[-2] > 50


def test_a_new_process_reads_what_new_rows_join_back_from_the_lake(middle: Middle) -> None:
    memory = Memory()
    for at in range(0, len(LINES), 150):
        memory = commit(
            middle.committer(), memory, middle.ship(raw(LINES[at : at + 150], first=at))
        )
        _holds(middle)


def test_sessions_that_are_forgotten_are_found_again(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "_KEPT_ROWS", 7)
    monkeypatch.setattr(refresh, "_FILE_ROWS", 5)
    monkeypatch.setattr(session_keys, "_MOST", 3)
    one, memory = middle.committer(), Memory()
    for at in range(0, len(LINES), 150):
        memory = commit(one, memory, middle.ship(raw(LINES[at : at + 150], first=at)))
        _holds(middle)


def test_what_is_kept_spares_reading_the_lake(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw([_line(0, 0), _line(1, 50)])))
    monkeypatch.setattr(sessions, "Earlier", _never)
    memory = commit(one, memory, middle.ship(raw([_line(2, 90)], first=2)))
    (row,) = _holds(middle)
    assert row["sales"] == 3
    with pytest.raises(AssertionError, match="read the lake"):
        commit(middle.committer(), memory, middle.ship(raw([_line(3, 100)], first=3)))


def _never(*_: Any) -> Any:
    msg = "read the lake"
    raise AssertionError(msg)


def test_a_row_between_two_sessions_takes_the_place_of_both(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    lines = [_line(0, 0), _line(1, 200), _line(2, 0, "fr"), _line(3, 200, "fr")]
    memory = commit(one, memory, middle.ship(raw(lines)))
    assert len(_holds(middle)) == 4
    commit(one, memory, middle.ship(raw([_line(4, 100)], first=4)))
    stored = _holds(middle)
    epochs = {(row["country"], row["sales"]): row["_epoch"] for row in stored}
    assert epochs == {("de", 3): 2, ("fr", 1): 1}
    assert len(stored) == 3


def test_a_chain_over_many_commits_is_one_session(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    for number in range(6):
        # The newest first: each commit puts a row before all that are there.
        memory = commit(
            one, memory, middle.ship(raw([_line(number, 900 - 100 * number)], first=number))
        )
        (row,) = _holds(middle)
        assert row["sales"] == number + 1


def test_a_late_row_is_in_the_lake_and_the_ledger_but_in_no_session(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw([_line(0, 0)], watermark=START)))
    before = Out(middle.plan.out).rows(VISITS)
    # It would go on with the session that is there, but is over by itself.
    late = raw([_line(1, 60)], first=1, watermark=START + timedelta(seconds=60) + GAP)
    commit(one, memory, middle.ship(late))
    out = Out(middle.plan.out)
    assert len(out.rows(PROCESSED)) == 2
    assert out.rows(VISITS) == before
    assert Counter(r["destiny"] for r in out.rows(LEDGER)) == {"kept": 1, "late": 1}


def test_a_session_that_is_final_is_open_again_when_a_row_joins_it(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw([_line(0, 0)])))
    closed = one.next_close_us()
    assert closed is not None
    assert _us(START + GAP) <= closed < _us(START + GAP * 9 / 8)
    memory = commit(one, replace(memory, closed_us=closed))
    assert [row["_final"] for row in _holds(middle)] == [True]
    assert one.next_close_us() == _us(START + timedelta(hours=1))  # of the hourly aggregate
    memory = commit(one, memory, middle.ship(raw([_line(1, 100)], first=1)))
    assert [(row["sales"], row["_final"]) for row in _holds(middle)] == [(2, False)]
    memory = commit(one, replace(memory, closed_us=ALWAYS))
    assert [row["_final"] for row in _holds(middle)] == [True]
    commits = len(Out(middle.plan.out).done())
    commit(one, memory)
    assert len(Out(middle.plan.out).done()) == commits


def test_a_new_process_makes_sessions_final_that_another_left_open(middle: Middle) -> None:
    memory = commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    memory = commit(middle.committer(), replace(memory, closed_us=_us(START + 40 * GAP)))
    stored = _holds(middle)
    assert {row["_final"] for row in stored} == {True, False}
    assert all(row["_final"] == (row["window_end"] <= START + 40 * GAP) for row in stored)
    commit(middle.committer(), replace(memory, closed_us=ALWAYS))
    assert all(row["_final"] for row in _holds(middle))


def test_a_shipment_of_which_half_has_landed_leaves_no_session_open_for_ever(
    middle: Middle,
) -> None:
    memory = commit(middle.committer(), Memory(), middle.ship(raw(LINES[:200])))
    one, closed = middle.committer(), _us(START + 60 * GAP)
    again = Middle(middle.plan).ship(raw(LINES[100:300], first=100))
    memory = commit(one, replace(memory, closed_us=closed), again)
    _holds(middle)
    commit(one, memory)
    stored = _holds(middle)
    assert {row["_final"] for row in stored} == {True, False}
    assert all(row["_final"] == (row["window_end"] <= START + 60 * GAP) for row in stored)


def test_rows_that_another_process_landed_are_joined(middle: Middle) -> None:
    one, other = middle.committer(), middle.committer()
    half = len(LINES) // 2
    memory = commit(one, Memory(), middle.ship(raw(LINES[:half])))
    commit(other, memory, middle.ship(raw(LINES[half:], "c/t/1")))
    _holds(middle)
    commit(one, memory, middle.ship(raw([_line(n, 30 * n) for n in range(300)], "c/t/2")))
    _holds(middle)
