"""Copies at other event times, in a stream that does not know what landed: as if it had known.

A dedupe that begins without a checkpoint takes a row for the first of its like that is a copy of a
landed one, and rows for copies of it that may be none of what landed.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.plan import Plan
from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PROCESSED,
    START,
    Out,
    by_group,
    hourly,
    make_folder,
    plain_row,
)
from tests.pipelines.visits import VISITS, WITH_SESSIONS, assert_visits
from tests.streams import Middle, commit, raw, stream_plan
from transforms.continuous.admit import AdmitMessages, _Admit
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.in_process import InProcess
from transforms.continuous.parcels import Answer, Parcel
from transforms.continuous.rollup import NEVER
from transforms.continuous.seen import Seen
from transforms.decode.messages import MessageDecoder

HORIZON = 60
"""Minutes."""

Row = tuple[str, int]
"""Id and event time in minutes."""


def new_middle(root: Path) -> Middle:
    pipeline = WITH_SESSIONS.replace("horizon: 1d", f"horizon: {HORIZON}m")
    return Middle(stream_plan(make_folder(root, pipeline=pipeline)))


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return new_middle(tmp_path)


def line(row: Row) -> bytes:
    key, minute = row
    sale = {
        "sale_id": key,
        "sold_at": f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}",
        "country": "de",
        "pieces": 1,
        "properties": {"email": "p@example.org", "amount": 50, "note": None},
    }
    return json.dumps(sale).encode()


def first_of_their_like(rows: Iterable[Row]) -> list[Row]:
    """What is kept of rows that come in this order."""
    kept: list[Row] = []
    for key, minute in rows:
        if all(k != key or abs(m - minute) > HORIZON for k, m in kept):
            kept.append((key, minute))
    return kept


def minutes(out: Out) -> list[Row]:
    """The kept rows, in the order of their positions."""
    rows = sorted(out.rows(PROCESSED), key=lambda r: (r["_source"], r["_position"]))
    return [(r["sale_id"], int((r["sold_at"] - START) / timedelta(minutes=1))) for r in rows]


def holds(middle: Middle, rows: Sequence[Row]) -> None:
    """The tables are those of a batch over the rows, and every row has one destiny."""
    want = first_of_their_like(rows)
    assert minutes(Out(middle.plan.out)) == want
    balances(middle, len(want), len(rows))


def balances(middle: Middle, kept: int, messages: int) -> None:
    """Aggregates and ledger are what the kept rows say."""
    out = Out(middle.plan.out)
    rows = [plain_row(r) for r in out.rows(PROCESSED)]
    assert by_group(out.rows(HOURLY)) == hourly(rows)
    assert_visits(out.rows(VISITS), rows)
    counts: Counter[str] = Counter()
    for entry in out.rows(LEDGER):
        counts[entry["destiny"]] += entry["rows"]
    assert +counts == +Counter(kept=kept, duplicate=messages - kept)


class InOneProcess(Middle):
    """Where parcels and what was seen stay in the process."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.here = InProcess()
        messages = MessageDecoder(plan.contract)
        self.admit = _Admit(AdmitMessages(plan, messages, self.asking, here=self.here))
        self.admit.setup()

    def _parcel(self, batch: pa.RecordBatch) -> tuple[Parcel, list[Answer]]:
        ((_, kept),) = self.admit.process(batch)
        return self.here.take(kept), []


BEFORE: list[Row] = [("x", 600)]
CASES: dict[str, list[list[Row]]] = {
    "another row has a copy": [[("x", 601), ("z", 601), ("z", 601)]],
    "the row has a copy at its time": [[("x", 601), ("x", 601)]],
    "the row has a copy at another time": [[("x", 601), ("x", 602)]],
    "the row has a copy that is none of the landed one": [[("x", 630), ("x", 670)]],
    "such a copy has copies": [[("x", 630), ("x", 670), ("x", 671), ("x", 671), ("x", 725)]],
    "such a copy comes in a later commit": [[("x", 630)], [("y", 630)], [("x", 670)]],
    "its like come later still": [[("x", 630)], [("x", 670)], [("x", 692)], [("x", 731)]],
    "event time runs backwards": [[("x", 560), ("x", 530)], [("x", 480), ("x", 460)]],
    "many": [[(k, 607 + 7 * i) for i in range(20) for k in ("x", "y", "z")]],
    "many, in many commits": [[(k, 600 + 17 * i) for k in ("x", "y", "x")] for i in range(1, 8)],
}


def as_a_batch(middle: Middle, commits: list[list[Row]], kind: type[Middle] = Middle) -> None:
    """Begin without a checkpoint, and look at each commit."""
    commit(middle.committer(), Memory(), middle.ship(raw([line(r) for r in BEFORE])))
    again, rows = kind(middle.plan), [*BEFORE]
    one, memory = again.committer(), again.begins()
    for own in commits:
        memory = commit(one, memory, again.ship(raw([line(r) for r in own], first=len(rows))))
        rows += own
        holds(middle, rows)


@pytest.mark.parametrize("commits", CASES.values(), ids=CASES.keys())
def test_a_stream_without_a_checkpoint_keeps_what_a_batch_would(
    middle: Middle, commits: list[list[Row]]
) -> None:
    as_a_batch(middle, commits)


def test_so_does_one_that_keeps_its_rows_in_the_process(middle: Middle) -> None:
    as_a_batch(middle, CASES["such a copy has copies"], InOneProcess)


def test_doubtful_rows_that_are_read_again_are_trimmed(middle: Middle) -> None:
    rows = [*BEFORE, ("x", 630), ("x", 670), ("x", 700)]
    commit(middle.committer(), Memory(), middle.ship(raw([line(rows[0])])))
    again = Middle(middle.plan)
    one, memory = again.committer(), again.begins()
    half = again.ship(raw([line(r) for r in rows[1:3]], first=1))
    memory = commit(one, memory, half, half)
    again = Middle(middle.plan)
    whole = again.ship(raw([line(r) for r in rows[1:]], first=1))
    commit(again.committer(), again.begins(), half, whole)
    holds(middle, rows)


class Run:
    """A stream over partitions that is stopped at any moment, and goes on with a checkpoint or not.

    Without one it begins where the lake's positions end, and its dedupe knows nothing.
    """

    def __init__(self, root: Path, partitions: Sequence[Sequence[Row]], seed: int) -> None:
        self.partitions, self.rng = partitions, random.Random(seed)
        self.middle = new_middle(root)
        self.memory, self.at = Memory(), [0] * len(partitions)
        self.begin()
        self.save()

    def begin(self) -> None:
        self.middle = Middle(self.middle.plan)
        self.one = self.middle.committer()

    def read(self) -> None:
        """Commit some batches of some partitions."""
        shipments = []
        for p in self.rng.sample(range(len(self.at)), self.rng.randint(1, len(self.at))):
            first = self.at[p]
            rows = self.partitions[p][first : first + self.rng.randint(1, 5)]
            if rows:
                batch = raw([line(row) for row in rows], f"c/t/{p}", first)
                shipments.append(self.middle.ship(batch))
                self.at[p] = first + len(rows)
        if shipments:
            self.memory = commit(self.one, self.memory, *shipments)

    def save(self) -> None:
        runs = [run.tobytes() for run in self.middle.seen.runs]
        self.saved = (self.memory, runs, [*self.at])

    def crash(self) -> None:
        """Go on from the checkpoint."""
        self.begin()
        self.memory, runs, at = self.saved
        self.middle.seen, self.at = Seen.of(runs), [*at]

    def anew(self) -> None:
        """Go on without one."""
        self.begin()
        self.memory = self.middle.begins()
        done = self.one._committer.ask().done
        self.at = [done.get(f"c/t/{p}", [(0, 0)])[0][1] for p in range(len(self.at))]
        self.save()

    def end(self) -> None:
        while any(at < len(rows) for at, rows in zip(self.at, self.partitions, strict=True)):
            self.read()


ROWS = st.lists(st.tuples(st.sampled_from("xy"), st.integers(300, 600)))
ACTS = st.lists(st.sampled_from(["read", "read", "save", "crash", "anew"]), max_size=10)


def one_partition(rows: list[Row], acts: list[str], seed: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        run = Run(Path(root), [rows], seed)
        for act in acts:
            getattr(run, act)()
        run.end()
        if rows:
            holds(run.middle, rows)


def two_partitions(rows: list[Row], others: list[Row], acts: list[str], seed: int) -> None:
    """Which of two copies comes first is chance, but one is kept, and only one."""
    with tempfile.TemporaryDirectory() as root:
        run = Run(Path(root), [rows, others], seed)
        for act in acts:
            getattr(run, act)()
        run.end()
        if rows or others:
            kept = minutes(Out(run.middle.plan.out))
            assert first_of_their_like(kept) == kept
            every = [*rows, *others]
            assert first_of_their_like([*kept, *every]) == kept
            balances(run.middle, len(kept), len(every))


@settings(max_examples=8, deadline=None)
@given(ROWS, ACTS, st.integers(0, 2**32))
def test_of_one_partition_the_first_of_their_like_are_kept_however_it_is_stopped(
    rows: list[Row], acts: list[str], seed: int
) -> None:
    one_partition(rows, acts, seed)


@settings(max_examples=8, deadline=None)
@given(ROWS, ROWS, ACTS, st.integers(0, 2**32))
def test_of_two_partitions_one_of_each_is_kept_however_it_is_stopped(
    rows: list[Row], others: list[Row], acts: list[str], seed: int
) -> None:
    two_partitions(rows, others, acts, seed)


def restored(middle: Middle, crashes: int) -> None:
    """Of two partitions the one that landed last is read first after each crash."""
    one, memory = middle.committer(), Memory()
    memory = commit(one, memory, middle.ship(raw([line(("y", 600))], "c/t/2")))
    commit(one, memory, middle.ship(raw([line(("x", 600))], "c/t/0")))
    for _ in range(crashes):
        again = Middle(middle.plan)
        one, now = again.committer(), memory
        now = commit(one, now, again.ship(raw([line(("x", 630))], "c/t/1")))
        now = commit(one, now, again.ship(raw([line(("x", 600))], "c/t/0")))
    assert now.asked.seq == one._committer.ask().seq
    for first, minute in enumerate((670, 692), 1):
        now = commit(one, now, again.ship(raw([line(("x", minute))], "c/t/1", first)))


@pytest.mark.parametrize("crashes", [1, 2])
def test_a_restored_dedupe_that_kept_another_row_than_landed_is_not_trusted_near_it(
    middle: Middle, crashes: int
) -> None:
    restored(middle, crashes)
    assert minutes(Out(middle.plan.out)) == [("x", 600), ("x", 670), ("y", 600)]
    balances(middle, 3, 5)


@pytest.mark.parametrize(
    ("crashes", "protection", "off"),
    [(1, "_unsure", lambda *_: False), (2, "_astray_us", lambda *_: NEVER)],
    ids=["what the committer chose", "what is read again"],
)
def test_if_it_were_trusted_a_row_would_be_lost(
    middle: Middle,
    monkeypatch: pytest.MonkeyPatch,
    crashes: int,
    protection: str,
    off: Callable[..., Any],
) -> None:
    monkeypatch.setattr(StreamCommitter, protection, off)
    restored(middle, crashes)
    assert ("x", 670) not in minutes(Out(middle.plan.out))


def test_it_is_trusted_again_a_horizon_later(middle: Middle) -> None:
    astray_us = int((START + timedelta(minutes=670)).timestamp()) * 1_000_000
    one, memory = middle.committer(), Memory(astray_us=astray_us)
    near, far = (middle.ship(raw([line(("z", m))], "c/t/2", m)) for m in (730, 731))
    assert one._unsure([near], memory)
    assert not one._unsure([far], memory)
    assert one._unsure([far, near], memory)
