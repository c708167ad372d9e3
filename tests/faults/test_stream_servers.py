"""A broker that dies under a stream, and a disk that is full: the stream goes on, or the next run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.servers import manager
from tests import servers
from tests.faults.disk import BALLAST, fill, small_disk
from tests.faults.stream_chaos import Chaos
from transforms.kafka_client import TIMEOUT_S

pytestmark = pytest.mark.stack

KILLS = 20


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


@pytest.mark.parametrize("rules", [(), ("brokers always answer",)])
def test_a_stream_waits_for_a_broker_that_is_away_for_long(
    tmp_path: Path, broker: str, rules: tuple[str, ...]
) -> None:
    chaos = Chaos(tmp_path / "events", broker, random.Random(2), rules=rules)
    chaos.sets = ("source.stream.kafka.refresh=1s", "source.stream.idle=1d")
    with chaos.sending() as stream:
        run = chaos.start()
        chaos.wait_for_commits(1, run)
        manager.kill("kafka")
        time.sleep(TIMEOUT_S + 10)
        manager.up(["kafka"])
        if rules:
            chaos.fails(run)
        else:
            chaos.wait_for_commits(2, run)
        assert chaos.judge(stream) == []


def test_a_full_disk_loses_and_doubles_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(1))
    with small_disk(chaos.folder / "out") as disk, chaos.sending(rate=60) as stream:
        for _ in range(5):
            run = chaos.start()
            chaos.wait_for_commits(1, run)
            time.sleep(chaos.rng.uniform(0, 2))
            fill(disk)
            before = chaos.landed()
            run.join(40)
            went_on = run.exitcode is None
            assert chaos.landed() <= before + 1
            (disk / BALLAST).unlink()
            if went_on:
                chaos.wait_for_commits(1, run)
                chaos.kill(run)
            else:
                chaos.fails(run)
        assert chaos.judge(stream) == []


@pytest.mark.parametrize("recovered", [True, False])
def test_a_commit_that_a_full_disk_cuts_in_two_is_finished_by_the_next_run(
    tmp_path: Path, recovered: bool
) -> None:
    rules = () if recovered else ("no recovery",)
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(2), rules=rules)
    with small_disk(chaos.folder / "out") as disk, chaos.sending(rate=60) as stream:
        run = chaos.start(die="between tables", nth=2, full=disk)
        chaos.wait_for((disk / BALLAST).exists)
        run.join(40)
        (disk / BALLAST).unlink()
        chaos.kill(run, or_failed=True)
        wrongs = chaos.judge(stream, protected=recovered)
    assert (wrongs == []) == recovered, wrongs
