"""Prism must not let two bundles of one key run at once: what it does unless it is told not to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from runners.prism import WHOLE_BUNDLES
from tests import servers

pytestmark = pytest.mark.stack
ELEMENTS = 6


class CountSlowly(beam.DoFn):
    """Counts a key's elements in its state, half a second each, and notes every count."""

    SEEN = ReadModifyWriteStateSpec("seen", VarIntCoder())

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def process(
        self, element: tuple[int, int], seen: Any = beam.DoFn.StateParam(SEEN)
    ) -> Iterator[int]:
        count = (seen.read() or 0) + 1
        time.sleep(0.5)
        seen.write(count)
        with Path(self.file).open("a") as out:
            out.write(json.dumps(count) + "\n")
        yield count


def counted(file: Path, *flags: str) -> int:
    """Send elements of one key through the step at once; the greatest count."""
    options = [
        "--runner=PortableRunner",
        f"--job_endpoint={servers.prism()}",
        "--environment_type=LOOPBACK",
        "--streaming",
        *flags,
    ]
    with beam.Pipeline(options=PipelineOptions(options)) as root:
        _ = (
            root
            | beam.Create([0], reshuffle=False)
            | beam.FlatMap(lambda _: [(1, n) for n in range(ELEMENTS)]).with_output_types(
                tuple[int, int]
            )
            | beam.ParDo(CountSlowly(file))
        )
    return max(json.loads(line) for line in file.read_text().splitlines())


def test_a_slow_step_counts_every_element_of_its_key(tmp_path: Path) -> None:
    assert counted(tmp_path / "counts", WHOLE_BUNDLES) == ELEMENTS


def test_control_prism_splits_slow_bundles_and_loses_state(tmp_path: Path) -> None:
    """When this fails, prism is mended and `WHOLE_BUNDLES` can go."""
    assert counted(tmp_path / "counts") < ELEMENTS
