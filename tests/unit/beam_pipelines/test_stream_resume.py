"""Where a stream begins: at the state that the last one left, if it fits, or behind the lake."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.stream_lock import holder
from beam_pipelines.stream_record import (
    Record,
    keep,
    last_stream,
    note_end,
    noted,
    source_sets,
    state_of,
)
from beam_pipelines.stream_resume import Begin, only_stream, where
from schemas.errors import UsageError
from schemas.plan import Plan
from schemas.planning import load_plan
from tests.pipelines.shop import PIPELINE, make_folder
from transforms.continuous.id_key import own_id_key
from transforms.saved_state import LAYOUT, UNMARKED

FACE = "  stream: {kafka: {topic: sales, brokers: b}}\nsteps:\n"


class Runner:
    """Left these checkpoints, and has these jobs."""

    shares = 3

    def __init__(self, *, checkpoint: str = "", jobs: tuple[str, ...] = ()) -> None:
        self.checkpoint, self.jobs = checkpoint, jobs

    def running(self, job: str) -> bool:
        return job in self.jobs

    def restorable(self, job: str) -> str:
        return self.checkpoint

    def discard(self, path: str) -> None:
        raise NotImplementedError

    def pipeline(self, name: str, **_: Any) -> Any:
        raise NotImplementedError

    def launch(self, root: Any, name: str) -> Any:
        raise NotImplementedError


def plan_of(root: Path, *sets: str) -> Plan:
    folder = root / "shop"
    if not folder.exists():
        make_folder(root, pipeline=PIPELINE.replace("steps:\n", FACE, 1))
    return load_plan(folder, runner="flink", mode="stream", sets=sets)


def record(plan: Plan, **more: Any) -> Record:
    key = own_id_key(plan).key_id
    made = Record(
        runner="flink",
        name="n",
        run_id="r",
        started=1.0,
        state=state_of(plan),
        shares=2,
        key_id=key,
        options={},
        job="j",
        layout=LAYOUT,
    )
    return replace(made, **more)


def savepoint(root: Path) -> str:
    folder = root / "savepoint"
    folder.mkdir(exist_ok=True)
    (folder / "_metadata").touch()
    return folder.as_uri()


def test_a_stream_goes_on_from_the_savepoint_with_its_restrictions_and_its_key(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    last = record(plan, savepoint=savepoint(tmp_path))
    begin = where(Runner(checkpoint="c"), plan, last, "auto")
    assert (begin.path, begin.shares, begin.key_id) == (last.savepoint, 2, last.key_id)
    assert begin.note == f"goes on from {last.savepoint}"
    assert where(Runner(), plan, last, "lake") == Begin()


def test_without_a_savepoint_it_goes_on_from_the_newest_checkpoint(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    gone = f"{savepoint(tmp_path)}-gone"
    for last in (record(plan), record(plan, savepoint=gone), record(plan, ended="failed")):
        assert where(Runner(checkpoint="c"), plan, last, "auto").path == "c"


def test_one_that_ended_before_its_first_checkpoint_leaves_what_it_went_on_from(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    there = savepoint(tmp_path)
    assert where(Runner(), plan, record(plan, resumed=there), "auto").path == there
    assert where(Runner(), plan, record(plan, resumed=f"{there}-gone"), "auto").path == ""
    assert where(Runner(checkpoint="c"), plan, record(plan, resumed=there), "auto").path == "c"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ended": "drained"}, "one that drained"),
        ({"ended": "finished"}, "one that finished"),
        ({"runner": "prism"}, "none that ran on flink"),
        ({"state": "other"}, "the state of another plan"),
        ({"layout": 1}, f"state of layout 1, of another release (this one reads {LAYOUT})"),
        ({"key_id": "12345678"}, "a state of the key 12345678, which is lost"),
    ],
)
def test_a_state_that_does_not_fit_is_left_aside_and_resume_says_why(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    plan = plan_of(tmp_path)
    last = record(plan, **changed)
    assert where(Runner(checkpoint="c"), plan, last, "auto").path == ""
    with pytest.raises(UsageError, match="--resume must have a savepoint") as error:
        where(Runner(checkpoint="c"), plan, last, "resume")
    assert f"got {said};" in str(error.value)


def test_resume_says_how_a_savepoint_is_found_that_came_after_its_wait(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    said = r"may have come after its wait \(penstock stop \S+ --savepoint finds it\)"
    with pytest.raises(UsageError, match=said):
        where(Runner(), plan, record(plan, stop_request="r"), "resume")
    with pytest.raises(UsageError, match="got one that left neither"):
        where(Runner(), plan, record(plan, stop_request="r", draining=True), "resume")


def test_resume_without_any_stream_before_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    for last in (None, record(plan)):
        assert where(Runner(), plan, last, "auto") == Begin()
        with pytest.raises(UsageError, match="--resume must have"):
            where(Runner(), plan, last, "resume")


@pytest.mark.parametrize(
    "other",
    [
        "source.stream.kafka.topic=others",
        "source.stream.kafka.end=latest",
        "steps.0.deduplicate.horizon=2d",
        "aggregates.0.windowing.size=5m",
    ],
)
def test_a_state_is_that_of_another_stream_when_what_it_is_made_of_changed(
    tmp_path: Path, other: str
) -> None:
    assert state_of(plan_of(tmp_path)) != state_of(plan_of(tmp_path, other))


@pytest.mark.parametrize(
    "same",
    [
        "sinks.lake.commit_every=1s",
        "source.stream.disorder=1m",
        "source.stream.kafka.start=latest",
        "source.stream.kafka.on_gap=skip",
    ],
)
def test_a_state_stays_that_of_a_stream_that_only_goes_another_pace(
    tmp_path: Path, same: str
) -> None:
    assert state_of(plan_of(tmp_path)) == state_of(plan_of(tmp_path, same))


def begun(plan: Plan, last: Record | None, jobs: tuple[str, ...] = (), **more: Any) -> None:
    with only_stream(Runner(jobs=jobs), plan, last, **more):
        pass


def test_a_second_stream_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    last = record(plan)
    for job in ("j", "n"):
        one = record(plan, job="") if job == "n" else last  # it died before it knew its job
        with pytest.raises(UsageError, match="one stream at a time"):
            begun(plan, one, (job,))
    begun(plan, last)
    begun(plan, record(plan, ended="stopped"), ("j",))
    begun(plan, None, ("j",))


def test_one_beside_a_job_of_another_runner_is_refused_and_how_to_stop_that_is_said(
    tmp_path: Path,
) -> None:
    plan = replace(plan_of(tmp_path), runner="prism", out=tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"runs on flink \(job j\); .* --out \S*elsewhere$"):
        begun(plan, record(plan), elsewhere=lambda last: last.job == "j")
    begun(plan, record(plan), elsewhere=lambda last: last.job != "j")


def test_one_beside_a_process_that_runs_one_is_refused_until_that_has_died(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path), runner="prism")
    assert holder(plan.out) == ""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom beam_pipelines.stream_lock import held\n"
        "with held(Path(sys.argv[1])) as mine:\n  print(mine, flush=True)\n  time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(plan.out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "True\n"
            assert holder(plan.out) == str(other.pid)
            with pytest.raises(UsageError, match=f"one that process {other.pid} runs"):
                begun(plan, None)
        finally:
            other.kill()
    assert holder(plan.out) == ""
    begun(plan, None)


def test_a_record_is_read_as_it_was_kept_and_not_changed_by_a_stream_before_it(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    assert last_stream(tmp_path / "out") is None
    first, second = record(plan, run_id="1"), record(plan, run_id="2")
    keep(tmp_path / "out", first)
    assert noted(tmp_path / "out", first, ended="stopped").ended == "stopped"
    assert last_stream(tmp_path / "out") == replace(first, ended="stopped")
    keep(tmp_path / "out", second)
    noted(tmp_path / "out", first, ended="finished")
    assert last_stream(tmp_path / "out") == second
    kept = json.loads((tmp_path / "out" / "stream.json").read_text())
    del kept["layout"]  # as an earlier release wrote it
    (tmp_path / "out" / "stream.json").write_text(json.dumps(kept))
    assert last_stream(tmp_path / "out") == replace(second, layout=UNMARKED)
    (tmp_path / "out" / "stream.json").write_text("{")
    assert last_stream(tmp_path / "out") is None


def test_what_is_kept_of_overrides_is_the_source_and_no_secret() -> None:
    topic = "source.stream.kafka.topic=${TOPIC}"
    registry = 'source.stream.kafka.registry={url: "https://%sh:1/a@b"}'
    given = [topic, "runner.parallelism=2", "source.batch.files.path=x", registry % "u:p@"]
    assert source_sets(given) == [topic, registry % ""]


def test_how_a_stream_was_stopped_stays_when_its_follower_sees_the_end(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", record(plan_of(tmp_path))
    keep(out, mine)
    noted(out, mine, ended="stopped", savepoint="s")
    note_end(out, mine, "finished")
    assert last_stream(out) == replace(mine, ended="stopped", savepoint="s")
    keep(out, mine)
    note_end(out, mine, "finished")
    noted(out, mine, ended="stopped", savepoint="s")  # whoever comes second
    assert last_stream(out) == replace(mine, ended="stopped", savepoint="s")


def test_the_seeds_of_ids_are_the_same_as_long_as_their_key_is_there_and_no_secret_is_pickled(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    first = own_id_key(plan)
    seeds = first.seeds()
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert seeds[0] != seeds[1]
    key = plan.folder / ".penstock-key"
    secret = key.read_text().strip()
    assert secret not in repr(first)
    key.write_text(f"{secret}\n{'n' * 44}\n")  # rotated: a newer key stands after it
    assert own_id_key(plan).key_id != first.key_id
    assert own_id_key(plan, first.key_id).seeds() == seeds
    assert own_id_key(replace(plan, name="other")).seeds() != own_id_key(plan).seeds()
    key.write_text(f"{'n' * 44}\n")
    with pytest.raises(UsageError, match="begin without a checkpoint"):
        first.seeds()
