"""What goes wrong around the committer of a stream: nothing lost, nothing doubled, aggregates right.

Each protection has a control: the same fault with the protection off does harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import CommitError
from tests.pipelines.shop import (
    BROKEN,
    HOURLY,
    LEDGER,
    PROCESSED,
    REFUSED,
    Out,
    by_group,
    expected,
    hourly,
    make_folder,
    plain_row,
    sales,
)
from tests.streams import Middle, commit, raw, stream_plan
from transforms.commit import intent
from transforms.commit.committer import Committer
from transforms.commit.copies import Settled
from transforms.commit.near import Asked
from transforms.commit.trim import trim
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.rollup import ALWAYS, Rollup
from transforms.continuous.seen import Found, Seen

LINES = sales(0, 240).splitlines()
THREE = ("c/t/0", "c/t/1", "c/t/2")


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


def wrongs(middle: Middle, lines: Sequence[bytes], messages: int | None = None) -> list[str]:
    """What is wrong with a lake that must hold these sales once each.

    Args:
        middle: Its lake.
        lines: What was sent, without copies.
        messages: How many messages, copies included.
    """
    out = Out(middle.plan.out)
    want = expected({"a": b"\n".join(lines)})["rows"]
    rows = [plain_row(row) for row in out.rows(PROCESSED)]
    times = Counter(row["sale_id"] for row in rows)
    found = []
    if lost := want.keys() - times.keys():
        found.append(f"{len(lost)} lost")
    if twice := [key for key, n in times.items() if n > 1]:
        found.append(f"{len(twice)} doubled")
    if by_group(out.rows(HOURLY)) != hourly(rows):
        found.append("an aggregate is not what the rows give")
    if messages is not None and sum(row["rows"] for row in out.rows(LEDGER)) != messages:
        found.append("the ledger counts other messages")
    return found


class Catalog:
    """Answers one request with an error, though what was asked is done."""

    def __init__(self, middle: Middle, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        self.left, self.send = nth, middle.lake.catalog.commit_table
        monkeypatch.setattr(middle.lake.catalog, "commit_table", self)

    def __call__(self, *request: Any) -> Any:
        self.left -= 1
        answer = self.send(*request)
        if not self.left:
            raise OSError
        return answer


def _lose_an_answer(middle: Middle, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw(LINES[:80])))
    catalog = Catalog(middle, monkeypatch, nth)
    memory = commit(one, memory, middle.ship(raw(LINES[80:160], first=80)))
    assert catalog.left <= 0
    commit(one, memory, middle.ship(raw(LINES[160:], first=160)))


@pytest.mark.parametrize("nth", [1, 2, 3, 5])
def test_a_commit_whose_answer_is_lost_lands_once(
    middle: Middle, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    _lose_an_answer(middle, monkeypatch, nth)
    assert wrongs(middle, LINES, len(LINES)) == []


def test_without_a_look_at_what_has_landed_a_lost_answer_doubles_rows(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent, "_landed", lambda *_: None)
    _lose_an_answer(middle, monkeypatch, 2)  # 1 is the intent
    assert any("doubled" in wrong for wrong in wrongs(middle, LINES))


def _restore(middle: Middle) -> None:
    """Copies on three partitions; what wins after a crash is not what won before it."""
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw(LINES[:60])))
    saved = (memory, Seen.of([run.tobytes() for run in middle.seen.runs]))
    lost = [raw(LINES[60:160], THREE[0], 60), raw(LINES[60:160], THREE[1])]
    commit(one, memory, middle.ship(lost[0]))  # Died before its checkpoint.
    again = Middle(middle.plan)
    memory, again.seen = saved
    one = again.committer()
    memory = commit(one, memory, again.ship(lost[1]))
    memory = commit(one, memory, again.ship(raw(LINES[60:], THREE[2])), again.ship(lost[0]))
    commit(one, memory, again.ship(raw(LINES[160:], THREE[0], 160)))


def test_a_restored_dedupe_that_chooses_other_winners_keeps_one_of_each(middle: Middle) -> None:
    _restore(middle)
    assert wrongs(middle, LINES, 240 + 100 + 180) == []


def test_without_asking_by_id_both_winners_stay(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.commit.draft.without_copies", lambda fresh, *_: Settled(fresh))
    _restore(middle)
    assert any("doubled" in wrong for wrong in wrongs(middle, LINES))


def _two_committers(middle: Middle) -> None:
    """One that the runner gave up is still at work, on shipments that its successor has, too."""
    zombie, memory = middle.committer(), Memory()
    first, second, third, fourth = (
        middle.ship(raw(LINES[at : at + 60], first=at)) for at in range(0, 240, 60)
    )
    memory = old = commit(zombie, memory, first)
    one = middle.committer()
    memory = commit(one, memory, second)
    old = commit(zombie, old, second, third)
    memory = commit(one, memory, third, fourth)
    commit(zombie, old, fourth)


def test_a_zombie_committer_beside_its_successor_does_no_harm(middle: Middle) -> None:
    _two_committers(middle)
    assert wrongs(middle, LINES, len(LINES)) == []


def test_without_the_question_what_is_done_a_zombie_doubles_rows(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transforms.commit.draft.trim", lambda landed, _, infos: trim(landed, {}, infos)
    )
    _two_committers(middle)
    assert any("doubled" in wrong for wrong in wrongs(middle, LINES))


def _other_stream(other: Middle, lines: list[bytes]) -> None:
    commit(other.committer(), Memory(), other.ship(raw(lines, f"files/{len(lines)}")))


def _batch(other: Middle, lines: list[bytes]) -> None:
    batch = Committer(other.lake, other.plan, run_id="batch")
    assert batch.commit([other.ship(raw(lines, f"files/{len(lines)}")).landed], {}) is not None


def _refresh(other: Middle, lines: list[bytes]) -> None:
    _batch(other, lines)
    batch = Committer(other.lake, other.plan, run_id="batch")
    assert batch.commit([], {}, recompute=["sales_hourly"]) is not None


Writer = Callable[[Middle, list[bytes]], None]


def _beside(middle: Middle, write: Writer) -> None:
    """Another run lands rows in windows that a stream holds open: between its commits, within."""
    acts = [lambda: write(Middle(middle.plan), LINES[160:200])]
    own = Committer(
        middle.lake,
        middle.plan,
        run_id="run",
        point=lambda at: acts.pop()() if acts and at == "before intent" and landed else None,
    )
    one, landed = StreamCommitter(own, middle.plan), []
    memory = commit(one, Memory(), middle.ship(raw(LINES[:80])))
    write(Middle(middle.plan), LINES[80:160])
    landed.append(memory)
    memory = commit(one, memory, middle.ship(raw(LINES[200:], first=80)))
    assert not acts
    assert wrongs(middle, LINES) == []
    commit(one, Memory(memory.asked, memory.handed, ALWAYS))


@pytest.mark.parametrize("write", [_other_stream, _batch, _refresh])
def test_rows_that_another_run_lands_in_open_windows_are_counted(
    middle: Middle, write: Writer
) -> None:
    _beside(middle, write)
    assert wrongs(middle, LINES) == []
    assert all(row["_final"] for row in Out(middle.plan.out).rows(HOURLY))


def test_a_committer_that_trusts_its_memory_would_not_count_them(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Rollup.refreshed

    def trusting(self: Rollup, aggregate: Any, kept: Any, *args: Any, **options: Any) -> Any:
        self._at = kept.at
        return made(self, aggregate, kept, *args, **options)

    monkeypatch.setattr(Rollup, "refreshed", trusting)
    with pytest.raises(AssertionError, match="an aggregate is not what the rows give"):
        _beside(middle, _batch)


@pytest.mark.parametrize("sources", [THREE, THREE[:1] * 3], ids=["three partitions", "one"])
def test_messages_that_are_sent_three_times_are_kept_once(
    middle: Middle, sources: tuple[str, ...]
) -> None:
    one, memory = middle.committer(), Memory()
    first: Counter[str] = Counter()
    for at in range(0, 240, 120):
        for source in sources:
            batch = raw(LINES[at : at + 120], source, first[source])
            first[source] += 120
            memory = commit(one, memory, middle.ship(batch))
    assert wrongs(middle, LINES, 3 * len(LINES)) == []


def test_without_the_dedupe_s_state_they_are_kept_three_times(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = np.array([], np.uint32)
    found = Found(none, none.astype(bool), none.astype(bool), none)
    monkeypatch.setattr("tests.streams.look", lambda *_: found)
    one, memory = middle.committer(), Memory()
    for source in THREE:
        memory = commit(one, memory, middle.ship(raw(LINES, source)))
    assert len(Out(middle.plan.out).rows(PROCESSED)) == 3 * len(
        expected({"": b"\n".join(LINES)})["rows"]
    )


POISON = (
    None,
    b"",
    b"\x00\xff\xfe",
    b"[" * 5000,
    b"\xef\xbb\xbf" + LINES[0],
    LINES[0] + LINES[1],
    LINES[0] + b"\n" + LINES[1],
    LINES[0][:-3],
    b'"' + b"x" * 100_000 + b'"',
    b'{"sale_id": "x", "sale_id": "y", "sold_at": "2026-03-01T00:00:00Z", "country": "de"}',
    *BROKEN,
)


def test_poison_messages_are_refused_alone_and_the_stream_goes_on(middle: Middle) -> None:
    one = middle.committer()
    batch: list[bytes | None] = []
    for i, line in enumerate(LINES):
        batch += [POISON[i // 5 % len(POISON)], line] if i % 5 == 0 else [line]
    memory = commit(one, Memory(), middle.ship(raw(batch)))
    commit(one, memory, middle.ship(raw(POISON, first=len(batch))))
    assert wrongs(middle, LINES, len(batch) + len(POISON)) == []
    refused = Out(middle.plan.out).rows(REFUSED)
    assert len(refused) == len(LINES) // 5 + len(POISON)
    assert all(row["rule"] and row["reason"] for row in refused)


def _rebuilt(middle: Middle) -> None:
    """A batch run puts the first half of the sales in place of everything."""
    done = middle.lake.last_done()
    asked = Asked(done.seq, done.snapshots[PROCESSED])
    landed = Middle(middle.plan).ship(raw(LINES[:120], "files/a")).landed
    batch = Committer(middle.lake, middle.plan, run_id="batch")
    assert batch.commit([landed], {}, rebuild=True, asked=asked) is not None


def test_a_stream_whose_lake_is_rebuilt_under_it_lands_nothing_and_says_so(
    middle: Middle,
) -> None:
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw(LINES[:60])))
    _rebuilt(middle)
    before = len(Out(middle.plan.out).done())
    with pytest.raises(CommitError, match="run again"):
        commit(one, memory, middle.ship(raw(LINES[120:], first=60)))
    assert len(Out(middle.plan.out).done()) == before


def test_a_stream_that_begins_after_a_rebuild_goes_on(middle: Middle) -> None:
    commit(middle.committer(), Memory(), middle.ship(raw(LINES[:60])))
    _rebuilt(middle)
    again = Middle(middle.plan)
    memory = commit(again.committer(), again.begins(), again.ship(raw(LINES[100:])))
    assert wrongs(middle, LINES) == []
    commit(again.committer(), memory, again.ship(raw(LINES[:60], first=140)))
    assert wrongs(middle, LINES) == []
