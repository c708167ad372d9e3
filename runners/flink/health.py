"""Which step of a job holds it up, as far as Flink's metrics and checkpoints tell."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runners.flink.job import Job
from runners.flink.rest import FlinkError

_METRICS: Final = ("busyTimeMsPerSecond", "backPressuredTimeMsPerSecond")
_MOSTLY: Final = 0.7
_LONG_S: Final = 10.0
_STEPS: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, kw_only=True)
class Vertex:
    """One task of a job, in the order of the data.

    Attributes:
        name: Of its steps.
        status: Flink's.
        busy: Share of the time that its most loaded subtask works.
        held: Share of the time that it waits for what comes after it.
        acked: Whether it has come to the checkpoint that is under way; None: none is.
    """

    name: str
    status: str = "RUNNING"
    busy: float = 0.0
    held: float = 0.0
    acked: bool | None = None


def look(job: Job, now: float | None = None) -> tuple[list[Vertex], float]:
    """Return the tasks of a job, and for how many seconds a checkpoint has been under way.

    Raises:
        FlinkError: The cluster does not say.
    """
    base = f"/jobs/{job.jid}"
    pending = _pending(job)
    acked: Mapping[str, bool] = {}
    age = 0.0
    if pending is not None:
        age = (time.time() if now is None else now) - pending["trigger_timestamp"] / 1000
        said = job.rest.get(f"{base}/checkpoints/details/{pending['id']}")
        acked = {
            vid: task["num_acknowledged_subtasks"] == task["num_subtasks"]
            for vid, task in said["tasks"].items()
        }
    found = []
    for vertex in job.details()["vertices"]:
        asked = f"{base}/vertices/{vertex['id']}/subtasks/metrics?agg=max&get={','.join(_METRICS)}"
        shares = {m["id"]: _share(m.get("max")) for m in job.rest.get(asked)}
        busy, held = (shares.get(name, 0.0) for name in _METRICS)
        found.append(
            Vertex(
                name=named(vertex["name"]),
                status=vertex["status"],
                busy=busy,
                held=held,
                acked=acked.get(vertex["id"]),
            )
        )
    return found, age


def verdict(vertices: Sequence[Vertex], pending_s: float) -> str:
    """Say which task holds a job up.

    Args:
        vertices: In the order of the data.
        pending_s: For how long a checkpoint has been under way.
    """
    down = [v for v in vertices if v.status not in ("RUNNING", "FINISHED")]
    if down:
        return f"step {down[0].name} is {down[0].status.lower()}"
    busy = [v for v in vertices if v.busy >= _MOSTLY]
    late = [v for v in vertices if v.acked is False]
    # A barrier that a step does not take does not come to those after it either.
    if late and pending_s >= _LONG_S:
        why = " and is busy all the time" if late[0] in busy else ""
        return f"step {late[0].name} has not come to its checkpoint for {pending_s:.0f} s{why}"
    if busy:
        waits = any(v.held >= _MOSTLY for v in vertices)
        return f"step {busy[-1].name} is busy all the time{' and holds up others' * waits}"
    return f"no step is busy: step {vertices[0].name} hands on nothing" if vertices else "no step"


def stuck(job: Job) -> str:
    """Say which step holds a job up, or that Flink does not tell."""
    try:
        return verdict(*look(job))
    except FlinkError as error:
        return f"Flink does not tell which step ({error})"


def named(task: str) -> str:
    """Return a task's name as a person reads it.

    >>> named("Source: Impulse -> [4]Source/{Shares, Read}")
    'Source/{Shares, Read}'
    """
    return _STEPS.sub("", task.rpartition(" -> ")[2])


def _pending(job: Job) -> Any:
    history = job.checkpoints()["history"]
    return next((one for one in history if one["status"] == "IN_PROGRESS"), None)


def _share(value: Any) -> float:
    number = float(value if value is not None else 0)
    return 0.0 if number != number else number / 1000  # noqa: PLR0124 - NaN: not measured
