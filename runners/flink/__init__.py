"""Flink: streams on a cluster, submitted through Beam's job server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from runners.flink.job import Job, named
from runners.flink.options import FlinkOptions, beam_flags
from runners.flink.rest import FlinkError, Rest
from runners.quiet import quiet
from schemas.errors import UsageError

CAN: Final = frozenset({"stream", "detach", "savepoint", "drain"})
_LOOK_S: Final = 0.1
_STARTS_S: Final = 120.0
_LISTENS_S: Final = 5.0


class Flink:
    """A cluster and the job server before it.

    Attributes:
        shares: Restrictions of a streaming source: the watermark is the minimum over them here.
        alone: Workers are processes of the cluster.
    """

    alone = False

    def __init__(self, options: FlinkOptions) -> None:
        """Use what the options name; nothing is asked yet."""
        self.options, self.rest = options, Rest(options.rest)
        self.shares = options.parallelism

    def check(self) -> None:
        """See that cluster and job server are there.

        Raises:
            UsageError: One does not answer.
        """
        self.rest.get("/overview")
        channel = grpc.insecure_channel(self.options.job_endpoint)
        try:
            grpc.channel_ready_future(channel).result(timeout=_LISTENS_S)
        except grpc.FutureTimeoutError:
            msg = (
                f"Beam's job server must listen at {self.options.job_endpoint}; got no answer; "
                'start one with make up SERVERS="flink jobserver", or name yours with '
                "--job-endpoint HOST:PORT"
            )
            raise UsageError(msg) from None
        finally:
            channel.close()

    def pipeline(
        self,
        name: str,
        *,
        bounded: bool,
        savepoint: str = "",
        references: Iterable[str] = (),
    ) -> beam.Pipeline:
        """Open a pipeline that becomes a job of this name.

        Args:
            name: Of the job.
            bounded: Whether its source has an end.
            savepoint: Where state is restored from.
            references: Environment variables that workers need with our values.
        """
        environment: Mapping[str, str] = {r: os.environ[r] for r in references if r in os.environ}
        flags = beam_flags(
            self.options, name=name, bounded=bounded, savepoint=savepoint, environment=environment
        )
        return beam.Pipeline(options=PipelineOptions(flags))

    def launch(self, root: beam.Pipeline, name: str) -> FlinkJob:
        """Submit a pipeline and wait until all of it runs.

        Raises:
            FlinkError: It was refused, failed, or does not run in time.
        """
        result = root.run()
        until = time.monotonic() + _STARTS_S
        while True:
            found = named(self.rest, name)
            if found is not None:
                job = Job(self.rest, found["jid"], name)
                if job.runs() or job.state() in ("FINISHED", "FAILED", "CANCELED"):
                    return FlinkJob(job, result)
            elif result.state == PipelineState.FAILED:
                result.wait_until_finish()  # Raises why.
            if time.monotonic() > until:
                state = "no job" if found is None else found["state"]
                msg = (
                    f"a job must run within {_STARTS_S:.0f} s; got {state}; see that the cluster "
                    f"has {self.options.parallelism} free slots: {self.rest.url}"
                )
                raise FlinkError(msg)
            time.sleep(_LOOK_S)


class FlinkJob:
    """A job that was submitted here; it goes on when this process ends."""

    def __init__(self, job: Job, submitted: Any = None) -> None:
        """Follow a job; `submitted` holds what its workers need of this process (loopback)."""
        self.job, self._submitted = job, submitted

    def over(self) -> bool:
        """Whether it came to its end.

        Raises:
            JobFailedError: It failed.
            FlinkError: Somebody else ended it.
        """
        state = self.job.state()
        if state == "FAILED":
            raise self.job.failure()
        if state in ("CANCELED", "SUSPENDED"):
            msg = f"a followed job must go on; got {state}: somebody else ended it; run it again"
            raise FlinkError(msg)
        return state == "FINISHED"

    def cancel(self) -> None:
        """Cancel it, and see that it is over."""
        self.job.cancel()


@contextmanager
def open_flink(options: FlinkOptions) -> Iterator[Flink]:
    """Use a cluster that is there.

    Raises:
        UsageError: Cluster or job server do not answer.
    """
    with quiet():
        flink = Flink(options)
        flink.check()
        yield flink
