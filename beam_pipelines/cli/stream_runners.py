"""The runners of streams, by name: what they can do, and how they are opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from runners.flink import CAN as FLINK_CAN
from runners.lean import no_warnings
from runners.prism import CAN as PRISM_CAN
from schemas.errors import PenstockError, UsageError

if TYPE_CHECKING:
    from beam_pipelines.stream_record import Record
    from beam_pipelines.stream_runner import StreamRunner
    from runners.flink.job import Job
    from schemas.plan import Plan


@contextmanager
def stream_runner(plan: Plan, needs: Collection[str] = ()) -> Iterator[StreamRunner]:
    """Open the plan's runner.

    Args:
        plan: Names it, and has its options.
        needs: What it must be able to do (`CAN` of a runner's module).

    Raises:
        UsageError: It cannot, or is not there.
    """
    with no_warnings():
        opened = _opened(plan.runner, plan.options, needs)
    with opened as runner:
        yield runner


def _opened(
    name: str, options: Mapping[str, Any], needs: Collection[str]
) -> AbstractContextManager[StreamRunner]:
    if name == "flink":
        from runners.flink import launch  # noqa: PLC0415  Beam is slow to import
        from runners.flink.options import FlinkOptions  # noqa: PLC0415

        chosen = FlinkOptions(**options)
        refuse(name, needs, FLINK_CAN)
        if "detach" in needs and chosen.workers == "loopback":
            msg = (
                "--detach must come with workers that outlive this command; got "
                "runner.workers=loopback; use process or external"
            )
            raise UsageError(msg)
        return launch.open_flink(chosen)
    from runners.prism.launch import open_prism  # noqa: PLC0415

    refuse(name, needs, PRISM_CAN)
    return open_prism()


def refuse(name: str, needs: Collection[str], can: Collection[str]) -> None:
    """Refuse what a runner cannot do.

    Raises:
        UsageError: It lacks something.
    """
    for need in sorted(needs):
        if need not in can:
            msg = f"--{need} must be something that the runner can do; got {name}; use flink"
            raise UsageError(msg)


def outlived(record: Record) -> bool:
    """Whether a stream runs without the process that started it, as far as a cluster answers."""
    if record.runner != "flink":
        return False
    from runners.flink.job import ENDED  # noqa: PLC0415  batches need none of it

    try:
        job, _ = flink_job(record)
        return job is not None and job.state() not in ENDED
    except PenstockError:  # a cluster that is gone runs nothing
        return False


def flink_job(record: Record, rest: str | None = None) -> tuple[Job | None, str]:
    """Find the job of a stream on Flink.

    Args:
        record: Of the stream.
        rest: HOST:PORT of the cluster, if not the one that it was started on.

    Returns:
        The job, None if the cluster does not know it; and the cluster's URL.

    Raises:
        FlinkError: The cluster does not answer.
    """
    from runners.flink.job import known  # noqa: PLC0415
    from runners.flink.options import options  # noqa: PLC0415
    from runners.flink.rest import Rest  # noqa: PLC0415

    cluster = Rest(options(record.options | ({"rest": rest} if rest else {})).rest)
    return known(cluster, record.called), cluster.url
