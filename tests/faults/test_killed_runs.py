"""`penstock run`, killed at any time and run again: the tables are those of one quiet run."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults import command, events_oracle

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120


@dataclass
class Campaign:
    """Runs over one pipeline folder whose files grow between them."""

    folder: Path
    rng: random.Random
    rule: str = ""
    kills: int = 0
    seconds: float = 3.0
    wrongs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        events_oracle.make_folder(self.folder)
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.faults.command"])

    def grow(self, rows: int) -> None:
        """Add rows to the input."""
        events_oracle.grow(self.folder, self.rng, rows)

    def _start(self, **options: Any) -> Any:
        options |= {"rule": self.rule}
        process = self._forks.Process(target=command.run, args=(self.folder,), kwargs=options)
        process.start()
        return process

    def die_at(self, point: str, nth: int = 1) -> None:
        """Run until a point kills the process."""
        process = self._start(die=point, nth=nth)
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL, (point, process.exitcode)
        self._killed()

    def kill_after(self, seconds: float) -> None:
        """Kill the command from outside, wherever it is; one that was faster is no kill."""
        process = self._start()
        process.join(seconds)
        process.kill()
        process.join(PATIENCE)
        if process.exitcode == -signal.SIGKILL:
            self._killed()

    def time_command(self) -> float:
        """Seconds that the command takes, started as a person does."""
        began = time.monotonic()
        self.kill_command_after(PATIENCE)
        return time.monotonic() - began

    def kill_command_after(self, seconds: float) -> None:
        """As `kill_after`, the command started as a person does."""
        process = subprocess.Popen(
            [sys.executable, "-m", "beam_pipelines", "run", str(self.folder), "--json"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
            self._killed()

    def race(self) -> None:
        """Run twice at once; both know the same state before either declares its intent."""
        meet = self.folder.parent / f"meet-{self.rng.getrandbits(32)}"
        meet.mkdir()
        both = [self._start(meet=str(meet)) for _ in range(2)]
        for process in both:
            process.join(PATIENCE)
            # The warehouse admits one writer and the later of two runs may find nothing to do.
            assert process.exitcode is not None

    def finish(self) -> None:
        """Run to the end."""
        began = time.monotonic()
        process = self._start()
        process.join(PATIENCE)
        self.seconds = time.monotonic() - began
        if process.exitcode != 0:
            self.wrongs.append(f"a quiet run ended with {process.exitcode}")

    def _killed(self) -> None:
        self.kills += 1
        self.wrongs += [f"kill {self.kills}: {w}" for w in events_oracle.half_wrongs(self.folder)]

    def judge(self) -> list[str]:
        """Finish, and say all that was or is wrong."""
        self.finish()
        return [*self.wrongs, *events_oracle.final_wrongs(self.folder)]


def test_a_run_that_was_killed_and_run_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    runs = Campaign(tmp_path / "events", random.Random(1))
    runs.grow(3000)
    runs.die_at("after intent")
    runs.die_at("between tables", 2)
    runs.grow(600)
    runs.die_at("before done")
    runs.die_at("in load")
    runs.kill_after(runs.seconds * runs.rng.random())
    assert runs.judge() == []
    assert runs.kills >= 4


def at_points(runs: Campaign) -> None:
    """Kill at each point of committer and loader, sometimes with a quiet run in between; race."""
    runs.grow(3000)
    for i, point in enumerate(command.POINTS):
        runs.die_at(point)
        if i % 3 == 1:
            runs.finish()
        runs.grow(300)
    runs.race()


def at_any_time(runs: Campaign) -> None:
    """Kill from outside, from the start of the work until its usual end; race."""
    runs.grow(3000)
    for _ in range(30):
        runs.kill_after(runs.seconds * runs.rng.uniform(0, 1.1))
        runs.grow(300)
        if runs.kills == 8:
            break
    runs.race()


def as_commands(runs: Campaign) -> None:
    """Kill the command that a person starts, imports and all; race."""
    runs.grow(3000)
    usual = runs.time_command()
    for _ in range(20):
        runs.grow(300)
        runs.kill_command_after(usual * runs.rng.uniform(0.1, 1.1))
        if runs.kills == 6:
            break
    runs.race()


def briefly(runs: Campaign) -> None:
    """Race, then kill with half of the tables landed: what the rules of the commit are for."""
    runs.grow(600)
    runs.race()
    runs.grow(200)
    runs.die_at("between tables", 2)


CAMPAIGNS = {
    "at points": at_points,
    "at any time": at_any_time,
    "as commands": as_commands,
    "briefly": briefly,
}
"""23 kills together."""


@pytest.mark.stack
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_runs_killed_23_times_lose_and_double_nothing(tmp_path: Path, name: str) -> None:
    runs = Campaign(tmp_path / "events", random.Random(1))
    CAMPAIGNS[name](runs)
    assert runs.judge() == []
    assert runs.kills >= (1 if name == "briefly" else 6)


@pytest.mark.stack
@pytest.mark.parametrize("rule", ["no fence", "no recovery"])
def test_with_a_rule_of_the_commit_switched_off_the_same_test_fails(
    tmp_path: Path, rule: str
) -> None:
    runs = Campaign(tmp_path / "events", random.Random(1), rule)
    briefly(runs)
    wrong = runs.judge()
    assert any("doubled" in w or "lost" in w for w in wrong), wrong
