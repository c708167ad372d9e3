"""Run a pipeline on a prism of its own, and follow its job."""

from __future__ import annotations

import _thread
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from runners.prism import WHOLE_BUNDLES
from runners.prism.process import PrismError, find_binary, started
from runners.quiet import quiet

_LOOK_S: Final = 0.2


class Prism:
    """One prism of this run's own, for one job: jobs of a driver that died can hold others up.

    Attributes:
        address: Of its job service.
        shares: Restrictions of a streaming source: the watermark follows the last one here.
        alone: Workers are threads of this process, and there are no checkpoints.
    """

    shares = 1
    alone = True

    def __init__(self, address: str) -> None:
        """Use the prism that listens there."""
        self.address = address

    def pipeline(
        self,
        name: str,
        *,
        bounded: bool,
        savepoint: str = "",
        references: Iterable[str] = (),
    ) -> beam.Pipeline:
        """Open a streaming pipeline whose workers are threads of this process."""
        _ = (
            bounded,
            savepoint,
            references,
        )  # it has no checkpoints, and workers share our environment
        flags = [
            "--runner=PortableRunner",
            f"--job_endpoint={self.address}",
            f"--job_name={name}",
            "--environment_type=LOOPBACK",
            "--streaming",
            WHOLE_BUNDLES,
        ]
        return beam.Pipeline(options=PipelineOptions(flags))

    def launch(self, root: beam.Pipeline, name: str) -> PrismJob:
        """Start what was built."""
        with _interrupted_by_its_end(self.address):
            return PrismJob(root.run(), name)

    def running(self, job: str) -> bool:
        """Whether an earlier job runs: it ended with its process."""
        _ = job
        return False

    def restorable(self, job: str) -> str:
        """Return where its checkpoint is: prism writes none."""
        _ = job
        return ""

    def discard(self, path: str) -> None:
        """Drop a checkpoint: prism writes none."""
        _ = path


class PrismJob:
    """A job of this process."""

    page = ""

    def __init__(self, result: Any, name: str) -> None:
        """Follow what `root.run()` returned."""
        self._result, self.id = result, name

    def over(self) -> bool:
        """Whether it came to its end; raises what it failed with."""
        with _answered():
            if not PipelineState.is_terminal(self._result.state):
                return False
            self._result.wait_until_finish()
        return True

    def trouble(self) -> Exception | None:
        """Return what it began again after: a failed job of prism ends."""
        return None

    def stuck(self) -> str:
        """Say which step holds it up."""
        return "prism does not tell which step"

    def cancel(self) -> None:
        """End it at once."""
        with _answered():
            self._result.cancel()


@contextmanager
def _interrupted_by_its_end(address: str) -> Iterator[None]:
    """Interrupt the block when prism is gone: a job that is handed over waits for it for ever."""
    host, _, port = address.rpartition(":")
    over, gone = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            with socket.socket() as one:
                if one.connect_ex((host, int(port))):
                    gone.set()
                    _thread.interrupt_main()
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not gone.is_set():
            raise
        raise _died() from None
    finally:
        over.set()
        watcher.join()


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise _died() from error


def _died() -> PrismError:
    return PrismError(
        "prism must live as long as its stream; got no answer from it; what has landed stays: run "
        "again"
    )


@contextmanager
def open_prism() -> Iterator[Prism]:
    """Start a prism and end it with the block.

    Raises:
        UsageError: There is no binary.
        PrismError: It does not start.
    """
    with quiet(), started(find_binary()) as address:
        yield Prism(address)
