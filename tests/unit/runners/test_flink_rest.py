"""What we ask a cluster, and what we make of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.flink import job as jobs
from runners.flink.job import Job, checkpoint, discard, failure, find, known, newest_checkpoint
from runners.flink.rest import FlinkError, GoneError, NoAnswerError, Rest
from schemas.errors import UsageError
from tests.flink_cluster import Cluster, played

TRACE = """\
org.apache.flink.runtime.JobException: Recovery is suppressed
\tat org.apache.flink.Some.method(Some.java:1)
Caused by: java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error: \
Traceback (most recent call last):
  File "/p/transforms/x.py", line 3, in process
    raise SourceError("a topic must be there")
schemas.errors.SourceError: a topic must be there [while running 'Source/Read']

\tat java.base/java.util.concurrent.CompletableFuture.get(CompletableFuture.java:1)
Caused by: java.lang.RuntimeException: Error: Traceback (most recent call last):
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with played() as made:
        yield made


def stop(cluster: Cluster, *, drain: bool, seconds: float) -> str:
    job = Job(cluster.rest, "a")
    return job.stopped(job.ask_to_stop("file:///k", drain=drain), seconds)


def test_nobody_there_is_a_wrong_address_with_what_to_do() -> None:
    with pytest.raises(NoAnswerError, match='make up SERVERS="flink jobserver"') as error:
        Rest("http://127.0.0.1:9").get("/overview")
    assert isinstance(error.value, UsageError)
    assert "Connection refused" in str(error.value)


def test_what_answers_and_is_no_flink_is_a_wrong_address(cluster: Cluster) -> None:
    cluster.answers["GET /overview"] = "<html>hello</html>"
    with pytest.raises(NoAnswerError, match="an answer that is no JSON"):
        cluster.rest.get("/overview")


def test_a_refusal_is_told_by_its_first_line(cluster: Cluster) -> None:
    cluster.answers["POST /jobs/j/stop"] = (
        400,
        {"errors": ["", "Bad target directory\n\tat org.apache.flink.X(X.java:1)"]},
    )
    with pytest.raises(FlinkError, match=r"got 400: Bad target directory; see http") as error:
        cluster.rest.post("/jobs/j/stop", {})
    assert "java" not in str(error.value)
    with pytest.raises(GoneError):
        cluster.rest.get("/jobs/none")


def test_a_job_is_found_by_its_id_else_the_newest_of_its_name(cluster: Cluster) -> None:
    cluster.answers["GET /jobs/a"] = {"state": "RUNNING"}
    cluster.answers["GET /jobs/overview"] = {
        "jobs": [
            {"jid": "b", "name": "mine", "start-time": 2},
            {"jid": "c", "name": "mine", "start-time": 3},
            {"jid": "d", "name": "other", "start-time": 9},
        ]
    }
    assert known(cluster.rest, "a") == Job(cluster.rest, "a")
    assert known(cluster.rest, "mine") == Job(cluster.rest, "c")
    assert known(cluster.rest, "nobody") is None
    assert find(cluster.rest, "other") == Job(cluster.rest, "d")


def test_a_cancel_is_believed_when_the_cluster_says_that_the_job_is_over(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.answers["PATCH /jobs/a?mode=cancel"] = (202, {})
    cluster.answers["GET /jobs/a"] = [{"state": "CANCELLING"}, {"state": "CANCELED"}]
    Job(cluster.rest, "a").cancel()
    assert [asked for asked, _ in cluster.asked].count("GET /jobs/a") == 2

    monkeypatch.setattr(jobs, "_ENDS_S", 0.2)
    cluster.answers["GET /jobs/a"] = {"state": "RUNNING"}
    with pytest.raises(FlinkError, match="a cancelled job must end within 0 s; got RUNNING"):
        Job(cluster.rest, "a").cancel()


STOP, ASKED = "POST /jobs/a/stop", "GET /jobs/a/savepoints/r"


def test_a_stop_waits_for_its_savepoint_and_says_where_it_is(cluster: Cluster) -> None:
    cluster.answers[STOP] = (202, {"request-id": "r"})
    done = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s"}}
    cluster.answers[ASKED] = [{"status": {"id": "IN_PROGRESS"}}, done]
    cluster.answers["GET /jobs/a"] = {"state": "FINISHED"}
    assert stop(cluster, drain=True, seconds=5) == "file:/s"
    assert cluster.asked[0] == (STOP, {"targetDirectory": "file:///k", "drain": True})


def test_a_savepoint_that_is_not_made_is_told_by_its_cause(cluster: Cluster) -> None:
    cluster.answers[STOP] = (202, {"request-id": "r"})
    trace = (
        "java.X: outer\n\tat a.b(C.java:1)\nCaused by: java.Y: no space left\n\tat d.e(F.java:2)"
    )
    cluster.answers[ASKED] = {
        "status": {"id": "COMPLETED"},
        "operation": {"failure-cause": {"class": "java.X", "stack-trace": trace}},
    }
    with pytest.raises(FlinkError, match=r"got java\.Y: no space left; look at"):
        stop(cluster, drain=False, seconds=5)
    cluster.answers[ASKED] = {"status": {"id": "IN_PROGRESS"}}
    with pytest.raises(FlinkError, match="a savepoint must be made within 0 s"):
        stop(cluster, drain=False, seconds=0.3)


def test_what_a_worker_raised_comes_as_its_own_traceback() -> None:
    error = failure(TRACE)
    assert type(error) is RuntimeError
    assert str(error).startswith("Traceback (most recent call last):\n")
    assert str(error).endswith("[while running 'Source/Read']")
    assert "\tat" not in str(error)


def test_what_java_raised_comes_as_the_sentence_of_its_innermost_cause() -> None:
    error = failure("java.X: outer\n\tat a.b(C.java:1)\nCaused by: java.Y: lost TaskManager\n")
    assert isinstance(error, FlinkError)
    assert "got java.Y: lost TaskManager;" in str(error)


def test_the_newest_checkpoint_is_the_last_whole_one_of_the_job_s_own_folder(
    tmp_path: Path, cluster: Cluster
) -> None:
    for number, whole in ((9, True), (10, True), (11, False)):
        path = tmp_path / "a" / f"chk-{number}"
        path.mkdir(parents=True)
        if whole:
            (path / "_metadata").touch()
    found = newest_checkpoint(Job(cluster.rest, "a"), tmp_path.as_uri())
    assert found == (tmp_path / "a" / "chk-10").as_uri()
    assert newest_checkpoint(Job(cluster.rest, "b"), tmp_path.as_uri()) == ""
    assert not cluster.asked


def test_elsewhere_the_newest_checkpoint_is_the_one_that_the_cluster_names(
    cluster: Cluster,
) -> None:
    job, asked = Job(cluster.rest, "a"), "GET /jobs/a/checkpoints"
    latest = {"external_path": "s3://k/a/chk-3", "discarded": False}
    cluster.answers[asked] = {"latest": {"completed": latest}}
    assert newest_checkpoint(job, "s3://k") == "s3://k/a/chk-3"
    for lost in ({"external_path": "<checkpoint-not-externally-addressable>"}, None):
        cluster.answers[asked] = {"latest": {"completed": lost}}
        assert newest_checkpoint(job, "s3://k") == ""
    assert newest_checkpoint(Job(cluster.rest, "forgotten"), "s3://k") == ""


def test_what_a_job_kept_is_removed_with_its_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in ("a/chk-1", "a/shared", "b/chk-1", "savepoints/savepoint-a"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "other" / "chk-1").mkdir(parents=True)
    uri = folder.as_uri()
    for left in (
        f"{uri}/savepoints/savepoint-a",
        (tmp_path / "other" / "chk-1").as_uri(),
        "s3://k",
    ):
        discard(left, uri)
    discard(f"{uri}/a/chk-1".replace("file:///", "file:/"), uri)
    assert sorted(path.name for path in folder.iterdir()) == ["b", "savepoints"]
    assert (folder / "savepoints" / "savepoint-a").is_dir()
    assert (tmp_path / "other" / "chk-1").is_dir()


def test_a_checkpoint_is_told_by_time_length_and_size() -> None:
    latest = {
        "latest_ack_timestamp": 1_700_000_000_000,
        "end_to_end_duration": 1500,
        "state_size": 12,
        "external_path": "file:/k",
    }
    assert checkpoint({"latest": {"completed": latest}}) == {
        "at": "2023-11-14T22:13:20+00:00",
        "seconds": 1.5,
        "bytes": 12,
        "path": "file:/k",
    }
    assert checkpoint({"latest": {"completed": None}}) is None


def test_the_watermark_of_a_job_is_the_lowest_of_its_tasks(cluster: Cluster) -> None:
    cluster.answers["GET /jobs/a"] = {"state": "RUNNING", "vertices": [{"id": "v"}, {"id": "w"}]}
    cluster.answers["GET /jobs/a/vertices/v/watermarks"] = (200, [])
    path = "GET /jobs/a/vertices/w/watermarks"
    cluster.answers[path] = (200, [{"id": "0", "value": "900"}, {"id": "1", "value": "800"}])
    assert Job(cluster.rest, "a").watermark_ms() == 800
    cluster.answers[path] = (200, [{"id": "0", "value": str(-(1 << 63))}])
    assert Job(cluster.rest, "a").watermark_ms() is None
