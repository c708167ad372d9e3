"""Changes of messages: a stream meets them as a batch does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beam_pipelines.balance import balance
from tests.pipelines.test_changes import (
    GOOD,
    NEW,
    assert_as_ever,
    destinies,
    folder_of,
    landed,
)
from tests.streams import Middle, commit, stream_plan
from tests.unit.transforms.raws import raw
from transforms.changes.kept import kept_changes
from transforms.changes.meet import SchemaChangeError
from transforms.commit.lake import open_lake


@pytest.mark.parametrize(
    ("mode", "destiny"),
    [(None, "kept"), ("discard_row", "filtered"), ("quarantine", "refused")],
)
def test_a_stream_meets_changes_as_a_batch_does_and_keeps_what_it_saw(
    tmp_path: Path, mode: str | None, destiny: str
) -> None:
    folder = folder_of(tmp_path, "json", mode, NEW)
    plan = stream_plan(folder)
    middle = Middle(plan)
    payloads = [json.dumps(row).encode() for row in (*GOOD, *NEW)]
    memory, one = middle.begins(), middle.committer()
    for at in range(0, len(payloads), 4):
        batch = raw(*(("t/0", at + i, p) for i, p in enumerate(payloads[at : at + 4])))
        memory = commit(one, memory, middle.ship(batch))
    assert_as_ever(folder)
    assert len(landed(folder)) == len(GOOD) + (len(NEW) if destiny == "kept" else 0)
    rule = "" if destiny == "kept" else "undeclared"
    assert destinies(folder)[destiny, rule] == len(NEW) + (len(GOOD) if destiny == "kept" else 0)
    assert balance(open_lake(plan), plan, "run").faults == ()
    (change,) = kept_changes(plan)
    assert (change.name, change.rows, change.source) == ("coupon", len(NEW), "t/0")
    assert change.position == len(GOOD)


def test_a_frozen_stream_ends_at_a_change_and_what_came_before_has_landed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "json", "freeze", NEW)
    middle = Middle(stream_plan(folder))
    good, new = (
        raw(*(("t/0", at + i, json.dumps(row).encode()) for i, row in enumerate(rows)))
        for at, rows in ((0, GOOD), (len(GOOD), NEW))
    )
    memory = commit(middle.committer(), middle.begins(), middle.ship(good))
    with pytest.raises(SchemaChangeError, match="t/0 at 8"):
        middle.ship(new)
    assert [c.name for c in kept_changes(middle.plan)] == ["coupon"]
    path = folder / "contract.odcs.yaml"
    path.write_text(path.read_text().replace("freeze", "evolve"))
    again = Middle(stream_plan(folder))
    commit(again.committer(), memory, again.ship(new))
    assert len(landed(folder)) == len(GOOD) + len(NEW)
