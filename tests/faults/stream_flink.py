"""A stream on a Flink cluster of a test's own, whose processes are killed and put to sleep."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from infra.local.servers import manager
from runners.worker import COMMAND
from tests.faults import stream_command
from tests.faults.events_oracle import ROOT
from tests.faults.stream_chaos import PATIENCE, Chaos

SETTINGS = {
    "taskmanager.memory.process.size": "2500m",
    "taskmanager.memory.task.off-heap.size": "256m",
    "heartbeat.interval": "1000",
    "heartbeat.timeout": "5000",
}
"""For `PENSTOCK_FLINK`: a small TaskManager, soon missed, soon back."""
_BOOT = """\
#!/bin/sh
# Not marked as the TaskManager's, so that it may outlive that, as on another machine.
unset PENSTOCK_SERVER
export PYTHONPATH={site}
exec {boot} "$@"
"""
_SITE = """\
import sys

if "runners.worker.boot" in sys.orig_argv:
    from tests.faults.stream_rules import apply

    apply({rules!r})
"""


class FlinkChaos(Chaos):
    """Runs of a stream on Flink; `rules` hold in its workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.site = self.folder / "site"
        self.site.mkdir()
        (self.site / "sitecustomize.py").write_text(_SITE.format(rules=self.rules))
        boot = self.folder / "boot"
        boot.write_text(_BOOT.format(site=self.site, boot=COMMAND))
        boot.chmod(0o755)
        self.sets = (*self.sets, f"runner.worker_command={boot}", "runner.checkpoint_every=1s")

    def flags(self) -> tuple[str, ...]:
        """Say where the cluster is."""
        rest, jobs = (manager.last(name) for name in ("flink-jobmanager", "jobserver"))
        assert rest is not None
        assert jobs is not None
        where = ("--flink-rest", rest.address, "--job-endpoint", jobs.address)
        return ("--runner", "flink", *where)

    def driver(self, *flags: str) -> Any:
        """Start the command that submits the stream and follows it."""
        return self.start(flags=(*self.flags(), *flags), rules=())

    def submit(self, *flags: str) -> str:
        """Start the stream; return its job's id."""
        self.done(self.driver("--detach", *flags))
        return self.record()["job"]

    def stop(self, *flags: str) -> str:
        """Stop the stream; return its savepoint."""
        where = self.flags()[2:4]
        self.done(self._started(stream_command.stop, {"flags": [*where, *flags], "log": self.said}))
        return self.record()["savepoint"]

    def stop_what_runs(self) -> None:
        """Stop the stream if the last driver came so far as to start one."""
        file = self.folder / "out/stream.json"
        if file.exists() and not self.record()["ended"]:
            process = self._started(
                stream_command.stop, {"flags": self.flags()[2:4], "log": self.said}
            )
            process.join(PATIENCE)
            self.alive.remove(process)

    def done(self, process: Any) -> None:
        """Wait until a command has ended well."""
        process.join(PATIENCE)
        self.alive.remove(process)
        assert process.exitcode == 0, self.last_words()

    def record(self) -> dict[str, Any]:
        """What is kept of the last stream."""
        return json.loads((self.folder / "out/stream.json").read_text())

    def resume_from(self, savepoint: str) -> None:
        """Let the next `--resume` begin at any savepoint."""
        file = self.folder / "out/stream.json"
        file.write_text(json.dumps(self.record() | {"savepoint": savepoint}))

    def workers(self) -> list[int]:
        """Pids of the Python workers."""
        mark = f"PYTHONPATH={ROOT}:{self.site}".encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if b"runners.worker.boot" in _read(entry / "cmdline")
            and mark in _read(entry / "environ")
        ]

    def end(self) -> None:
        """End the stream, and its workers by force."""
        super().end()
        self.stop_what_runs()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)

    def finish(self, *, protected: bool = True) -> None:
        """Run to the present end of the topic on prism: whoever lands the rest, all is there once."""
        self.sets, own = (), self.sets
        super().finish(protected=protected)
        self.sets = own


def restart(name: str, rng: random.Random, most: float = 1.0) -> None:
    """Kill a server and start it again."""
    manager.kill(name)
    time.sleep(rng.uniform(0, most))
    manager.up([name])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended
        return b""
