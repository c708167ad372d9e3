"""Fixtures shared by every room's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runners.lean import import_libraries

import_libraries()  # as every command does: before anything else imports it with all that it finds

import apache_beam as beam  # noqa: E402
from apache_beam.testing.test_pipeline import TestPipeline  # noqa: E402
from hypothesis import settings  # noqa: E402

from runners.direct import Direct  # noqa: E402

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
