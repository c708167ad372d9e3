"""What was read is balanced against what became of it, source by source."""

from pathlib import Path

import pytest

from beam_pipelines.commit_once import _destinies
from tests.faults.synthetic import record
from tests.faults.world import World
from transforms.land import Reads, UnbalancedError


def test_rows_that_one_source_lost_and_another_made_fail_the_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    landed = [world.landed("a", 0, 60), world.landed("b", 0, 40)]
    done = {"a": [(0, 60)], "b": [(0, 40)], "empty": [(0, 1)]}
    one = world.committer()
    good = Reads({"a": 60, "b": 40, "empty": 0}, done)
    counts = _destinies(world.plan, good, landed, world.lake, one)
    every = [record(s, p)["destiny"] for s, n in (("a", 60), ("b", 40)) for p in range(n)]
    assert counts == {"read": 100, "late": 0, "filtered": 0} | {
        d: every.count(d) for d in ("kept", "refused", "duplicate")
    }
    for records in ({"a": 59, "b": 41}, {"a": 60, "b": 40, "empty": 1}, {"a": 60}):
        with pytest.raises(UnbalancedError, match="every record read must have one destiny"):
            _destinies(world.plan, Reads(records, done), landed, world.lake, one)
