"""A broker that dies under a stream, and a disk that is full: the stream goes on, or the next run."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.servers import manager
from tests import servers
from tests.faults.stream_chaos import Chaos

pytestmark = pytest.mark.stack

KILLS = 20
DISK = 64 << 20


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker of this test's own, so that what it kills is nobody else's."""
    monkeypatch.setenv("PENSTOCK_SERVERS", str(tmp_path / "servers"))
    monkeypatch.setenv("PENSTOCK_PORTS", "free")
    (running,) = manager.up(["kafka"])
    yield running.address
    manager.down()


def test_a_stream_outlives_20_deaths_of_its_broker(tmp_path: Path, broker: str) -> None:
    chaos = Chaos(tmp_path / "events", broker, random.Random(1))
    with chaos.sending() as stream:
        run = chaos.start()
        for _ in range(KILLS):
            chaos.wait_for_commits(1, run)
            time.sleep(chaos.rng.uniform(0, 1.5))
            manager.kill("kafka")
            time.sleep(chaos.rng.uniform(0, 1.5))
            manager.up(["kafka"])
        chaos.wait_for_commits(1, run)
        assert chaos.judge(stream) == []


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of DISK bytes."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk needs the right to mount: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; the file that takes them can be deleted again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    return ballast


def test_a_full_disk_loses_and_doubles_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(1))
    with small_disk(chaos.folder / "out") as disk, chaos.sending(rate=60) as stream:
        for _ in range(5):
            run = chaos.start()
            chaos.wait_for_commits(1, run)
            time.sleep(chaos.rng.uniform(0, 2))
            ballast = fill(disk)
            before = chaos.landed()
            run.join(40)
            went_on = run.exitcode is None
            assert chaos.landed() <= before + 1
            ballast.unlink()
            if went_on:
                chaos.wait_for_commits(1, run)
                chaos.kill(run)
            else:
                chaos.fails(run)
        assert chaos.judge(stream) == []
