"""Whatever order parcels, answers, ticks and crashes come in: each position lands in one commit."""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import REMOVED
from transforms.commit.landed import Landed
from transforms.commit.ranges import Ranges, common, merged, size
from transforms.commit.removed import fold_removed
from transforms.commit.trim import trim
from transforms.continuous.gather import Gather, _Gather
from transforms.continuous.land import Shipment
from transforms.continuous.parcels import Answer, Parcel, is_answer, new_token
from transforms.outcome import Outcome

EACH: Final = 60
SOURCES: Final = ("t/0", "t/1", "t/2")
SHARDS: Final = 2
ACTS: Final = ("read", "read", "deliver", "deliver", "deliver", "tick", "commit", "save", "crash")


class Cell:
    """A state cell, bag or value."""

    def __init__(self) -> None:
        self.held: Any = []

    def add(self, value: bytes) -> None:
        self.held = [*self.held, value]

    def write(self, value: bytes) -> None:
        self.held = value

    def read(self) -> Any:
        return self.held

    def clear(self) -> None:
        self.held = []


class Value(Cell):
    """A cell of one value."""

    def __init__(self) -> None:
        self.held = None

    def clear(self) -> None:
        self.held = None


class Timer:
    """A timer that the test fires itself."""

    def set(self, at: Any) -> None:
        pass

    def clear(self) -> None:
        pass


def land(parcels: Sequence[tuple[Parcel, list[Answer]]]) -> Shipment:
    """Each position has one row, which is filtered: `removed` counts them without files."""
    done = merged(*(parcel.done for parcel, _ in parcels))
    rows = [
        {"_source": s, "_position": p, "_sequence": 0, "destiny": "filtered", "step": "f"}
        for parcel, _ in parcels
        for s, ranges in parcel.done.items()
        for start, end in ranges
        for p in range(start, end)
    ]
    removed = fold_removed(pa.RecordBatch.from_pylist(rows, schema=REMOVED))
    return Shipment(landed=Landed(done=done, removed=removed), rows=len(rows))


@dataclass
class Runner:
    """What a checkpoint holds: where reading stands, what is on its way, all state."""

    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"parcels": Cell(), "answers": Cell(), "held": Value()} for _ in range(SHARDS)
        ]
    )
    waiting: list[Shipment] = field(default_factory=list)


class World:
    """A runner over a lake; the lake is not put back when the runner is."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.runner, self.saved = Runner(), Runner()
        self.entries: list[tuple[Ranges, int]] = []
        self.gather = _Gather(Gather(landing=land, every_us=0, buffer_bytes=3_000))  # type: ignore[arg-type]

    def done(self) -> Ranges:
        return merged(*(ranges for ranges, _ in self.entries))

    def read(self) -> None:
        """Read the next batch of one or two partitions, in a cut of its own."""
        cover: Ranges = {}
        for source in self.rng.sample(SOURCES, self.rng.randint(1, 2)):
            start = self.runner.read[source]
            end = min(start + self.rng.randint(1, 9), EACH)
            if start < end:
                cover[source] = [(start, end)]
                self.runner.read[source] = end
        if not cover:
            return
        parcel = Parcel(
            token=new_token(),
            outcome=Outcome(None, None, None),  # type: ignore[arg-type]
            done=cover,
            records={s: end - start for s, [(start, end)] in cover.items()},
            asked=self.rng.randint(0, 2),
        )
        shard = zlib.crc32(min(cover).encode()) % SHARDS
        answers = [Answer(parcel.token).encode()] * parcel.asked
        self.runner.sent += [(shard, one) for one in (parcel.encode(), *answers)]

    def deliver(self) -> None:
        sent = self.runner.sent
        if sent:
            one = sent.pop(self.rng.randrange(len(sent)))
            cells = self.runner.cells[one[0]]
            self.runner.waiting += self.gather.process(one, **cells, tick=Timer(), end=Timer())

    def tick(self) -> None:
        cells = self.rng.choice(self.runner.cells)
        self.runner.waiting += self.gather.ticked(**cells, tick=Timer())

    def commit(self, done: Ranges | None = None) -> None:
        """Land what waits; crash at once after it, perhaps, as nothing but the lake knows of it."""
        landed = [one.landed for one in self.runner.waiting]
        self.runner.waiting = []
        fresh = trim(landed, self.done() if done is None else done, {})
        if fresh.done:
            self.entries.append((fresh.done, fresh.removed.total()))

    def save(self) -> None:
        self.saved = copy.deepcopy(self.runner)

    def crash(self) -> None:
        """Go on from the checkpoint, or without one from where the lake's positions end."""
        if self.rng.random() < 0.7:
            self.runner = copy.deepcopy(self.saved)
            return
        self.runner = Runner()
        for source, ranges in self.done().items():
            self.runner.read[source] = ranges[0][1] if ranges[0][0] == 0 else 0
        self.save()

    def end(self) -> None:
        """Read, deliver and hand in all there is."""
        while any(at < EACH for at in self.runner.read.values()):
            self.read()
        while self.runner.sent:
            self.deliver()
        for cells in self.runner.cells:
            self.runner.waiting += self.gather.ended(**cells, tick=Timer())


def wrongs(entries: list[tuple[Ranges, int]]) -> list[str]:
    """What is wrong with a ledger that must hold every position once."""
    found = []
    seen: Ranges = {}
    for ranges, rows in entries:
        if common(seen, ranges):
            found.append(f"landed again: {common(seen, ranges)}")
        if rows != size(ranges):
            found.append(f"{rows} rows of {size(ranges)} positions")
        seen = merged(seen, ranges)
    if seen != {source: [(0, EACH)] for source in SOURCES}:
        found.append(f"landed in the end: {seen}")
    return found


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTS), max_size=120))
def test_ledger_entries_are_disjoint_and_whole(seed: int, acts: list[str]) -> None:
    world = World(seed)
    for act in acts:
        getattr(world, act)()
    world.end()
    world.commit()
    assert wrongs(world.entries) == []
    cells = [cell for cells in world.runner.cells for cell in cells.values()]
    assert not any(cell.read() for cell in cells)


def test_without_the_question_what_is_done_positions_land_again() -> None:
    world = World(3)
    world.end()
    world.commit()
    world.runner = copy.deepcopy(world.saved)
    world.end()
    world.commit(done={})
    assert any("again" in wrong for wrong in wrongs(world.entries))


def test_a_parcel_whose_answer_never_comes_is_not_done_and_holds_no_other_back() -> None:
    world = World(1)
    while not world.runner.sent or not is_answer(world.runner.sent[-1][1]):
        world.read()
    world.runner.sent.pop()
    world.end()
    assert sum(len(cells["parcels"].read()) for cells in world.runner.cells) == 1
    world.commit()
    left = 3 * EACH - size(world.done())
    assert 0 < left < 20
