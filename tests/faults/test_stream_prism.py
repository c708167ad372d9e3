"""What prism does to a slow step with state, and what keeps it from that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import BagStateSpec

from runners.prism import launch
from runners.prism.launch import open_prism

pytestmark = pytest.mark.stack

COUNT = 12


class Collect(beam.DoFn):
    """Keeps what it has seen of a key, slowly, and writes how much that is."""

    SEEN = BagStateSpec("seen", BytesCoder())

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def process(
        self, element: tuple[str, int], seen: Any = beam.DoFn.StateParam(SEEN)
    ) -> Iterator[Any]:
        time.sleep(0.4)
        seen.add(b"%d" % element[1])
        with Path(self.file).open("a") as out:
            out.write(f"{len(list(seen.read()))}\n")
        yield from ()


def most_seen(file: Path) -> int:
    with open_prism() as runner:
        root = runner.pipeline("slow", bounded=True)
        _ = (
            root
            | beam.Create([("key", n) for n in range(COUNT)], reshuffle=False)
            | beam.Map(lambda one: one).with_output_types(tuple[str, int])
            | beam.ParDo(Collect(file))
        )
        root.run().wait_until_finish()
    return max(map(int, file.read_text().split()))


def test_a_slow_step_on_prism_loses_no_state(tmp_path: Path) -> None:
    assert most_seen(tmp_path / "seen") == COUNT


def test_where_prism_may_split_bundles_a_slow_step_loses_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "WHOLE_BUNDLES", "--experiments=none")
    assert most_seen(tmp_path / "seen") < COUNT
