"""Runs jobs side by side, kills and wakes them, and looks at the lake beside and after them."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults import job, oracle, synthetic, upkeep


@dataclass(frozen=True, kw_only=True)
class Case:
    """What goes wrong.

    Attributes:
        processes: Jobs that must finish; one that dies is started anew.
        kills: No further kills after this many.
        die: Probability of kill -9 at each named point (a third of it around each catalog call).
        every: Seconds between kills or stops from outside, about; 0: none.
        lie: Probability that the catalog answers falsely.
        stop: Probability that a job stops itself before a catalog call; it is woken later.
        keep, fold: Snapshots kept; commits between folds.
        broken: The rule that is switched off.
        positions: Positions of each of three sources.
        tending: Processes that compact, expire and sweep beside the jobs; killed like them.
        age: Seconds after which they take a file that nothing names for old.
    """

    processes: int = 1
    kills: int = 0
    die: float = 0.0
    every: float = 0.0
    lie: float = 0.0
    stop: float = 0.0
    keep: int = 100
    fold: int = 8
    broken: str = ""
    positions: int = 240
    tending: int = 0
    age: float = 5.0
    seconds: float = 170.0


@dataclass
class Outcome:
    """What happened and what is wrong."""

    finished: bool
    stat: Counter[str] = field(default_factory=Counter)
    broken_states: list[Any] = field(default_factory=list)
    broken_reads: list[Any] = field(default_factory=list)
    by_done: list[str] = field(default_factory=list)
    by_heads: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing was lost, doubled or half visible at any time."""
        wrong = (self.broken_states, self.broken_reads, self.by_done, self.by_heads)
        return self.finished and not any(wrong)


def prepare(root: Path, rng: random.Random, positions: int) -> set[tuple[str, int]]:
    """Make the lake and the slices: some overlap, some come twice. Returns all positions."""
    slices = []
    for source in "abc":
        at = 0
        while at < positions:
            size = rng.randint(10, 45)
            back = rng.randint(1, 15) if rng.random() < 0.4 else 0
            slices.append([source, max(0, at - back), at + size])
            at += size
    everything = {(s, p) for s, start, end in slices for p in range(start, end)}
    slices += rng.sample(slices, len(slices) // 3)
    (root / "slices.json").write_text(json.dumps(slices))
    job.lake_of(root).prepare(synthetic.plan(root))
    return everything


def drive(root: Path, seed: int, case: Case) -> Outcome:
    """Run a case to its end and judge it."""
    rng = random.Random(seed)
    want = prepare(root, rng, case.positions)
    # Children are forked from a clean process that has imported everything and run nothing.
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.faults.job", "tests.faults.upkeep"])
    names = ("die", "lie", "stop", "keep", "fold", "broken", "age")
    options = {n: getattr(case, n) for n in names}
    outcome = Outcome(finished=False)
    alive: list[BaseProcess] = []
    tending: list[BaseProcess] = []
    stat, began, strike = outcome.stat, time.monotonic(), time.monotonic() + case.every
    while stat["finished"] < case.processes and time.monotonic() - began < case.seconds:
        own = options if stat["kills"] < case.kills else options | {"die": 0.0}
        while len(alive) + stat["finished"] < case.processes:
            stat["runs"] += 1
            alive.append(_started(forks, job.run, root, seed * 1000 + stat["runs"], own))
        while len(tending) < case.tending:
            stat["upkeeps"] += 1
            tending.append(_started(forks, upkeep.run, root, seed * 1000 + stat["upkeeps"], own))
        time.sleep(0.03)
        alive = [p for p in alive if not _ended(p, stat)]
        tending = [p for p in tending if not _ended(p, stat)]
        for p in (*alive, *tending):
            if rng.random() < 0.04 and _stopped(p):
                stat["woken"] += 1
                _send(p, signal.SIGCONT)
        if case.every and time.monotonic() > strike and stat["kills"] < case.kills and alive:
            victim = rng.choice([*alive, *tending])
            stop = case.stop and rng.random() < 0.5
            _send(victim, signal.SIGSTOP if stop else signal.SIGKILL)
            strike = time.monotonic() + rng.uniform(0.3, 1.7) * case.every
        if rng.random() < 0.02 and stat["reads beside"] < 6:
            stat["reads beside"] += 1
            outcome.broken_reads += _read_beside(root, [*alive, *tending])
    outcome.finished = stat["finished"] == case.processes
    stat["tended"] = _end(root, alive, tending)
    _judge(root, outcome, want)
    return outcome


def _read_beside(root: Path, processes: list[BaseProcess]) -> list[str]:
    """Judge the newest state while all run: one asleep inside a SQLite write locks out everyone."""

    def read() -> list[str]:
        lake = oracle.catalog(root)
        return oracle.wrongs(lake, oracle.newest(lake))

    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(read)
        while not reading.done():
            for p in processes:
                _send(p, signal.SIGCONT)
            time.sleep(0.05)
    return reading.result()


def _judge(root: Path, outcome: Outcome, want: set[tuple[str, int]]) -> None:
    lake = oracle.catalog(root)
    rows = oracle.commit_rows(lake)
    outcome.stat["voids"] = sum(r["state"] == "void" for r in rows)
    done = sorted((r for r in rows if r["state"] == "done"), key=lambda r: r["seq"])
    outcome.stat["commits"] = len(done)
    outcome.stat["compactions"] = sum(r["op"] == "compact" for r in done)
    if len({r["seq"] for r in done}) != len(done):
        outcome.broken_states.append("a sequence number came twice")
    for r in done[:-1]:
        snapshots = json.loads(r["snapshots"])
        if all(lake.load_table(n).snapshot_by_id(s) for n, s in snapshots.items()):
            outcome.stat["states"] += 1
            outcome.broken_states += [(r["seq"], w) for w in oracle.wrongs(lake, snapshots)]
    outcome.by_done = oracle.wrongs(lake, oracle.newest(lake), want)
    outcome.by_heads = oracle.wrongs(lake, oracle.heads(lake), want)


def _started(forks: Any, what: Any, *args: Any) -> BaseProcess:
    one = forks.Process(target=what, args=args)
    one.start()
    return one


def _end(root: Path, jobs: list[BaseProcess], tending: list[BaseProcess]) -> int:
    """End what is left; return how many of those that tend ended well."""
    for p in jobs:
        p.kill()
    (root / upkeep.STOP).touch()
    for p in tending:
        _send(p, signal.SIGCONT)
        p.join(60)
        p.kill()
    return sum(p.exitcode == 0 for p in tending)


def _send(process: BaseProcess, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It has just ended.
        os.kill(process.pid, number)


def _ended(process: BaseProcess, stat: Counter[str]) -> bool:
    if process.exitcode is None:
        return False
    stat[{0: "finished", -signal.SIGKILL: "kills"}.get(process.exitcode, "crashes")] += 1
    return True


def _stopped(process: BaseProcess) -> bool:
    stat = Path(f"/proc/{process.pid}/stat")
    return stat.exists() and stat.read_text().rsplit(") ", 1)[1].startswith("T")
