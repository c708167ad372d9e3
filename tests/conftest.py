"""Fixtures shared by every room's tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from hypothesis import settings

from runners.direct import Direct

settings.register_profile("penstock", deadline=None)  # a busy machine is no counterexample
settings.load_profile("penstock")


def _penstock_direct() -> beam.Pipeline:
    return Direct().pipeline()


def _beam_default() -> beam.Pipeline:
    return TestPipeline(runner="DirectRunner")


@pytest.fixture(params=[_penstock_direct, _beam_default], ids=["direct", "TestPipeline"])
def open_pipeline(request: pytest.FixtureRequest) -> Callable[[], beam.Pipeline]:
    """Open a pipeline on each runner at hand; it runs when its with-block ends."""
    return request.param


@pytest.fixture
def prism() -> Iterator[Callable[[], list[str]]]:
    """Start a prism of the test's own; calling gives the flags of a streaming job on it.

    Its own, because jobs on a prism whose driver was killed before did not move on.
    """
    here = sorted((Path(__file__).parents[1] / ".tools" / "servers").glob("prism-*/prism"))
    binary = os.environ.get("PENSTOCK_PRISM") or shutil.which("prism") or (here or [None])[-1]
    if binary is None:
        pytest.skip("needs prism: make up SERVERS=prism, or PENSTOCK_PRISM")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, web = one.getsockname()[1], two.getsockname()[1]
    process = subprocess.Popen(
        [binary, f"--job_port={port}", f"--web_port={web}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield lambda: [
            "--runner=PortableRunner",
            f"--job_endpoint=127.0.0.1:{port}",
            "--environment_type=LOOPBACK",
            "--streaming",
        ]
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    msg = "prism must listen within 10 s; it does not"
    raise AssertionError(msg)
