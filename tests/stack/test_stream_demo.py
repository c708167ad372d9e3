"""`make stream-demo`, shorter: all flights land, the ledger balances, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.local.servers import manager, processes
from tests import servers
from tests.stack.streaming import wait_for

pytestmark = pytest.mark.stack

LAST = (
    "ledger balanced: read 336,776 = kept 336,776 + refused 0 + duplicate 0 + filtered 0 + late 0"
)


@contextmanager
def demo(seconds: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local.stream_demo"],
        env=os.environ | {"PENSTOCK_DEMO_SECONDS": str(seconds), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def family(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader:
                found.append(int(entry.name))
    return found


def topics(broker: str) -> set[str]:
    every = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=30).topics
    return {name for name in every if name.startswith("flights-demo-")}


def test_it_ends_with_a_balanced_ledger_and_takes_down_the_broker_that_it_started(
    tmp_path: Path,
) -> None:
    own = tmp_path / "servers"
    with demo(15, PENSTOCK_SERVERS=str(own), PENSTOCK_PORTS="free") as process:
        said, complaint = process.communicate(timeout=400)
    assert process.returncode == 0, complaint
    assert said.splitlines()[-1] == LAST
    assert "rows/s" in complaint
    assert not processes.members(str(own / "kafka"))
    assert not list(own.glob("*.json"))
    assert not family(process.pid)


def test_an_interrupt_ends_all_of_it_and_a_broker_that_was_up_stays_up() -> None:
    broker = servers.kafka()
    before = manager.last("kafka")
    known = topics(broker)
    with demo(60) as process:
        assert wait_for(lambda: bool(topics(broker) - known), 120)
        time.sleep(8)  # the run is under way
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert not family(process.pid)
    assert wait_for(lambda: topics(broker) == known, 20)
    assert manager.last("kafka") == before
    assert servers.kafka() == broker


def test_a_wrong_number_of_seconds_is_said_before_anything_starts() -> None:
    with demo(0) as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "$PENSTOCK_DEMO_SECONDS must be whole seconds" in complaint
