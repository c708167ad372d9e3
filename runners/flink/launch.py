"""Submit pipelines to a Flink cluster through Beam's job server, and follow their jobs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from runners.flink.health import stuck
from runners.flink.job import ENDED, Job, discard, failure, find, known, newest_checkpoint
from runners.flink.options import FlinkOptions, batch_flags, beam_flags
from runners.flink.rest import FlinkError, NoAnswerError, Rest
from runners.quiet import quiet
from schemas.errors import UsageError

_LOOK_S: Final = 0.1
_STARTS_S: Final = 180.0
_LISTENS_S: Final = 5.0
_SILENT_S: Final = 60.0
_BATCH_RETRIES: Final = 2
_START_RETRIES: Final = 2

KEY_BYTES: Final = 64 << 20
"""What a batch job can gather of one key: 315 MB ended in a heap that was full."""


class Flink:
    """A cluster and the job server before it.

    Attributes:
        shares: Restrictions of a streaming source: the watermark is the minimum over them here.
        alone: Workers are processes of the cluster, or may be.
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
            references: Environment variables that workers need with our values: whoever can ask
                the cluster for the job's configuration sees them.
        """
        flags = beam_flags(
            self.options,
            name=name,
            bounded=bounded,
            savepoint=savepoint,
            environment=_environment(references),
        )
        return beam.Pipeline(options=PipelineOptions(flags))

    @contextmanager
    def batch(self, name: str, references: Iterable[str] = ()) -> Iterator[beam.Pipeline]:
        """Open a batch pipeline; when the block ends it has run.

        An interrupt cancels the job, and so does its third failure: Beam leaves it to the cluster
        how often a batch begins again, which may be for ever.

        Raises:
            FlinkError: It was refused, failed, or somebody else ended it.
        """
        flags = batch_flags(self.options, name=name, environment=_environment(references))
        root = beam.Pipeline(options=PipelineOptions(flags))
        yield root
        job = self.launch(root, name, whole=False)
        try:
            _follow(job)
        except BaseException:
            job.cancel()
            raise

    def launch(self, root: beam.Pipeline, name: str, *, whole: bool = True) -> FlinkJob:
        """Submit a pipeline and wait until it runs, all of it if `whole`, or has ended.

        Raises:
            FlinkError: It was refused, or does not run in time; it is cancelled then.
            RuntimeError: Its workers raise something three times before it runs.
        """
        result = root.run()
        try:
            job = self._running(result, name, whole=whole)
        except BaseException:
            if (left := find(self.rest, name)) is not None:
                left.cancel()
            raise
        return FlinkJob(job, result)

    def _running(self, result: Any, name: str, *, whole: bool) -> Job:
        until = time.monotonic() + _STARTS_S
        failed: set[int] = set()
        while True:
            job = find(self.rest, name)
            if job is not None and (not whole or job.runs() or job.state() in ENDED):
                return job
            if job is None and result.state == PipelineState.FAILED:
                raise _refused(result)
            if job is not None:
                at_ms, text = job.trouble()
                error = failure(text)
                if text and not isinstance(error, FlinkError):  # what a cluster lacks may yet come
                    failed.add(at_ms)
                    if len(failed) > _START_RETRIES:  # it would go on so for a hundred restarts
                        raise error
            if time.monotonic() > until:
                state = "no job" if job is None else job.state()
                free = self.rest.get("/overview")["slots-available"]
                msg = (
                    f"a job must run within {_STARTS_S:.0f} s; got {state}, with {free} free slots "
                    f"for a parallelism of {self.options.parallelism}; see {self.rest.url}, and "
                    "stop other jobs or add slots"
                )
                raise FlinkError(msg)
            time.sleep(_LOOK_S)

    def running(self, job: str) -> bool:
        """Whether a job, by its id or its name, runs."""
        found = known(self.rest, job)
        return found is not None and found.state() not in ENDED

    def restorable(self, job: str) -> str:
        """Return where the newest checkpoint of an earlier job is, empty if there is none.

        Args:
            job: Its id; or its name, if whoever started it died before it knew the id.
        """
        found = known(self.rest, job) or Job(self.rest, job)
        return newest_checkpoint(found, self.options.checkpoints)

    def discard(self, path: str) -> None:
        """Drop a checkpoint that nothing goes on from any more; a savepoint stays."""
        discard(path, self.options.checkpoints)


def _follow(job: FlinkJob) -> None:
    """Wait for the end of a batch job; raise what it failed with too often."""
    failures = 0
    while not job.over():
        if (trouble := job.trouble()) is not None:
            failures += 1
            if failures > _BATCH_RETRIES:
                raise trouble
        time.sleep(_LOOK_S)


def _environment(references: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in references if name in os.environ}


def _refused(result: Any) -> Exception:
    """Return why the job server could not hand a job over."""
    try:
        result.wait_until_finish()
    except RuntimeError as error:
        return failure(str(error))
    return FlinkError("a job must be taken by the cluster; got no reason; look at its job server")


class FlinkJob:
    """A job that was submitted here; it goes on when this process ends, unless it is loopback."""

    def __init__(self, job: Job, submitted: Any = None) -> None:
        """Follow a job; `submitted` holds what its workers need of this process (loopback)."""
        self.job, self._submitted = job, submitted
        self.id, self.page = job.jid, job.page
        self._told_ms = 0
        self._heard = time.monotonic()

    def over(self) -> bool:
        """Whether it came to its end; raises what it failed with, or that somebody ended it.

        A cluster that is silent for a while, as one is whose JobManager comes back, is waited for.
        """
        try:
            state = self.job.state()
        except NoAnswerError:
            if time.monotonic() - self._heard > _SILENT_S:
                raise
            return False
        self._heard = time.monotonic()
        if state == "FAILED":
            raise self.job.failure() or FlinkError(f"a job must not fail; got it; {self.page}")
        if state in ENDED and state != "FINISHED":
            msg = f"a followed job must go on; got {state}: somebody else ended it; run it again"
            raise FlinkError(msg)
        return state == "FINISHED"

    def trouble(self) -> Exception | None:
        """Return what it failed with and began again after, if that is news."""
        try:
            at_ms, text = self.job.trouble()
        except NoAnswerError:  # `over` says so
            return None
        if at_ms <= self._told_ms:
            return None
        self._told_ms = at_ms
        return failure(text)

    def stuck(self) -> str:
        """Say which step holds it up."""
        return stuck(self.job)

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
