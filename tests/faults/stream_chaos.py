"""Runs of one stream that are killed and put to sleep while events come; judged from outside."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults import events_oracle, stream_command
from tests.faults.stream_world import Stream, TopicTruth, make_folder, make_topic

PATIENCE = 120
TO_THE_END = ("source.stream.kafka.end=latest",)


@dataclass
class Chaos:
    """One topic, one lake, and the runs over them.

    Attributes:
        folder: Of the pipeline.
        broker: Where the topic is.
        rng: Decides when what is killed.
        rules: Protections that are switched off in all runs but the last.
        lie: How often the catalog answers falsely.
        kills: Processes killed, and what else was done to them.
        wrongs: What a reader saw that must not be.
        said: Output of all runs.
    """

    folder: Path
    broker: str
    rng: random.Random
    rules: tuple[str, ...] = ()
    lie: float = 0.0
    kills: int = 0
    wrongs: list[str] = field(default_factory=list)
    face: dict[str, Any] = field(default_factory=dict)
    alive: list[BaseProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topic = make_topic(self.broker)
        make_folder(self.folder, self.broker, self.topic, **self.face)
        self.said = self.folder / "said"
        # Children are forked from a clean process that has imported everything and run nothing.
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.faults.stream_command"])

    @contextmanager
    def sending(self, **options: Any) -> Iterator[Stream]:
        """Send events while the block runs, and end all runs with it."""
        try:
            with Stream(self.broker, self.topic, **options) as stream:
                yield stream
        finally:
            self.end()

    def start(self, sets: Sequence[str] = (), **options: Any) -> BaseProcess:
        """Start a run."""
        options = {"rules": self.rules, "lie": self.lie, "log": self.said} | options
        process = self._forks.Process(
            target=stream_command.run, args=(self.folder, sets), kwargs=options
        )
        process.start()
        self.alive.append(process)
        return process

    def kill(self, process: BaseProcess) -> None:
        """Kill a run as `kill -9` does; one that has ended before by itself is no kill."""
        process.kill()
        process.join(PATIENCE)
        self.alive.remove(process)
        if process.exitcode == -signal.SIGKILL:
            self.killed()
        else:
            self.wrongs.append(f"a run ended by itself with {process.exitcode}: {self.last_words()}")

    def killed(self) -> None:
        """Count a kill, and look at what it left."""
        self.kills += 1
        truth = TopicTruth(self.broker, self.topic)
        self.wrongs += [
            f"kill {self.kills}: {w}" for w in events_oracle.half_wrongs(self.folder, truth)
        ]

    def landed(self) -> int:
        """Commits that are done."""
        if not (self.folder / "out/lake/catalog.db").exists():
            return 0
        try:
            return len(events_oracle.commits(self.folder))
        except events_oracle.NoSuchTableError:  # the run has not come so far
            return 0

    def wait_for_commits(self, more: int = 1, process: BaseProcess | None = None) -> None:
        """Wait until so many more commits are done."""
        want, until = self.landed() + more, time.monotonic() + PATIENCE
        while self.landed() < want:
            ended = process is not None and process.exitcode is not None
            assert not ended and time.monotonic() < until, self.last_words()
            time.sleep(0.05)

    def finish(self) -> None:
        """Run to the present end of the topic, everything switched on, nothing in the way."""
        began = time.monotonic()
        process = self.start(TO_THE_END, rules=(), lie=0.0)
        process.join(PATIENCE)
        self.alive.remove(process)
        self.seconds = time.monotonic() - began
        if process.exitcode != 0:
            self.wrongs.append(f"a quiet run ended with {process.exitcode}: {self.last_words()}")

    def judge(self, stream: Stream) -> list[str]:
        """Finish, and say all that was or is wrong."""
        stream.stop()
        self.end()
        self.finish()
        truth = TopicTruth(self.broker, self.topic)
        if len(truth.records) < stream.delivered:
            self.wrongs.append("the broker lost messages")
        return [*self.wrongs, *events_oracle.final_wrongs(self.folder, truth)]

    def end(self) -> None:
        """End all runs by force."""
        for process in self.alive:
            process.kill()
            process.join(PATIENCE)
        self.alive.clear()

    def last_words(self) -> str:
        """The end of what the runs said."""
        return self.said.read_text(errors="replace")[-800:] if self.said.exists() else ""


def prisms(process: BaseProcess) -> list[int]:
    """Pids of the prisms that a run started."""
    found = []
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for one in map(int, text.split()):
            if os.readlink(f"/proc/{one}/exe").endswith("/prism"):
                found.append(one)
    except FileNotFoundError:
        pass
    return found
