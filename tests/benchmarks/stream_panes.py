"""What an early pane costs as a window fills: 100,000 groups, a window of an hour, no runner.

Every firing lands one new row of each group, as a stream's own committer does it: files are written
before the clock starts; the commit merges partial aggregates, writes the window's rows anew and
commits all tables. So it is the cost of a commit that fires everything.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from schemas.planning import load_plan
from tests.benchmarks.environments import ROOT
from tests.streams import Middle, raw
from transforms.commit.lake import open_lake
from transforms.continuous.committer import Memory
from transforms.keys import make_default_key

GROUPS = 100_000
_SETS = (
    "aggregates.0.group_by=[user_id]",
    (
        "aggregates.0.windowing={type: fixed, size: 1h, allowed_lateness: 1h, "
        "trigger: {type: after_watermark, early: {type: after_count, count: 1}}}"
    ),
    "aggregates.0.measures={events: count(*), amount: sum(properties.amount)}",
    "sinks.lake.commit_every=10s",
)
_EVENT_TIME = '- {property: "penstock:eventTime", value: event_time}'
_RELEASE = """
      - property: penstock:release
        value: [{place: events_5min.user_id, reason: the users are made up}]"""


def measured(firings: int, work: Path) -> list[float]:
    """Return the CPU seconds of each of so many commits."""
    folder = work / "panes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("contract.odcs.yaml", "pipeline.yaml"):
        shutil.copy(ROOT / "beam_pipelines" / "events" / name, folder)
    contract = folder / "contract.odcs.yaml"
    contract.write_text(contract.read_text().replace(_EVENT_TIME, _EVENT_TIME + _RELEASE))
    plan = replace(load_plan(folder, sets=_SETS), mode="stream", sinks={"lake": {}})
    make_default_key(folder)
    open_lake(plan).prepare(plan)
    middle = Middle(plan)
    committer, memory, costs = middle.committer(), Memory(), []
    for firing in range(firings):
        shipment = middle.ship(raw(_messages(firing), first=firing * GROUPS))
        began = time.process_time()
        committed, memory = committer.commit([shipment], memory)
        costs.append(time.process_time() - began)
        if committed is None:
            msg = f"every firing must land rows; got none at {firing}"
            raise RuntimeError(msg)
    rows = middle.lake.read("analytics.events_5min", ["_rows"])
    if rows.num_rows != GROUPS or rows["_rows"].to_numpy().sum() != firings * GROUPS:
        msg = f"the window must hold every row; got {rows.num_rows} groups"
        raise RuntimeError(msg)
    shutil.rmtree(folder)
    return costs


def _messages(firing: int) -> list[bytes]:
    second = firing * 3600 // 400
    at = f"2026-03-01T12:{second // 60:02d}:{second % 60:02d}Z"
    return [
        (
            f'{{"event_id":"{firing:08x}-0000-4000-8000-{group:012x}","event_time":"{at}",'
            f'"user_id":"u{group:06d}","event_type":"click","properties":{{"amount":1.5}}}}'
        ).encode()
        for group in range(GROUPS)
    ]
