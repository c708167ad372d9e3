"""A row may lack an object whose keys are required; one that has it must have them."""

from __future__ import annotations

from pathlib import Path

from beam_pipelines.batch import ingest
from beam_pipelines.ingest import Engine
from runners.direct import Direct
from schemas.planning import load_plan
from transforms.commit.lake import open_lake

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: few
name: few
version: 1.0.0
status: active
schema:
  - name: few
    logicalType: object
    properties:
      - {name: id, logicalType: string, required: true}
      - name: o
        logicalType: object
        properties: [{name: a, logicalType: integer, required: true}]
      - name: several
        logicalType: array
        items: {logicalType: object, properties: [{name: b, logicalType: string, required: true}]}
"""
PIPELINE = """\
name: few
contract: contract.odcs.yaml
source: {batch: {files: {path: rows.jsonl}}}
"""
ROWS = """\
{"id":"1"}
{"id":"2","o":null,"several":[null]}
{"id":"3","o":{"a":1},"several":[{"b":"x"}]}
{"id":"4","o":{}}
"""


def test_an_object_with_required_keys_may_be_null_or_absent(tmp_path: Path) -> None:
    for name, text in (
        ("contract.odcs.yaml", CONTRACT),
        ("pipeline.yaml", PIPELINE),
        ("rows.jsonl", ROWS),
    ):
        (tmp_path / name).write_text(text)
    plan = load_plan(tmp_path)
    result = ingest(plan, Engine(open_pipeline=Direct().pipeline))
    assert (result.rows["kept"], result.rows["refused"]) == (3, 1)
    kept = open_lake(plan).read(plan.processed).to_pylist()
    assert [(r["id"], r["o"], r["several"] or None) for r in kept] == [
        ("1", None, None),
        ("2", None, [None]),
        ("3", {"a": 1}, [{"b": "x"}]),
    ]
    assert result.warehouse[plan.processed]["rows"] == 3
