"""Copies at other event times, in a stream that does not know what landed: as if it had known.

A dedupe that begins without a checkpoint takes a row for the first of its like that is a copy of a
landed one, and rows for copies of it that may be none of what landed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PIPELINE,
    PROCESSED,
    START,
    Out,
    by_group,
    hourly,
    make_folder,
    plain_row,
)
from tests.streams import Middle, commit, raw, stream_plan
from transforms.continuous.committer import Memory

HORIZON = 60
"""Minutes."""

Row = tuple[str, int]
"""Id and event time in minutes."""


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    pipeline = PIPELINE.replace("horizon: 1d", f"horizon: {HORIZON}m")
    return Middle(stream_plan(make_folder(tmp_path, pipeline=pipeline)))


def line(row: Row) -> bytes:
    key, minute = row
    sale = {
        "sale_id": key,
        "sold_at": f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}",
        "country": "de",
        "pieces": minute,
        "properties": {"email": "p@example.org", "amount": 50, "note": None},
    }
    return json.dumps(sale).encode()


def first_of_their_like(rows: Iterable[Row]) -> list[Row]:
    """What is kept of rows that come in this order."""
    kept: list[Row] = []
    for key, minute in rows:
        if all(k != key or abs(m - minute) > HORIZON for k, m in kept):
            kept.append((key, minute))
    return kept


def minutes(out: Out) -> list[Row]:
    """The kept rows, in the order of their positions."""
    rows = sorted(out.rows(PROCESSED), key=lambda r: (r["_source"], r["_position"]))
    return [(r["sale_id"], int((r["sold_at"] - START) / timedelta(minutes=1))) for r in rows]


def holds(middle: Middle, rows: Sequence[Row]) -> None:
    """The tables are those of a batch over the rows, and every row has one destiny."""
    out, want = Out(middle.plan.out), first_of_their_like(rows)
    assert minutes(out) == want
    assert by_group(out.rows(HOURLY)) == hourly(plain_row(r) for r in out.rows(PROCESSED))
    counts: Counter[str] = Counter()
    for entry in out.rows(LEDGER):
        counts[entry["destiny"]] += entry["rows"]
    assert +counts == +Counter(kept=len(want), duplicate=len(rows) - len(want))


BEFORE: list[Row] = [("x", 600)]
CASES: dict[str, list[list[Row]]] = {
    "another row has a copy": [[("x", 601), ("z", 601), ("z", 601)]],
    "the row has a copy at its time": [[("x", 601), ("x", 601)]],
    "the row has a copy at another time": [[("x", 601), ("x", 602)]],
    "the row has a copy that is none of the landed one": [[("x", 630), ("x", 670)]],
    "such a copy has copies": [[("x", 630), ("x", 670), ("x", 671), ("x", 671), ("x", 725)]],
    "such a copy comes in a later commit": [[("x", 630)], [("y", 630)], [("x", 670)]],
    "its like come later still": [[("x", 630)], [("x", 670)], [("x", 692)], [("x", 731)]],
    "event time runs backwards": [[("x", 560), ("x", 530)], [("x", 480), ("x", 460)]],
    "many": [[(k, 600 + 7 * i) for i in range(20) for k in ("x", "y", "z")]],
    "many, in many commits": [[(k, 600 + 17 * i) for k in ("x", "y", "x")] for i in range(8)],
}


@pytest.mark.parametrize("commits", CASES.values(), ids=CASES.keys())
def test_a_stream_without_a_checkpoint_keeps_what_a_batch_would(
    middle: Middle, commits: list[list[Row]]
) -> None:
    commit(middle.committer(), Memory(), middle.ship(raw([line(r) for r in BEFORE])))
    again, rows = Middle(middle.plan), [*BEFORE]
    one, memory = again.committer(), again.begins()
    for own in commits:
        memory = commit(one, memory, again.ship(raw([line(r) for r in own], first=len(rows))))
        rows += own
        holds(middle, rows)
