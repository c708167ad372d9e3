"""What is said of a job that is followed: commits, restarts, and that nothing lands."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import stream_follow
from beam_pipelines.stream_follow import StalledError, Watching, follow
from schemas.errors import PenstockError
from schemas.plan import Plan
from schemas.planning import load_plan
from tests.pipelines.shop import make_folder
from tests.streams import stream_plan
from transforms.commit.lake import open_lake
from transforms.sources.kafka import topics
from transforms.sources.streams.vector import Place

WAITS = {"c/t/0": Place(position=0, end=30, label="t/0"), "c/t/1": Place(position=0, end=5)}
RAISED = (
    "Traceback (most recent call last):\n"
    '  File "/x/transforms/y.py", line 3, in process\n'
    "    raise {0}\n"
    "schemas.errors.{0}: a thing must hold; got none; mend it [while running 'Admit']"
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_follow, "_LOOK_S", 0.01)
    monkeypatch.setattr(stream_follow, "_COMMITS_S", 0.02)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return stream_plan(make_folder(tmp_path))


class Job:
    """Runs for so many looks, and fails and begins again with these."""

    id, page = "j", "http://there"

    def __init__(self, looks: int = 1000, *troubles: Exception) -> None:
        self.looks, self.troubles = looks, list(troubles)

    def over(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def trouble(self) -> Exception | None:
        return self.troubles.pop(0) if self.troubles else None

    def stuck(self) -> str:
        return "step Land is busy"

    def cancel(self) -> None:
        raise NotImplementedError


def followed(
    job: Job, plan: Plan, places: Mapping[str, Place] = WAITS, **more: Any
) -> tuple[bool, list[str]]:
    said: list[str] = []
    watching = Watching(warn=said.append, **more)
    ended = follow(job, plan, open_lake(plan), watching, places=places)
    return ended, said


def test_a_job_that_lands_nothing_of_what_waits_ends_the_run(plan: Plan) -> None:
    with pytest.raises(StalledError) as error:
        followed(Job(), plan, stall_s=0.05)
    assert "35 messages wait (t/0 30, c/t/1 5); step Land is busy; look there (http://there)" in (
        str(error.value)
    )


def test_it_may_only_be_told_of(plan: Plan) -> None:
    ended, said = followed(Job(100), plan, stall_s=0.1, stall_warns=True)
    assert ended
    assert said
    assert all("35 messages wait" in line for line in said)


def test_a_source_that_has_nothing_more_is_no_stall(plan: Plan) -> None:
    assert followed(Job(50), plan, {"c/t/0": Place(position=9, end=9)}, stall_s=0.05) == (True, [])
    assert followed(Job(50), plan, stall_s=0) == (True, [])


def test_a_source_that_does_not_answer_is_the_reason(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "TIMEOUT_S", 1)
    face = "  stream: {kafka: {topic: t, brokers: '127.0.0.1:9'}}\nsteps:\n"
    file = plan.folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("steps:\n", face, 1))
    unreachable = load_plan(plan.folder, runner="prism", mode="stream")
    with pytest.raises(StalledError, match="got none for 0 s: the Kafka brokers must answer"):
        followed(Job(), unreachable, {}, stall_s=0.05)


def test_a_restart_is_told_once_and_gone_on_after(plan: Plan) -> None:
    error = RuntimeError(RAISED.format("SourceError"))
    ended, said = followed(Job(60, error, error), plan)
    assert ended
    (line,) = said
    assert line.endswith(
        "begins again at its last checkpoint: a thing must hold; got none; mend it"
    )


def test_what_no_retry_mends_ends_the_run_at_once(plan: Plan) -> None:
    with pytest.raises(PenstockError, match="a thing must hold") as error:
        followed(Job(1000, RuntimeError(RAISED.format("UsageError"))), plan)
    assert error.value.exit_code == 2


def test_so_does_what_fails_again_and_again_without_a_commit(plan: Plan) -> None:
    again = [RuntimeError(RAISED.format("SourceError"))] * 10
    with pytest.raises(PenstockError, match="a thing must hold"):
        followed(Job(1000, *again), plan)


def test_a_machine_that_is_away_for_long_does_not(plan: Plan) -> None:
    ended, said = followed(Job(100, *[PenstockError("no slot")] * 40), plan)
    assert ended
    assert len(said) == 1


def test_an_interrupt_ends_the_following_and_not_in_the_middle_of_a_look(plan: Plan) -> None:
    class Interrupted(Job):
        def trouble(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    assert followed(Interrupted(), plan) == (False, [])
    assert signal.getsignal(signal.SIGINT) is before
