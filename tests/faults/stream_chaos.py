"""Runs of one stream that are killed and put to sleep while events come; judged from outside."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from tests.faults import events_oracle, stream_command
from tests.faults.stream_world import Stream, TopicTruth, make_folder, make_topic

T = TypeVar("T")

PATIENCE = 300
TO_THE_END = ("source.stream.kafka.end=latest",)


@dataclass
class Chaos:
    """One topic, one lake, and the runs over them.

    Attributes:
        folder: Of the pipeline.
        broker: Where the topic is.
        rng: Decides when what is killed.
        rules: Protections that are switched off, in all runs but the last.
        sets: Fields of the pipeline file that are different, in all runs but the last.
        lie: How often the catalog answers falsely.
        config: Of the topic.
        kills: Processes killed, and what else was done to them.
        wrongs: What a reader saw that must not be.
        said: Output of all runs.
    """

    folder: Path
    broker: str
    rng: random.Random
    rules: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    lie: float = 0.0
    kills: int = 0
    wrongs: list[str] = field(default_factory=list)
    config: dict[str, str] = field(default_factory=dict)
    alive: list[BaseProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topic = make_topic(self.broker, **self.config)
        make_folder(self.folder, self.broker, self.topic)
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

    def start(self, **options: Any) -> BaseProcess:
        """Start a run."""
        usual = {"sets": self.sets, "rules": self.rules, "lie": self.lie, "log": self.said}
        return self._started(stream_command.run, usual | options)

    def maintain(self) -> BaseProcess:
        """Start maintenance, which goes on until it is killed."""
        return self._started(stream_command.maintain, {"log": self.said})

    def _started(self, what: Callable[..., None], options: dict[str, Any]) -> BaseProcess:
        process = self._forks.Process(target=what, args=(self.folder,), kwargs=options)
        process.start()
        self.alive.append(process)
        return process

    def kill(self, process: BaseProcess, *, or_failed: bool = False) -> None:
        """Kill a run as `kill -9` does.

        Args:
            process: Which.
            or_failed: It may have failed before; then that is counted.
        """
        process.kill()
        self._ended(process, "killed or failed" if or_failed else "killed")

    def dies(self, process: BaseProcess) -> None:
        """Wait until a run has killed itself."""
        self._ended(process, "killed")

    def fails(self, process: BaseProcess) -> None:
        """Wait until a run has failed by itself."""
        self._ended(process, "failed")

    def _ended(self, process: BaseProcess, how: str) -> None:
        process.join(PATIENCE)
        code = process.exitcode
        got = {-signal.SIGKILL: "killed", 1: "failed"}.get(code or 0, str(code))
        if code is None:
            process.kill()
            process.join()
        self.alive.remove(process)
        if got not in how:
            self.wrongs.append(f"a run was to be {how}; got {got}: {self.last_words()}")
        self.killed()

    def killed(self) -> None:
        """Count a kill, and look at what it left."""
        self.kills += 1
        truth = TopicTruth(self.broker, self.topic)
        self.wrongs += [
            f"kill {self.kills}: {w}" for w in events_oracle.half_wrongs(self.folder, truth)
        ]

    def landed(self) -> int:
        """Number of the last commit that is done."""
        if not (self.folder / "out/lake/catalog.db").exists():
            return 0
        try:
            done = events_oracle.commits(self.folder)
            return done[-1]["seq"] if done else 0
        except events_oracle.NoSuchTableError:  # the run has not come so far
            return 0

    def catalog_is_held(self) -> bool:
        """Whether a process holds the catalog's file for itself."""
        file = self.folder / "out/lake/catalog.db"
        with closing(sqlite3.connect(file, timeout=0.2, isolation_level=None)) as database:
            try:
                database.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                return True
            database.execute("ROLLBACK")
            return False

    def put_to_sleep(self, pid: int) -> None:
        """Stop a process anywhere but in the middle of a write: SQLite lets nobody past that."""
        os.kill(pid, signal.SIGSTOP)
        while self.catalog_is_held():
            os.kill(pid, signal.SIGCONT)
            time.sleep(self.rng.uniform(0, 0.1))
            os.kill(pid, signal.SIGSTOP)

    def ops(self) -> Counter[str]:
        """Commits that are done, by their kind."""
        return Counter(r["op"] for r in events_oracle.commits(self.folder))

    def wait_for_commits(self, more: int, process: BaseProcess | None = None) -> None:
        """Wait until a run, or another beside it, has done so many more commits."""
        want = self.landed() + more
        ended = lambda: process is not None and process.exitcode is not None  # noqa: E731
        self.wait_for(lambda: self.landed() >= want or ended())
        assert not ended(), self.last_words()

    def wait_for_messages(self, count: int) -> None:
        """Wait until so many messages have landed."""
        self.wait_for(lambda: sum(self.destinies().values()) >= count)

    def destinies(self) -> dict[str, int]:
        """Messages landed, by destiny."""
        counts: dict[str, int] = {}
        if self.landed():
            for row in events_oracle.lake_rows(self.folder)["ledger"]:
                counts[row["destiny"]] = counts.get(row["destiny"], 0) + row["rows"]
        return counts

    def wait_for(self, what: Callable[[], T]) -> T:
        """Wait until something is true; return it."""
        until = time.monotonic() + PATIENCE
        while not (found := what()):
            assert time.monotonic() < until, self.last_words()
            time.sleep(0.05)
        return found

    def finish(self, *, protected: bool = True) -> None:
        """Run to the present end of the topic, nothing in the way; everything switched on or not."""
        options: dict[str, Any] = {"sets": TO_THE_END, "rules": (), "lie": 0.0}
        if not protected:
            options = {"sets": (*self.sets, *TO_THE_END)}
        process = self.start(**options)
        process.join(PATIENCE)
        self.alive.remove(process)
        if process.exitcode != 0:
            self.wrongs.append(f"a quiet run ended with {process.exitcode}: {self.last_words()}")

    def judge(self, stream: Stream, *, protected: bool = True) -> list[str]:
        """Finish, and say all that was or is wrong."""
        stream.stop()
        self.end()
        self.finish(protected=protected)
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
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(one) for one in text.split() if _program(one) == "prism"]
    except FileNotFoundError:
        return []


def asleep(process: BaseProcess) -> bool:
    """Whether a run was stopped."""
    text = Path(f"/proc/{process.pid}/stat").read_text()
    return text.rsplit(") ", 1)[1].startswith("T")


def _program(pid: str) -> str:
    return Path(f"/proc/{pid}/exe").readlink().name
