"""A stream on prism whose processes are killed, put to sleep and lied to: rows land once.

In each campaign events come all the time, copies and broken ones among them; the topic itself says
what lake, ledger, aggregates and warehouse must hold.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import servers
from tests.faults import stream_command
from tests.faults.stream_chaos import Chaos, asleep, prisms

pytestmark = pytest.mark.stack

KILLS = 20


def drivers_at_any_time(chaos: Chaos) -> None:
    """Kill the driver, which is the worker too: while it starts, reads, waits or commits."""
    while chaos.kills < KILLS:
        process = chaos.start()
        if chaos.kills % 4:
            chaos.wait_for_commits(1, process)
            time.sleep(chaos.rng.uniform(0, 2.5))
        else:
            time.sleep(chaos.rng.uniform(0, 5))
        chaos.kill(process)


def drivers_at_points(chaos: Chaos) -> None:
    """Kill the driver at the points of a commit, and around the files of a shard."""
    for turn in range(-(-KILLS // len(stream_command.POINTS))):
        for point in stream_command.POINTS:
            process = chaos.start(die=point, nth=1 + turn + chaos.rng.randrange(2))
            chaos.dies(process)


def prisms_at_any_time(chaos: Chaos) -> None:
    """Kill prism: its driver must see it and end."""
    while chaos.kills < KILLS:
        process = chaos.start()
        chaos.wait_for_commits(1 if chaos.kills % 4 else 0, process)
        (one,) = chaos.wait_for(lambda p=process: prisms(p))  # type: ignore[misc]
        time.sleep(chaos.rng.uniform(0, 2))
        os.kill(one, signal.SIGKILL)
        chaos.fails(process)
    assert chaos.said.read_text().count("prism must live as long as its stream") >= KILLS * 3 / 4


def sleepers(chaos: Chaos) -> None:
    """Put a driver to sleep anywhere, let another take its place, and wake it beside that."""
    first = chaos.start()
    chaos.wait_for_commits(1, first)
    while chaos.kills < KILLS:
        time.sleep(chaos.rng.uniform(0, 1.5))
        chaos.put_to_sleep(first.pid)
        second = chaos.start()
        chaos.wait_for_commits(1, second)
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(chaos.rng.uniform(0.5, 2.5))
        # The woken one may have found that it is too late; whoever it is, both did no harm.
        chaos.kill(first, or_failed=True)
        first = second


def liars(chaos: Chaos) -> None:
    """Kill the driver while the catalog denies what it has done, or does not do what it was told."""
    chaos.lie = 0.15
    while chaos.kills < KILLS:
        process = chaos.start()
        time.sleep(chaos.rng.uniform(3, 7))
        chaos.kill(process, or_failed=True)


def compactions(chaos: Chaos) -> None:
    """Put files together while the stream commits; kill that, and now and then the stream."""
    driver = chaos.start()
    chaos.wait_for_commits(2, driver)
    while chaos.kills < KILLS:
        tending = chaos.maintain()
        time.sleep(chaos.rng.uniform(2, 6))
        if chaos.kills % 5 == 4:
            chaos.kill(driver)
            driver = chaos.start()
        chaos.kill(tending)
    assert chaos.ops()["compact"] > 0


CAMPAIGNS: dict[str, Callable[[Chaos], None]] = {
    "drivers at any time": drivers_at_any_time,
    "drivers at points": drivers_at_points,
    "prisms at any time": prisms_at_any_time,
    "sleepers": sleepers,
    "liars": liars,
    "compactions": compactions,
}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_stream_whose_processes_die_20_times_loses_and_doubles_nothing(
    tmp_path: Path, name: str
) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(1))
    with chaos.sending() as stream:
        CAMPAIGNS[name](chaos)
        assert chaos.judge(stream) == []
    assert chaos.kills >= KILLS


def test_every_event_sent_three_times_lands_once_whatever_is_killed(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(2))
    with chaos.sending(times=3) as stream:
        _kill(chaos, 3)
        assert chaos.judge(stream) == []


def test_a_stream_that_reads_all_again_after_each_kill_lands_nothing_twice(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(3), rules=("read anew",))
    with chaos.sending() as stream:
        _kill(chaos, 3)
        assert chaos.judge(stream) == []


def _kill(chaos: Chaos, kills: int) -> None:
    for _ in range(kills):
        process = chaos.start()
        chaos.wait_for_commits(1, process)
        time.sleep(chaos.rng.uniform(0, 1.5))
        chaos.kill(process)


@pytest.mark.parametrize(
    ("rules", "times"),
    [(("no ids",), 3), (("read anew", "no trim", "no ids"), 1)],
    ids=["copies are not asked for", "done positions are not trimmed"],
)
def test_with_a_protection_switched_off_the_same_kills_double_events(
    tmp_path: Path, rules: tuple[str, ...], times: int
) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(4), rules=rules)
    with chaos.sending(times=times) as stream:
        _kill(chaos, 3)
        wrongs = chaos.judge(stream)
    assert any("events are doubled" in one for one in wrongs), wrongs


def test_with_the_positions_of_the_lake_forgotten_the_same_kills_lose_events(
    tmp_path: Path,
) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(4), rules=("read anew",))
    chaos.sets = ("source.stream.kafka.start=latest",)
    with chaos.sending() as stream:
        _kill(chaos, 3)
        wrongs = chaos.judge(stream, protected=False)
    assert any("events lost" in one for one in wrongs), wrongs


def test_a_run_that_dies_between_tables_is_seen_where_nobody_finishes_its_commit(
    tmp_path: Path,
) -> None:
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(5), rules=("no recovery",))
    with chaos.sending() as stream:
        chaos.dies(chaos.start(die="between tables", nth=2))
        wrongs = chaos.judge(stream, protected=False)
    assert wrongs


@pytest.mark.parametrize("fenced", [True, False])
def test_a_run_that_wakes_up_with_a_commit_in_its_hands_lands_it_only_without_the_fence(
    tmp_path: Path, fenced: bool
) -> None:
    rules = () if fenced else ("no fence", "no ids")
    chaos = Chaos(tmp_path / "events", servers.kafka(), random.Random(6), rules=rules)
    with chaos.sending() as stream:
        sleeper = chaos.start(die="before intent", nth=2, how=signal.SIGSTOP)
        chaos.wait_for(lambda: asleep(sleeper))
        second = chaos.start()
        chaos.wait_for_commits(1, second)
        os.kill(sleeper.pid, signal.SIGCONT)
        chaos.wait_for_commits(2, second)
        wrongs = chaos.judge(stream)
    assert any("events are doubled" in one for one in wrongs) != fenced, wrongs
    assert (wrongs == []) == fenced
