"""Where a stream goes on: at the first position of each partition that is not in the lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from beam_pipelines.streaming import starts
from transforms.commit.ranges import Ranges
from transforms.commit.state import State
from transforms.sources.identity import SOURCES
from transforms.sources.streams.vector import Place, Vector


class Partitions:
    """A source whose own start is given."""

    name, bounded = "t", True

    def __init__(self, **begin: int) -> None:
        self.places = {name: Place(position=at) for name, at in begin.items()}

    def begin(self, known: Mapping[str, int], share: int, shares: int) -> Vector:
        assert not known, "where it begins when nothing is known"
        return Vector(self.places)

    def open(self, vector: Vector, share: int, shares: int) -> Any:
        raise NotImplementedError


def state(done: Ranges, *files: str) -> State:
    rows = [{f.name: None for f in SOURCES} | {"source": name} for name in files]
    columns = {f.name: pa.array([row[f.name] for row in rows], f.type) for f in SOURCES}
    return State(commits=None, done=done, sources=pa.table(columns))  # type: ignore[arg-type]


def test_a_partition_goes_on_behind_what_is_done_without_a_hole() -> None:
    assert starts(Partitions(a=0), state({"a": [(0, 5), (8, 9)]})) == {"a": 5}


def test_what_was_not_done_before_the_first_done_range_is_read() -> None:
    assert starts(Partitions(a=0), state({"a": [(3, 5)]})) == {"a": 0}


def test_a_source_whose_own_start_is_later_goes_on_behind_what_is_done() -> None:
    assert starts(Partitions(a=90), state({"a": [(3, 5)]})) == {"a": 5}


def test_files_that_landed_are_no_partitions_and_partitions_that_are_gone_are_kept() -> None:
    done = {"file:///x": [(0, 7)], "gone": [(0, 2)]}
    assert starts(Partitions(a=0), state(done, "file:///x")) == {"gone": 2}
