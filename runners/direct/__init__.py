"""The local runner: Beam's in-process engine, for tests, first tries and files of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from runners.direct.shortcuts import LocalPipeline, Options


@dataclass(frozen=True)
class Direct:
    """`FnApiRunner`, named by class.

    The name `DirectRunner` is a switch in Beam that tries prism first, which it downloads, and may
    run a failing pipeline a second time on another runner.
    """

    threads: int = os.cpu_count() or 1
    """Threads of our kernels: one DoFn runs at a time here, so the kernels use the cores."""

    def pipeline(self) -> beam.Pipeline:
        """Open a pipeline that runs in this process."""
        return LocalPipeline(runner=FnApiRunner(), options=Options([]))
