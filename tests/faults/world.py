"""A lake over the synthetic source in one process, for tests that need no kills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import oracle, synthetic
from transforms.commit.committer import Committer
from transforms.commit.iceberg import Files
from transforms.commit.lake import Lake, local_catalog
from transforms.commit.landed import Landed
from transforms.commit.near import Asked


class Dead(BaseException):
    """A committer that was killed at a point; nothing catches it on the way."""


class World:
    """One pipeline's lake in a folder."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.root = root
        self.plan = synthetic.plan(root, **changes)
        self.lake = Lake(local_catalog(root), self.plan.name)
        self.lake.prepare(self.plan)
        self.runs = 0

    def committer(self, **options: Any) -> Committer:
        """A committer of a run of its own."""
        self.runs += 1
        options = {"run_id": f"run-{self.runs}", "plan_text": "{}"} | options
        return Committer(self.lake, self.plan, **options)

    def landed(self, source: str, start: int, end: int) -> Landed:
        """What a worker hands over, of the tables as they are now."""
        names = (self.plan.processed, self.plan.operations("refused"))
        infos = {n: self.lake.table_info(n) for n in names}
        return synthetic.landed(infos, source, start, end)

    def commit(self, *stretches: tuple[str, int, int], **options: Any) -> Any:
        """Land stretches in one commit by a fresh committer, aggregates recomputed."""
        options = {"asked": self.asked()} | options
        return self.committer().commit([self.landed(*s) for s in stretches], {}, **options)

    def asked(self) -> Asked:
        """What a run knows that begins now."""
        state = Committer(self.lake, self.plan, run_id="asks").ask()
        return Asked(state.seq, state.snapshots.get(self.plan.processed))

    def land(self, op: str, parts: dict[str, Files]) -> None:
        """Change tables in one commit of another kind."""
        assert self.committer().change(op, lambda _: parts) is not None

    def die_at(self, name: str, stretch: tuple[str, int, int], nth: int = 1) -> None:
        """Land a stretch with a committer that dies when it comes to a point for the nth time."""
        try:
            self.committer(point=at(name, _die, nth)).commit([self.landed(*stretch)], {})
        except Dead:
            return
        msg = f"never came to {name}"
        raise AssertionError(msg)

    def wrongs(self, *stretches: tuple[str, int, int]) -> list[str]:
        """What is wrong with the lake, which must hold exactly these stretches."""
        want = {(s, p) for s, start, end in stretches for p in range(start, end)}
        catalog = oracle.catalog(self.root)
        return [
            *oracle.wrongs(catalog, oracle.newest(catalog), want),
            *oracle.wrongs(catalog, oracle.heads(catalog), want),
        ]


def at(name: str, act: Callable[[], Any], nth: int = 1) -> Callable[[str], None]:
    """A `point` that acts when a named point comes for the nth time."""
    left = [nth]

    def point(there: str) -> None:
        if there == name:
            left[0] -= 1
            if left[0] == 0:
                act()

    return point


def _die() -> None:
    raise Dead
