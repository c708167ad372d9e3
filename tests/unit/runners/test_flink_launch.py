"""A job that is submitted runs, or ends with what its workers say each time that it begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runners.flink.launch import Flink
from runners.flink.options import options
from tests.flink_cluster import Cluster, played

BEGINS = {"state": "RUNNING", "vertices": [{"status": "INITIALIZING"}]}
RUNS = {"state": "RUNNING", "vertices": [{"status": "RUNNING"}]}
PYTHON = (
    "java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call "
    'last):\n  File "/x/transforms/saved_state.py", line 1, in check\n'
    "transforms.saved_state.LayoutError: got layout 1\n\n\tat org.Flink.run(x)"
)
JAVA = "java.lang.Exception: TaskManager was lost\n\tat org.Flink.run(x)"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster; a job that is cancelled is not waited for."""
    monkeypatch.setattr(
        "runners.flink.job.Job.cancel", lambda job: job.rest.patch(f"/jobs/{job.jid}?mode=cancel")
    )
    with played() as found:
        yield found


class Submitted:
    """A pipeline, and its result."""

    state = "RUNNING"

    def run(self) -> Submitted:
        return self


def launch(cluster: Cluster, trace: str, times: int) -> None:
    """Launch a job that fails with this so many times before it runs."""
    cluster.answers = {
        "GET /jobs/overview": {"jobs": [{"name": "j", "jid": "a", "start-time": 1}]},
        "GET /jobs/a": [BEGINS] * 2 * times + [RUNS],
        "GET /jobs/a/exceptions?maxExceptions=1": [
            {"timestamp": at, "root-exception": trace} for at in range(1, times + 1)
        ],
        "PATCH /jobs/a?mode=cancel": {},
    }
    root: Any = Submitted()
    Flink(options({"rest": cluster.rest.url})).launch(root, "j")


def cancelled(cluster: Cluster) -> bool:
    return any(asked.startswith("PATCH") for asked, _ in cluster.asked)


def test_workers_that_fail_each_time_end_it_with_what_they_say(cluster: Cluster) -> None:
    with pytest.raises(RuntimeError, match="LayoutError: got layout 1"):
        launch(cluster, PYTHON, 3)
    assert cancelled(cluster)


@pytest.mark.parametrize(("trace", "times"), [(PYTHON, 2), (JAVA, 5)])
def test_a_worker_that_fails_twice_and_a_cluster_that_lacks_something_are_waited_for(
    cluster: Cluster, trace: str, times: int
) -> None:
    launch(cluster, trace, times)
    assert not cancelled(cluster)
