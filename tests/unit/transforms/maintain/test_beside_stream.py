"""A stream goes on over a lake that is compacted under it: nothing twice, aggregates right."""

from pathlib import Path

import pytest

from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PROCESSED,
    Out,
    by_group,
    by_key,
    expected,
    hourly,
    make_folder,
    plain_row,
    sales,
)
from tests.streams import Middle, commit, raw, spread, stream_plan
from transforms.commit.committer import Committer
from transforms.commit.maintain.compact import Compaction
from transforms.continuous.committer import Memory

LINES = sales(0, 400, broken=4, copies=40).splitlines()


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


def _compact(middle: Middle) -> int:
    one = Compaction(Committer(middle.lake, middle.plan, run_id="upkeep"), middle.plan)
    one.run()
    return sum(told.files for told in one.told.values())


def _holds(middle: Middle) -> None:
    out = Out(middle.plan.out)
    rows = [plain_row(row) for row in out.rows(PROCESSED)]
    assert by_group(out.rows(HOURLY)) == hourly(rows)


def test_a_stream_over_a_lake_that_is_compacted_lands_what_a_batch_run_does(
    middle: Middle,
) -> None:
    one, memory, moved = middle.committer(), Memory(), 0
    batches = spread(LINES, partitions=3, size=40)
    for at in range(0, len(batches), 3):
        memory = commit(one, memory, middle.ship(*batches[at : at + 3]))
        moved += _compact(middle)
        _holds(middle)
    assert moved > 0
    want = expected({"a": b"\n".join(LINES)})
    assert by_key(Out(middle.plan.out).rows(PROCESSED)).keys() == want["rows"].keys()
    assert memory.asked.seq >= len(batches) // 3


def test_a_stream_knows_after_a_compaction_that_nothing_has_landed_beside_it(
    middle: Middle,
) -> None:
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw(LINES[:100])))
    memory = commit(one, memory, middle.ship(raw(LINES[100:200], first=100)))
    _compact(middle)
    memory = commit(one, memory, middle.ship(raw(LINES[200:300], first=200)))
    assert memory.asked.seq == middle.lake.last_done().seq
    assert memory.handed == {}


def test_a_copy_that_a_restarted_dedupe_lets_through_is_found_in_a_compacted_file(
    middle: Middle,
) -> None:
    line = next(x for x in LINES if b'"de"' in x and b"50" in x)
    one = middle.committer()
    memory = commit(one, Memory(), middle.ship(raw([line], "c/t/0")))
    for k in range(3):
        memory = commit(one, memory, middle.ship(raw(LINES[3 * k : 3 * k + 3], f"c/t/{k + 2}")))
    assert _compact(middle) > 0
    again = Middle(middle.plan)
    commit(middle.committer(), Memory(), again.ship(raw([line], "c/t/1")))
    destinies = {
        (r["_source"], r["destiny"]): r["rows"]
        for r in Out(middle.plan.out).rows(LEDGER)
        if r["rows"]
    }
    assert destinies["c/t/1", "duplicate"] == 1
    assert ("c/t/1", "kept") not in destinies
    _holds(middle)


def test_a_shipment_that_was_on_its_way_during_a_compaction_lands_once(middle: Middle) -> None:
    one, memory = middle.committer(), Memory()
    first, second = middle.ship(raw(LINES[:150])), middle.ship(raw(LINES[150:300], first=150))
    memory = commit(one, memory, first)
    commit(middle.committer(), memory, middle.ship(raw([], "e")), second)
    _compact(middle)
    commit(one, memory, second)  # Its own process does not know that another one landed it.
    rows = [(r["_source"], r["_position"]) for r in Out(middle.plan.out).rows(PROCESSED)]
    assert len(rows) == len(set(rows)) > 0
    _holds(middle)
