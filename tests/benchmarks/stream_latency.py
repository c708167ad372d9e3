"""How long a message takes to its aggregate row in the lake, at a fixed rate.

Messages carry the moment at which they are sent as event time, none is refused or sent twice. The
aggregate table is read again and again: when its `_rows` sum up to n, the first n messages are in
it. (Messages of several partitions may overtake each other by a batch.)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from beam_pipelines.events.generate import lines
from schemas.planning import load_plan
from tests import servers
from tests.benchmarks import topics
from tests.benchmarks.environments import ROOT
from tests.benchmarks.stream_jobs import EARLY, penstock
from transforms.commit.lake import Lake, open_lake

STEP_S = 0.05
WARM_S = 15.0
SETTLES_S = 60.0


class Sender:
    """Sends events at a rate from a thread of its own.

    Attributes:
        sent: When each was handed to the client, seconds since the epoch, in their order.
    """

    def __init__(self, brokers: str, topic: str, rate: int, seconds: float) -> None:
        """Begin to send."""
        self.sent: list[float] = []
        self._to, self._topic = topics.producer(brokers), topic
        self._thread = threading.Thread(target=self._run, args=(rate, seconds), daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still sends."""
        return self._thread.is_alive()

    def _run(self, rate: int, seconds: float) -> None:
        ready = [line for line in lines(0, 20_000, 7) if line.endswith("}}")]
        began, step = time.time(), 0
        while (due := began + step * STEP_S) < began + seconds:
            time.sleep(max(due - time.time(), 0))
            step += 1
            first, now = len(self.sent), time.time()
            stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6]
            for number in range(first, first + int(rate * STEP_S)):
                self._send(number, ready[number % len(ready)], stamp)
            self._to.poll(0)
            self.sent += [now] * int(rate * STEP_S)
        self._to.flush(30)

    def _send(self, number: int, line: str, stamp: str) -> None:
        # {"event_id":"<36>","event_time":"...Z",...: a new id and time, the rest as generated.
        rest = line[line.index('Z"') :]
        identity = f"{number:08x}-0000-4000-8000-000000000000"
        text = f'{{"event_id":"{identity}","event_time":"{stamp}{rest}'
        self._to.produce(self._topic, text.encode(), partition=number % topics.PARTITIONS)


def measured(runner: str, rate: int, seconds: float, work: Path) -> list[float]:
    """Run a stream at a rate; return each message's seconds from sending to its row.

    Messages of the first `WARM_S` are left out.
    """
    brokers = servers.kafka()
    os.environ["KAFKA_BROKERS"] = brokers
    topic = topics.make(brokers, servers.unique("bench-latency"))
    out = work / "out-latency"
    shutil.rmtree(out, ignore_errors=True)
    sets = ("sinks.lake.commit_every=1s", f"aggregates.0.windowing.trigger={EARLY}")
    with (work / "latency.log").open("wb") as log:
        job = subprocess.Popen(
            penstock(runner, topic, out, *sets), cwd=ROOT, stdout=log, stderr=log
        )
        try:
            lake = open_lake(load_plan(ROOT / "beam_pipelines" / "events", out=out))
            _until_there(lake, job)
            sender = Sender(brokers, topic, rate, WARM_S + seconds)
            seen = _followed(lake, sender, job, WARM_S + seconds)
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(120)
    sent = np.array(sender.sent)
    found = np.concatenate([at - sent[begin:end] for at, begin, end in seen])
    warm = int(rate * WARM_S)
    return list(found[warm:])


def _until_there(lake: Lake, job: subprocess.Popen[bytes]) -> None:
    while _rows(lake) is None:
        if job.poll() is not None:
            msg = f"the stream must run; got its end with code {job.returncode}: see latency.log"
            raise RuntimeError(msg)
        time.sleep(0.5)


def _followed(
    lake: Lake, sender: Sender, job: subprocess.Popen[bytes], seconds: float
) -> list[tuple[float, int, int]]:
    """Return (moment, first message, message after the last) of what came to be seen."""
    seen, before = [], 0
    until = time.monotonic() + seconds + SETTLES_S
    while time.monotonic() < until and job.poll() is None:
        rows = _rows(lake) or 0
        if rows > before:
            seen.append((time.time(), before, rows))
            before = rows
        if not sender.alive and before >= len(sender.sent):
            return seen
        time.sleep(0.05)
    msg = f"every message must come to its row; got {before} of {len(sender.sent)}"
    raise RuntimeError(msg)


def _rows(lake: Lake) -> int | None:
    try:
        table = lake.read("analytics.events_5min", ["_rows"])
    except Exception:  # noqa: BLE001 - not there yet
        return None
    return int(table["_rows"].to_numpy().sum()) if table.num_rows else 0
