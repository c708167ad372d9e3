"""`make stream-demo`, shorter: flights land, the ledger balances, and nothing is left running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.local.servers import manager, processes
from tests import servers
from tests.stack.streaming import wait_for

pytestmark = pytest.mark.stack

MARK = "PENSTOCK_TEST_DEMO"
LAST = (
    r"ledger balanced: read ([\d,]+) = "
    r"kept ([\d,]+) \+ refused 0 \+ duplicate 0 \+ filtered 0 \+ late 0"
)


@contextmanager
def demo(out: Path, seconds: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    flags = ["--seconds", str(seconds), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local.stream_demo", *flags],
        env=os.environ | {MARK: str(out), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def family(out: Path) -> list[str]:
    """Living processes that inherited a demo's environment, servers and prism too."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (
                entry.name.isdigit()
                and f"{MARK}={out}\0".encode() in (entry / "environ").read_bytes()
            ):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
    return found


def topics(broker: str) -> set[str]:
    every = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=30).topics
    return {name for name in every if name.startswith("flights-demo-")}


def test_it_ends_with_a_balanced_ledger_and_takes_down_the_broker_that_it_started(
    tmp_path: Path,
) -> None:
    own = tmp_path / "servers"
    with demo(tmp_path / "out", 15, PENSTOCK_SERVERS=str(own), PENSTOCK_PORTS="free") as process:
        said, complaint = process.communicate(timeout=400)
    assert process.returncode == 0, complaint
    found = re.fullmatch(LAST, said.splitlines()[-1])
    assert found, said
    assert found[1] == found[2]
    assert found[1] == "336,776"
    assert "rows/s" in complaint
    assert not processes.members(str(own / "kafka"))
    assert not list(own.glob("*.json"))
    assert family(tmp_path / "out") == []


def test_an_interrupt_ends_all_of_it_and_a_broker_that_was_up_stays_up(tmp_path: Path) -> None:
    broker = servers.kafka()
    before = manager.last("kafka")
    known = topics(broker)
    with demo(tmp_path / "out", 60) as process:
        assert wait_for(lambda: bool(topics(broker) - known), 120)
        assert wait_for(lambda: len(family(tmp_path / "out")) == 4, 60)  # prism too
        files = tmp_path / "out" / "lake" / "operations"
        assert wait_for(lambda: bool(list(files.rglob("flights_ledger/**/*.parquet"))), 60)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=120)
    assert process.returncode == 130, complaint
    assert "ledger balanced: read" in said
    assert family(tmp_path / "out") == []
    assert wait_for(lambda: not topics(broker) - known, 20)
    assert manager.last("kafka") == before
    assert servers.kafka() == broker


def test_a_wrong_number_of_seconds_is_said_before_anything_starts(tmp_path: Path) -> None:
    with demo(tmp_path / "out", 0) as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--seconds: must be whole seconds, at least 1; got '0'" in complaint
    assert not (tmp_path / "out").exists()
