"""Warehouse and Kafka sink beside a stream: they follow the lake's commits as rows land."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from beam_pipelines import batch
from beam_pipelines.batch import Result
from beam_pipelines.progress_screen import place
from schemas.errors import PenstockError
from schemas.plan import Plan
from transforms.commit.lake import Lake, open_lake
from transforms.sinks.warehouse import Warehouse

_REST_S: Final = 1.0
_SHARE: Final = 3
_MOST_S: Final = 60.0

Follow = Callable[[Lake, Plan, Result], None]
"""Brings what follows the lake up to it, and notes what it did (`batch.follow_all`)."""


class Following:
    """A thread that calls `follow` after commits, at most a quarter of the time.

    What fails is told and tried again, after a pause that grows to a minute: the lake is complete
    meanwhile, and the stream goes on.
    """

    def __init__(
        self,
        plan: Plan,
        told: Callable[[str], None],
        *,
        follow: Follow = batch.follow_all,
        rest_s: float = _REST_S,
    ) -> None:
        """Describe it.

        Args:
            plan: Whose lake is followed; it must be prepared.
            told: Called with what a person should know at once.
            follow: What is called, with a result of its own each time.
            rest_s: Least pause after a call.
        """
        self._plan, self._told, self._follow, self._rest_s = plan, told, follow, rest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._added: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._notes: list[str] = []
        self._failures = 0
        self._failed_since: float | None = None
        self._head: int | None = None
        self._who = " and ".join(sorted(batch.FOLLOWERS & plan.sinks.keys()))
        self.state = "waits for a commit"

    def told_state(self) -> str:
        """Return `state`, for who shows it."""
        return self.state

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for a call that is under way, and make no other."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def finish(self, lake: Lake, result: Result) -> None:
        """Follow a last time, and add to the result what all calls did.

        Raises:
            PenstockError: The follower could not be brought up to the lake.
        """
        self.stop()
        self._follow(lake, self._plan, result)
        for name, counts in result.warehouse.items():
            counts["added"] += self._added[name]
        result.sent = dict(self._sent + Counter(result.sent))
        result.warnings += [note for note in self._notes if note not in result.warnings]

    def _run(self) -> None:
        lake = open_lake(self._plan)
        pause = self._rest_s
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                self._once(lake)
            except Exception as error:  # noqa: BLE001 - the stream must go on, whatever it is
                pause = self._wrong(error)
            else:
                pause = max(self._rest_s, _SHARE * (time.monotonic() - began))

    def _once(self, lake: Lake) -> None:
        head = lake.commits().current_snapshot()
        if head is None or head.snapshot_id == self._head:
            return
        seq = lake.last_done().seq
        result = Result(run_id="", plan=self._plan)
        self._follow(lake, self._plan, result)
        if result.warnings and not (result.warehouse or result.sent):
            raise PenstockError("; ".join(result.warnings))
        self._head = head.snapshot_id
        for name, counts in result.warehouse.items():
            self._added[name] += counts["added"]
        self._sent.update(result.sent)
        self._note(*result.warnings)
        if self._failed_since is not None:
            lasted = time.monotonic() - self._failed_since
            self._note(f"{self._who} could not follow for {lasted:.0f} s, then caught up")
            self._failed_since, self._failures = None, 0
        self.state = f"at commit {seq}"

    def _wrong(self, error: Exception) -> float:
        """Tell of a failure; return how long to wait before the next try."""
        self._failures += 1
        if self._failed_since is None:
            self._failed_since = time.monotonic()
        pause = float(min(self._rest_s * 2**self._failures, _MOST_S))
        # What an error of nobody's says may hold a value of the data.
        said = str(error) if isinstance(error, PenstockError) else type(error).__name__
        self.state = f"tries again every {pause:.0f} s"
        self._told(f"{self._who}: {said}; tried again in {pause:.0f} s, the stream goes on")
        return pause

    def _note(self, *notes: str) -> None:
        self._notes += [note for note in notes if note not in self._notes]


@contextmanager
def following(plan: Plan, told: Callable[[str], None]) -> Iterator[Following | None]:
    """Follow the lake while the block runs, if the plan has sinks that do."""
    if not batch.FOLLOWERS & plan.sinks.keys():
        yield None
        return
    one = Following(plan, told)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def left_behind(plan: Plan, sinks: Collection[str], seq: int) -> str:
    """Say how to bring sinks that nobody kept up to the lake; empty if all of them are known to be.

    Args:
        plan: Whose sinks they are.
        sinks: Their names.
        seq: The lake's last commit.
    """
    said = []
    if "warehouse" in sinks:
        at = Warehouse(plan, plan.out / "warehouse.duckdb").seq()
        if at is None:
            said.append("how far the warehouse is cannot be read now")
        elif at < seq:
            said.append(f"the warehouse is at commit {at} of {seq}")
    if "kafka" in sinks:
        said.append("the Kafka sink has what was sent last")
    return f"{', and '.join(said)}: penstock load {place(plan)}" if said and seq else ""
