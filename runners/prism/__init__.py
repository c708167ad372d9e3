"""Prism, Beam's local streaming runner: streams on this machine, their workers in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from runners.prism.process import find_binary, started

# Beam talks of images and flags that a local stream has no use for.
_CHATTY = ("apache_beam", "root")


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
    with started(find_binary()) as address, _quiet():
        yield Prism(address)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger("" if name == "root" else name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
