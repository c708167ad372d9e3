"""A stream on Flink whose processes are killed: rows land once.

In each campaign events come all the time, copies and broken ones among them; the topic itself says
what lake, ledger, aggregates and warehouse must hold. JobManager and cluster are those of a session
without high availability: a killed JobManager forgets its jobs, and `run --resume` goes on from the
newest checkpoint.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.servers import manager
from tests import servers
from tests.faults.stream_flink import SETTINGS, FlinkChaos, restart

pytestmark = pytest.mark.stack

KILLS = 20


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker; and a cluster of this module's own, so that what it kills is nobody else's."""
    address = servers.kafka()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENSTOCK_SERVERS", str(tmp_path_factory.mktemp("servers")))
        patch.setenv("PENSTOCK_PORTS", "free")
        patch.setenv("PENSTOCK_FLINK", "; ".join(f"{k}: {v}" for k, v in SETTINGS.items()))
        manager.up(["flink", "jobserver"])
        yield address
        manager.down()


def workers(chaos: FlinkChaos) -> None:
    """Kill a Python worker: its TaskManager starts another."""
    chaos.submit()
    while chaos.kills < KILLS:
        chaos.wait_for_commits(1)
        time.sleep(chaos.rng.uniform(0, 1.5))
        os.kill(chaos.rng.choice(chaos.wait_for(chaos.workers)), signal.SIGKILL)
        chaos.killed()


def task_managers(chaos: FlinkChaos) -> None:
    """Kill the TaskManager."""
    chaos.submit()
    while chaos.kills < KILLS:
        chaos.wait_for_commits(1)
        time.sleep(chaos.rng.uniform(0, 1.5))
        restart("flink-taskmanager", chaos.rng)
        chaos.killed()


def job_managers(chaos: FlinkChaos) -> None:
    """Kill the JobManager, and go on from the newest checkpoint."""
    chaos.submit()
    while chaos.kills < KILLS:
        chaos.wait_for_commits(1)
        time.sleep(chaos.rng.uniform(0, 2.5))
        restart("flink-jobmanager", chaos.rng)
        manager.up(["flink", "jobserver"])
        chaos.submit("--resume")
        chaos.killed()


def job_servers(chaos: FlinkChaos) -> None:
    """Kill the job server, which the job does not need."""
    chaos.submit()
    while chaos.kills < KILLS:
        time.sleep(chaos.rng.uniform(0, 1))
        restart("jobserver", chaos.rng, 0.1)
        chaos.wait_for_commits(1)
        chaos.killed()


def drivers(chaos: FlinkChaos) -> None:
    """Kill the driver while it submits or follows; the job, if there is one, goes on."""
    while chaos.kills < KILLS:
        driver = chaos.driver()
        time.sleep(chaos.rng.uniform(1, 9))
        chaos.kill(driver)
        chaos.stop_what_runs()


def sleeping_workers(chaos: FlinkChaos) -> None:
    """Put a worker to sleep, let another take its place, and wake it beside that."""
    chaos.submit()
    while chaos.kills < KILLS:
        chaos.wait_for_commits(1)
        time.sleep(chaos.rng.uniform(0, 1.5))
        (sleeper,) = chaos.wait_for(chaos.workers)
        chaos.put_to_sleep(sleeper)
        restart("flink-taskmanager", chaos.rng)
        chaos.wait_for_commits(1)
        os.kill(sleeper, signal.SIGCONT)
        chaos.wait_for(lambda pid=sleeper: pid not in chaos.workers())  # type: ignore[misc]
        chaos.killed()


CAMPAIGNS: dict[str, Callable[[FlinkChaos], None]] = {
    "workers": workers,
    "TaskManagers": task_managers,
    "JobManagers": job_managers,
    "job servers": job_servers,
    "drivers": drivers,
    "sleeping workers": sleeping_workers,
}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_stream_on_flink_whose_processes_die_20_times_loses_and_doubles_nothing(
    tmp_path: Path, broker: str, name: str
) -> None:
    chaos = FlinkChaos(tmp_path / "events", broker, random.Random(1))
    with chaos.sending() as stream:
        CAMPAIGNS[name](chaos)
        assert chaos.judge(stream) == []
    assert chaos.kills >= KILLS


def test_a_job_is_restarted_with_its_dead_worker_where_that_is_kept_longer_than_a_restart_waits(
    tmp_path: Path, broker: str
) -> None:
    chaos = FlinkChaos(tmp_path / "events", broker, random.Random(1))
    chaos.sets += ("runner.flags=--environment_cache_millis=60000",)
    with chaos.sending() as stream:
        chaos.submit()
        chaos.wait_for_commits(1)
        os.kill(chaos.wait_for(chaos.workers)[0], signal.SIGKILL)
        landed = chaos.landed()
        time.sleep(40)
        assert chaos.landed() <= landed + 1
        assert chaos.judge(stream) == []


def old_savepoint(chaos: FlinkChaos) -> None:
    """Go on from a savepoint that is older than what has landed since."""
    chaos.submit()
    chaos.wait_for_commits(2)
    old = chaos.stop("--savepoint")
    for _ in range(2):
        chaos.resume_from(old)
        chaos.submit("--resume")
        assert chaos.record()["resumed"] == old
        chaos.wait_for_commits(3)
        chaos.stop()


def no_checkpoint(chaos: FlinkChaos) -> None:
    """Begin on a lake with rows, without what the streams before knew."""
    for _ in range(3):
        chaos.submit("--from-lake")
        assert chaos.record()["resumed"] == ""
        chaos.wait_for_commits(3)
        chaos.stop()


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize(
    ("campaign", "rules"),
    [(old_savepoint, ("no trim", "no ids")), (no_checkpoint, ("no ids",))],
)
def test_a_stream_that_begins_behind_or_beside_what_has_landed_doubles_nothing(
    tmp_path: Path,
    broker: str,
    campaign: Callable[[FlinkChaos], None],
    rules: tuple[str, ...],
    protected: bool,
) -> None:
    own = () if protected else rules
    chaos = FlinkChaos(tmp_path / "events", broker, random.Random(2), rules=own)
    with chaos.sending(times=3) as stream:
        campaign(chaos)
        wrongs = chaos.judge(stream)
    assert (wrongs == []) == protected, wrongs
    assert any("events are doubled" in one for one in wrongs) != protected
