"""`penstock stop` and `penstock status`, against a cluster that is played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import stream_status
from beam_pipelines.cli import main
from beam_pipelines.stream_lock import held
from beam_pipelines.stream_record import Record, keep, last_stream
from schemas.plan import Plan
from schemas.planning import load_plan
from tests.flink_cluster import Cluster, played
from tests.pipelines.shop import PIPELINE, make_folder, sales
from transforms.sources.streams.vector import Place

FACE = "  stream: {kafka: {topic: sales, brokers: '${NOT_SET}'}}\nsteps:\n"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with played() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path, pipeline=PIPELINE.replace("steps:\n", FACE, 1))


def recorded(folder: Path, cluster: Cluster | None = None, **more: Any) -> Record:
    out = folder / "out"
    options = {"checkpoints": (out / "checkpoints").as_uri()}
    if cluster is not None:
        options["rest"] = cluster.rest.url
    values = {
        "runner": "flink",
        "name": "penstock-shop-1",
        "run_id": "r",
        "started": 1_700_000_000.0,
        "state": "s",
        "shares": 1,
        "key_id": "",
        "options": options,
        "job": "a",
    }
    made = Record(**{**values, **more})
    keep(out, made)
    return made


def test_there_must_be_a_stream_to_stop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", str(folder)]) == 2
    assert "there must be a stream to stop; got no" in capsys.readouterr().err


def test_what_a_runner_cannot_do_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, runner="prism")
    assert main(["stop", str(folder), "--savepoint"]) == 2
    assert "--savepoint must be something that the runner can do; got prism; use flink" in (
        capsys.readouterr().err
    )
    assert main(["stop", str(folder)]) == 2
    assert "a stream on prism must be stopped where it runs" in capsys.readouterr().err
    assert main(["stop", str(folder), "--drain", "--to", "file:///kept"]) == 2
    assert "--to must come with Flink; got prism" in capsys.readouterr().err
    for flag in ("--resume", "--from-lake"):
        assert main(["run", str(folder), "--stream", "--runner", "prism", flag]) == 2
        said = f"{flag} must come with a runner that has savepoints; got prism"
        assert said in capsys.readouterr().err
    assert main(["run", str(folder), "--stream", "--runner", "prism", "--detach"]) == 2
    assert "--detach must be something that the runner can do" in capsys.readouterr().err


def test_a_stream_on_prism_is_asked_to_drain_and_its_end_waited_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, runner="prism")
    assert main(["stop", str(folder), "--drain", "--wait", "300ms"]) == 1
    assert "a drained stream must end within 0 s" in capsys.readouterr().err
    found = last_stream(folder / "out")
    assert found is not None
    assert found.draining
    recorded(folder, runner="prism", draining=True, ended="finished")
    assert main(["stop", str(folder), "--drain"]) == 0


def test_stop_cancels_and_notes_it(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster)
    cluster.answers["PATCH /jobs/a?mode=cancel"] = (202, {})
    running, canceled = {"state": "RUNNING"}, {"state": "CANCELED"}
    cluster.answers["GET /jobs/a"] = [running, running, canceled]
    assert main(["stop", str(folder)]) == 0
    assert capsys.readouterr().out == "job a: canceled\n"
    found = last_stream(folder / "out")
    assert found is not None
    assert (found.ended, found.savepoint) == ("cancelled", "")


def with_savepoint(folder: Path, cluster: Cluster, location: str) -> None:
    recorded(folder, cluster)
    cluster.answers["GET /jobs/a"] = [
        {"state": "RUNNING"},
        {"state": "RUNNING"},
        {"state": "FINISHED"},
    ]
    cluster.answers["POST /jobs/a/stop"] = (202, {"request-id": "r"})
    cluster.answers["GET /jobs/a/savepoints/r"] = {
        "status": {"id": "COMPLETED"},
        "operation": {"location": location},
    }


def test_stop_with_a_savepoint_keeps_where_it_is(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    made = folder / "out" / "checkpoints" / "savepoints" / "one"
    made.mkdir(parents=True)
    (made / "_metadata").touch()
    with_savepoint(folder, cluster, made.as_uri())
    assert main(["stop", str(folder), "--savepoint", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["savepoint"] == made.as_uri()
    asked = dict(cluster.asked)["POST /jobs/a/stop"]
    assert asked == {"targetDirectory": made.parent.as_uri(), "drain": False}
    found = last_stream(folder / "out")
    assert found is not None
    assert (found.ended, found.savepoint) == ("stopped", made.as_uri())


def test_a_savepoint_that_is_not_on_the_disk_is_no_savepoint(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with_savepoint(folder, cluster, (folder / "nowhere").as_uri())
    assert main(["stop", str(folder), "--savepoint"]) == 1
    assert "a savepoint must be there when Flink says so" in capsys.readouterr().err
    found = last_stream(folder / "out")
    assert found is not None
    assert (found.ended, found.savepoint) == ("", "")


def test_a_savepoint_that_comes_after_its_wait_is_kept_by_the_next_stop(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    made = folder / "out" / "checkpoints" / "savepoints" / "one"
    made.mkdir(parents=True)
    (made / "_metadata").touch()
    with_savepoint(folder, cluster, made.as_uri())
    completed = cluster.answers["GET /jobs/a/savepoints/r"]
    cluster.answers["GET /jobs/a"] = {"state": "RUNNING"}
    cluster.answers["GET /jobs/a/savepoints/r"] = {"status": {"id": "IN_PROGRESS"}}
    for _ in range(2):  # the second one asks for no other
        assert main(["stop", str(folder), "--savepoint", "--wait", "0s"]) == 1
        assert "it may still come" in capsys.readouterr().err
    assert [asked for asked, _ in cluster.asked].count("POST /jobs/a/stop") == 1
    cluster.answers["GET /jobs/a"] = {"state": "FINISHED"}
    cluster.answers["GET /jobs/a/savepoints/r"] = completed
    for _ in range(2):
        assert main(["stop", str(folder), "--savepoint", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["savepoint"] == made.as_uri()
        found = last_stream(folder / "out")
        assert found is not None
        assert (found.ended, found.savepoint) == ("stopped", made.as_uri())


def test_a_late_savepoint_is_found_in_the_jobs_history_when_its_request_is_forgotten(
    folder: Path, cluster: Cluster
) -> None:
    made = folder / "one"
    made.mkdir()
    (made / "_metadata").touch()
    recorded(folder, cluster, stop_request="r")
    cluster.answers |= {
        "GET /jobs/a": {"state": "FINISHED"},
        "GET /jobs/a/savepoints/r": (404, {"errors": ["no such request"]}),
        "GET /jobs/a/checkpoints": {"latest": {"savepoint": {"external_path": made.as_uri()}}},
    }
    assert main(["stop", str(folder)]) == 0
    found = last_stream(folder / "out")
    assert found is not None
    assert (found.ended, found.savepoint) == ("stopped", made.as_uri())


def test_a_drain_that_came_to_its_end_after_its_wait_is_noted_and_leaves_no_savepoint(
    folder: Path, cluster: Cluster
) -> None:
    recorded(folder, cluster, stop_request="r", draining=True)
    cluster.answers["GET /jobs/a"] = {"state": "FINISHED"}
    assert main(["stop", str(folder), "--drain"]) == 0
    found = last_stream(folder / "out")
    assert found is not None
    assert (found.ended, found.savepoint) == ("drained", "")


@pytest.mark.parametrize("request_id", ["", "r"])
def test_a_savepoint_of_a_job_that_has_ended_without_one_is_refused(
    folder: Path, cluster: Cluster, request_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster, stop_request=request_id)
    cluster.answers |= {
        "GET /jobs/a": {"state": "FAILED"},
        "GET /jobs/a/savepoints/r": {
            "status": {"id": "COMPLETED"},
            "operation": {"failure-cause": {"stack-trace": "java.lang.X: no"}},
        },
        "GET /jobs/a/checkpoints": {"latest": {"savepoint": None}},
    }
    assert main(["stop", str(folder), "--savepoint"]) == 1
    assert "got none of job a, which has ended (failed); run it again" in capsys.readouterr().err
    assert main(["stop", str(folder)]) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--savepoint", "--to", "/plain/path"], "--to must be a URI"),
        (["--to", "file:///kept"], "--to must come with --savepoint or --drain; got it alone"),
        (["--wait", "5m"], "--wait must come with --savepoint or --drain; got it alone"),
        (["--savepoint", "--wait", "5"], "--wait must be a whole number and a unit"),
        (["--flink-rest", "127.0.0.1:9"], "a Flink cluster must answer at http://127.0.0.1:9"),
    ],
)
def test_a_wrong_flag_stops_nothing(
    folder: Path, cluster: Cluster, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster)
    cluster.answers["GET /jobs/a"] = {"state": "RUNNING"}
    assert main(["stop", str(folder), *flags]) == 2
    assert said in capsys.readouterr().err
    assert {asked.split()[0] for asked, _ in cluster.asked} <= {"GET"}


def test_a_job_that_the_cluster_does_not_know_is_said(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster)
    cluster.answers["GET /jobs/overview"] = {"jobs": []}
    assert main(["stop", str(folder)]) == 2
    assert "must know the job; got none named penstock-shop-1" in capsys.readouterr().err


def test_status_of_a_pipeline_that_never_ran_as_a_stream(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "shop: no stream has run"
    assert "note: lag is not known: ${NOT_SET} must have a value" in out[1]
    assert not (folder / "out" / "lake" / "catalog.db").exists()


def test_status_of_a_batch_pipeline_has_no_lag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path)
    said = "shop: a batch pipeline, with no stream to lag behind its source"
    assert main(["status", str(folder)]) == 0
    assert capsys.readouterr().out == f"{said}\n"
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 5))
    assert main(["run", str(folder), "--sinks", "lake"]) == 0
    capsys.readouterr()
    assert main(["status", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == said
    assert lines[1].startswith("  commit      1 of 20")
    assert len(lines) == 2
    assert main(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["mode"], told["lag"], told["state"]) == ("batch", None, "NONE")


def test_status_shows_what_the_cluster_says_of_a_job(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster, resumed="file:///k")
    vertices = {"state": "RUNNING", "vertices": [{"id": "v"}]}
    cluster.answers |= {
        "GET /jobs/a": vertices,
        "GET /jobs/a/vertices/v/watermarks": (200, [{"id": "0", "value": "1700000000000"}]),
        "GET /jobs/a/checkpoints": {
            "counts": {"restored": 3},
            "latest": {
                "completed": {
                    "latest_ack_timestamp": 1_700_000_001_000,
                    "end_to_end_duration": 250,
                    "state_size": 1234,
                    "external_path": "file:/k/chk-1",
                }
            },
        },
    }
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "shop: running on flink, job a\n" in out
    assert "watermark   2023-11-14T22:13:20.000+00:00\n" in out
    assert "restarts    2\n" in out
    assert "checkpoint  2023-11-14T22:13:21+00:00, 1,234 bytes in 0.2 s\n" in out
    assert main(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["checkpoint"]["path"] == "file:/k/chk-1"
    assert (told["state"], told["lag"], told["commit"]) == ("RUNNING", None, None)


def test_status_says_what_a_job_fails_with_that_nobody_follows(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, cluster)
    trace = (
        "java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call "
        'last):\n  File "/x/transforms/sources/kafka/gaps.py", line 1, in judge\n'
        "transforms.sources.kafka.gaps.GapError: messages must be kept until they are read; got 3 "
        "of sales/0 removed, from 2 to 4 [while running 'Source/Read']\n\n\tat org.Flink.run(x)"
    )
    cluster.answers |= {
        "GET /jobs/a": {"state": "RESTARTING", "vertices": []},
        "GET /jobs/a/checkpoints": {"counts": {"restored": 1}, "latest": {}},
        "GET /jobs/a/exceptions?maxExceptions=1": {"timestamp": 1, "root-exception": trace},
    }
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "shop: restarting on flink, job a\n" in out
    said = "messages must be kept until they are read; got 3 of sales/0 removed, from 2 to 4"
    assert f"note: the job fails: {said}\n" in out


def test_status_says_what_is_known_when_no_cluster_answers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(folder, None, ended="stopped", savepoint="file:///s", options={"rest": "127.0.0.1:9"})
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "shop: stopped on flink, job a\n" in out
    assert "savepoint   file:///s\n" in out
    assert "note: a Flink cluster must answer at http://127.0.0.1:9" in out


def test_runner_options_are_set_shown_and_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flink = ["plan", str(folder), "--stream", "--runner", "flink"]
    assert main([*flink, "--set", "runner.parallelism=2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["options"]["parallelism"] == 2
    assert shown["options"]["checkpoints"] == (folder / "out" / "checkpoints").as_uri()
    assert shown["hash"] == load_plan(folder).hash
    assert main(flink) == 0
    assert "checkpoint_every 5s" in " ".join(capsys.readouterr().out.split())
    for argv, said in (
        ([*flink, "--set", "runner.paralelism=2"], "did you mean 'parallelism'?"),
        (["plan", str(folder), "--set", "runner.parallelism=2"], "direct, which has none"),
        (["run", str(folder), "--detach"], "must come with --stream"),
        (
            ["run", str(folder), "--stall", "5m"],
            "--stall and --stall-warns must come with --stream",
        ),
        (["run", str(folder), "--resume", "--from-lake"], "not allowed with argument"),
    ):
        assert main(argv) == 2
        assert said in capsys.readouterr().err


def test_who_detached_a_stream_is_told_to_load_the_warehouse(
    folder: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 5))
    assert main(["run", str(folder), "--sinks", "lake"]) == 0
    cluster.answers |= {
        "GET /jobs/a": {"state": "FINISHED", "vertices": []},
        "GET /jobs/a/checkpoints": {"counts": {"restored": 0}, "latest": {}},
    }
    said = "note: the warehouse is at commit 0 of 1: penstock load "
    recorded(folder, cluster)
    for verb in ("status", "stop"):  # one that was followed
        assert main([verb, str(folder)]) == 0
        assert said not in capsys.readouterr().out
    recorded(folder, cluster, unfollowed=["warehouse"])
    for verb in ("status", "stop"):
        assert main([verb, str(folder)]) == 0
        assert said in capsys.readouterr().out
    assert main(["load", str(folder)]) == 0
    capsys.readouterr()
    for verb in ("status", "stop"):
        assert main([verb, str(folder)]) == 0
        assert said not in capsys.readouterr().out


def test_status_is_of_the_source_that_the_stream_was_started_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = []

    def asked(plan: Plan) -> dict[str, Place]:
        assert plan.stream is not None
        topics.append(plan.stream.kafka.topics)
        return {}

    monkeypatch.setattr(stream_status, "ends", asked)
    recorded(folder, runner="prism", sets=["source.stream.kafka.topic=others"])
    assert main(["status", str(folder)]) == 0
    assert main(["status", str(folder), "--set", "source.stream.kafka.topic=mine"]) == 0
    recorded(folder, runner="prism")
    assert main(["status", str(folder)]) == 0
    assert topics == [("others",), ("mine",), ("sales",)]


def test_a_stream_on_prism_runs_as_long_as_its_process_and_only_then_has_a_rate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stream_status, "rate", lambda *_: 902.0)
    recorded(folder, runner="prism")
    with held(folder / "out"):
        assert main(["status", str(folder)]) == 0
        out = capsys.readouterr().out
    assert "shop: running on prism, job a\n" in out
    assert "landing     902 messages/s\n" in out
    assert main(["status", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "shop: ended on prism, job a\n" in out
    assert "note: its process died" in out
    assert "landing" not in out


@pytest.mark.parametrize(
    ("state", "rate"), [("RUNNING", 902.0), ("RESTARTING", None), ("CANCELED", None)]
)
def test_a_job_has_a_rate_while_it_runs(
    folder: Path,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    rate: float | None,
) -> None:
    monkeypatch.setattr(stream_status, "rate", lambda *_: 902.0)
    recorded(folder, cluster)
    cluster.answers |= {
        "GET /jobs/a": {"state": state, "vertices": []},
        "GET /jobs/a/checkpoints": {"counts": {"restored": 0}, "latest": {}},
    }
    assert main(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_per_second"] == rate
