"""Fixtures shared by every room's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from hypothesis import settings

from runners.direct import Direct
from runners.prism import WHOLE_BUNDLES
from runners.prism.process import find_binary, started
from schemas.errors import UsageError

# A busy machine is no counterexample. The same examples each time: what a test finds it finds where
# the change is made, not in somebody else's run. New ones: make test ARGS=--hypothesis-profile=explore
settings.register_profile("penstock", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=1000)
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
    try:
        binary = find_binary()
    except UsageError as error:
        pytest.skip(str(error))
    with started(binary) as address:
        yield lambda: [
            "--runner=PortableRunner",
            f"--job_endpoint={address}",
            "--environment_type=LOOPBACK",
            "--streaming",
            WHOLE_BUNDLES,
        ]
