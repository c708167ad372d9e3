"""Which positions a batch makes done: what it says it covers, else those of its messages."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.pipelines.shop import make_folder, sales
from tests.streams import Middle, raw, stream_plan
from transforms.continuous.admit import stretches
from transforms.continuous.committer import Memory
from transforms.sources.streams.raw import Span, with_spans

LINES = sales(0, 4).splitlines()


def covering(batch: pa.RecordBatch, *spans: Span) -> pa.RecordBatch:
    return with_spans(batch, spans)


def test_positions_without_a_message_are_done_with_the_batch_that_covers_them() -> None:
    batch = raw(LINES, "c/t/0", first=10)
    assert stretches(batch) == ({"c/t/0": [(10, 14)]}, {"c/t/0": 4})
    spans = Span("c/t/0", 8, 15, 4), Span("c/t/1", 0, 5, 0, lost=True)
    done = {"c/t/0": [(8, 15)], "c/t/1": [(0, 5)]}
    assert stretches(covering(batch, *spans)) == (done, {"c/t/0": 4})


def test_positions_that_were_lost_land_though_their_batch_has_no_message(tmp_path: Path) -> None:
    one = Middle(stream_plan(make_folder(tmp_path)))
    lost = covering(raw([], "c/t/0"), Span("c/t/0", 0, 7, 0, lost=True))
    shipped = one.ship(lost, covering(raw(LINES, "c/t/0", first=7), Span("c/t/0", 7, 12, 4)))
    assert shipped.landed.done == {"c/t/0": [(0, 12)]}
    alone = one.ship(covering(raw([], "c/t/1"), Span("c/t/1", 0, 7, 0, lost=True)))
    committer = one.committer()
    committer.commit([shipped, alone], Memory())
    entries = one.lake.read(one.plan.operations("ledger")).to_pylist()
    done = {(e["_source"], e["rule"] == "gap", *r.values()) for e in entries for r in e["ranges"]}
    assert done == {
        ("c/t/0", True, 0, 7),
        ("c/t/0", False, 7, 12),
        ("c/t/1", True, 0, 7),
    }
