"""Messages of a topic change while it is read: met as the contract says, and taken up by `evolve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from infra.local.servers import prism
from tests import servers
from tests.pipelines.shop import Out
from tests.stack.streaming import make_topic, produce

pytestmark = pytest.mark.stack

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
schema:
  - name: shop
    customProperties: [{{property: "penstock:onChange", value: {mode}}}]
    properties:
      - {{name: sale_id, logicalType: integer, required: true}}
      - {{name: pieces, logicalType: integer}}
"""
PIPELINE = """\
name: shop
contract: contract.odcs.yaml
source:
  stream:
    kafka: {{topic: {topic}, brokers: "{brokers}", end: latest}}
sinks: {{lake: {{commit_every: 1s}}}}
"""
GOOD = [{"sale_id": i, "pieces": 1} for i in range(60)]
NEW = [{"sale_id": 100 + i, "pieces": 1, "coupon": f"c{i}"} for i in range(60)]


def folder_of(root: Path, mode: str) -> tuple[Path, str]:
    topic = make_topic(servers.kafka(), 1)
    root.mkdir(exist_ok=True)
    (root / "contract.odcs.yaml").write_text(CONTRACT.format(mode=mode))
    (root / "pipeline.yaml").write_text(PIPELINE.format(topic=topic, brokers=servers.kafka()))
    return root, topic


def send(topic: str, rows: list[dict[str, Any]]) -> None:
    produce(servers.kafka(), topic, [(0, json.dumps(row).encode()) for row in rows])


def streamed(folder: Path, code: int = 0) -> dict[str, Any]:
    command = [sys.executable, "-m", "beam_pipelines", "run", str(folder)]
    done = subprocess.run(
        [*command, "--stream", "--runner", "prism", "--json"],
        env=os.environ | {"PENSTOCK_PRISM": str(prism.install() / "prism")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if code == 0 else {"said": done.stderr}


def landed(folder: Path) -> dict[int, Any]:
    rows = Out(folder / "out").rows("processed_data.shop")
    assert len({row["sale_id"] for row in rows}) == len(rows)
    return {row["sale_id"]: row.get("coupon") for row in rows}


def test_messages_in_quarantine_land_once_with_their_column_after_evolve(tmp_path: Path) -> None:
    folder, topic = folder_of(tmp_path / "shop", "quarantine")
    send(topic, [*GOOD, *NEW])
    said = streamed(folder)
    assert (said["rows"]["kept"], said["rows"]["refused"]) == (len(GOOD), len(NEW))
    assert [(c["column"], c["rows"]) for c in said["changes"]] == [("coupon", len(NEW))]
    assert main(["evolve", str(folder)]) == 0
    assert main(["dlq", "replay", str(folder), "--stream", "--runner", "prism"]) == 0
    want = {row["sale_id"]: row.get("coupon") for row in (*GOOD, *NEW)}
    assert landed(folder) == want
    more = [{**row, "sale_id": row["sale_id"] + 100} for row in NEW]
    send(topic, more)
    assert streamed(folder)["changes"] == []
    assert landed(folder) == want | {row["sale_id"]: row["coupon"] for row in more}


def test_a_frozen_stream_ends_with_the_place_and_loses_nothing(tmp_path: Path) -> None:
    folder, topic = folder_of(tmp_path / "shop", "freeze")
    send(topic, GOOD)
    assert streamed(folder)["rows"]["kept"] == len(GOOD)
    send(topic, [{**GOOD[0], "sale_id": 99}, *NEW])
    said = streamed(folder, code=1)["said"]
    assert "a record must have no column that its contract does not declare" in said
    assert "'coupon'" in said
    assert "c0" not in said
    assert set(landed(folder)) <= {row["sale_id"] for row in GOOD} | {99}
    assert main(["evolve", str(folder)]) == 0
    assert streamed(folder)["changes"] == []
    want = {row["sale_id"]: row.get("coupon") for row in (*GOOD, *NEW)}
    assert landed(folder) == want | {99: None}
