"""Memory of a stream at full load over minutes: events come as fast as they land, none twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from threading import Event, Thread

from beam_pipelines.events.generate import CHUNK, lines
from schemas.planning import load_plan
from tests import servers
from tests.benchmarks import topics, watch
from tests.benchmarks.environments import ROOT
from tests.benchmarks.stream_jobs import ON_FLINK, Streamer, penstock
from transforms.commit.lake import open_lake
from transforms.continuous.positions import DonePositions

AHEAD = 1_000_000
EVERY_S = 5.0
_KEPT_BYTES = 256 << 20

Sample = tuple[float, float, float, int]
"""Seconds, CPU seconds, MiB, rows landed."""


def measured(runner: str, minutes: float, work: Path) -> list[Sample]:
    """Run a stream for so long; what its processes held and did, every five seconds."""
    brokers = servers.kafka()
    os.environ["KAFKA_BROKERS"] = brokers
    kept = {"retention.bytes": str(_KEPT_BYTES), "segment.bytes": str(64 << 20)}
    topic = topics.make(brokers, servers.unique("bench-memory"), **kept)
    out = work / "out-memory"
    shutil.rmtree(out, ignore_errors=True)
    command = penstock(runner, topic, out, "sinks.lake.commit_every=10s")
    beside = ON_FLINK if runner == "flink" else ()
    pids = Streamer(name=runner, command=lambda _, __: [], beside=beside).pids()
    samples: list[Sample] = []
    ended = Event()
    with (work / "memory.log").open("wb") as log:
        job = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        feeder = Thread(target=_feed, args=(brokers, topic, out, ended), daemon=True)
        feeder.start()
        try:
            began = time.monotonic()
            done = _Done(out)
            while (now := time.monotonic() - began) < minutes * 60:
                if job.poll() is not None:
                    msg = f"the stream must go on; got its end after {now:.0f} s: see memory.log"
                    raise RuntimeError(msg)
                alive = watch.tree([job.pid, *pids])
                samples.append((now, watch.cpu(alive), watch.rss(alive), done()))
                time.sleep(EVERY_S)
        finally:
            ended.set()
            feeder.join()
            job.send_signal(signal.SIGTERM)
            job.wait(120)
    return samples


class _Done:
    """How many messages have landed."""

    def __init__(self, out: Path) -> None:
        self._lake = open_lake(load_plan(ROOT / "beam_pipelines" / "events", out=out))
        self._positions: DonePositions | None = None

    def __call__(self) -> int:
        if self._positions is None:
            if not self._lake.exists():
                return 0
            self._positions = DonePositions(self._lake)
        done = self._positions()
        return sum(end - start for ranges in done.values() for start, end in ranges)


def _feed(brokers: str, topic: str, out: Path, ended: Event) -> None:
    """Keep the topic at most `AHEAD` messages ahead of what has landed."""
    to, first, done = topics.producer(brokers), 0, _Done(out)
    while not ended.is_set():
        if first - done() > AHEAD:
            ended.wait(0.2)
            continue
        made = (line.encode() for line in lines(first, CHUNK, 7))
        topics.send(to, topic, made, first)
        first += CHUNK
