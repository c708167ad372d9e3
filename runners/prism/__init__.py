"""Prism, Beam's local streaming runner: streams on this machine, their workers in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker

from runners.prism.process import find_binary, started

# Beam talks of images and flags that a local stream has no use for.
_CHATTY = ("apache_beam", "")


class Prism:
    """One prism of this run's own, for one job: jobs of a driver that died can hold others up.

    Attributes:
        address: Of its job service.
    """

    def __init__(self, address: str) -> None:
        """Use the prism that listens there."""
        self.address = address

    def pipeline(self) -> beam.Pipeline:
        """Open a streaming pipeline whose workers are threads of this process."""
        flags = [
            "--runner=PortableRunner",
            f"--job_endpoint={self.address}",
            "--environment_type=LOOPBACK",
            "--streaming",
        ]
        return beam.Pipeline(options=PipelineOptions(flags))


@contextmanager
def open_prism() -> Iterator[Prism]:
    """Start a prism and end it with the block.

    Raises:
        UsageError: There is no binary.
        PrismError: It does not start.
    """
    with _quiet(), started(find_binary()) as address:
        yield Prism(address)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Beam silent: what ends a run is raised, and a traceback may hold values of the data."""
    if os.environ.get("PENSTOCK_DEBUG") == "1":
        yield
        return
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    vars(sdk_worker)["print"] = _say_nothing  # it prints what it also logs
    try:
        yield
    finally:
        del vars(sdk_worker)["print"]
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _say_nothing(*_: object, **__: object) -> None:
    """Take the place of `print`."""
