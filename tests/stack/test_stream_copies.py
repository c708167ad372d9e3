"""A stream on prism that is started again, over copies of landed rows at other event times."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests import servers
from tests.pipelines.shop import PROCESSED, START, Out
from tests.stack.streaming import make_topic, produce
from tests.stack.test_run_stream import destinies, ended, folder_of, start

pytestmark = pytest.mark.stack

RUNS = (
    [("x", 600)],
    [("x", 601), ("z", 601), ("z", 601)],
    [("x", 630), ("x", 670), ("x", 671)],
)
"""Id and minute of the sales that each run finds new; the horizon is an hour."""


def sale(key: str, minute: int) -> bytes:
    at = START + timedelta(minutes=minute)
    properties = {"email": "p@example.org", "amount": 50, "note": None}
    row = {"sale_id": key, "sold_at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "country": "de", "pieces": 1}
    return json.dumps(row | {"properties": properties}).encode()


def test_each_run_keeps_what_a_batch_over_all_of_them_would(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka(), 1)
    folder = folder_of(tmp_path, topic)
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("horizon: 1d", "horizon: 1h"))
    out = Out(folder / "out")
    for sales in RUNS:
        produce(servers.kafka(), topic, [(0, sale(*one)) for one in sales])
        ended(start(folder))
    kept = {
        (row["sale_id"], (row["sold_at"] - START) / timedelta(minutes=1))
        for row in out.rows(PROCESSED)
    }
    assert kept == {("x", 600), ("z", 601), ("x", 670)}
    assert destinies(out) == {"kept": 3, "duplicate": 4}
