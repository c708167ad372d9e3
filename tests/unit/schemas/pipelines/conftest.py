"""A folder with a contract and a pipeline, to be edited line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.2.0
status: active
schema:
  - name: orders
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: ordered_at}
    properties:
      - {name: order_id, logicalType: string, required: true, primaryKey: true}
      - {name: ordered_at, logicalType: timestamp, required: true}
      - {name: amount, logicalType: number}
      - {name: items, logicalType: integer}
      - {name: country, logicalType: string}
      - name: email
        logicalType: string
        classification: restricted
        customProperties: [{property: "penstock:protect", value: pseudonymize}]
      - name: phone
        logicalType: string
        classification: restricted
        customProperties: [{property: "penstock:protect", value: mask}]
      - name: card
        logicalType: string
        classification: restricted
        customProperties: [{property: "penstock:protect", value: drop}]
      - name: ship
        logicalType: object
        properties:
          - {name: city, logicalType: string}
      - name: extra
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
        properties:
          - {name: channel, logicalType: string}
          - {name: weight, logicalType: number}
"""

PIPELINE = """\
name: orders
contract: contract.odcs.yaml
source:
  batch: {files: {path: "data/*.jsonl.gz"}}
steps:
  - deduplicate: {by: [order_id], horizon: 1d}
  - derive:
      class: CASE WHEN amount > 100 THEN 'large' ELSE 'small' END
      channel: upper(extra.channel)
  - filter: {keep: amount > 0}
  - enrich:
      table: countries
      from: {files: {path: countries.csv}}
      on: {country: code}
      add: {continent: continent, population: {column: pop, type: integer}}
  - python: {call: "mine.steps:score", columns: {score: number}}
aggregates:
  - name: hourly
    windowing: {type: fixed, size: 1h, allowed_lateness: 10m}
    group_by: [class, extra.channel]
    measures: {orders: count(*), revenue: sum(amount), people: approx_count_distinct(email)}
sinks:
  lake: {partition_by: ["day(ordered_at)"], sort_by: [country]}
  warehouse: {}
"""

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a pipeline folder; `edit` replaces a text of one of the two files."""

    def make(
        old: str = "", new: str = "", *, contract: str = CONTRACT, pipeline: str = PIPELINE
    ) -> Path:
        for name, text in (("contract.odcs.yaml", contract), ("pipeline.yaml", pipeline)):
            assert name == "contract.odcs.yaml" or old in text, old
            edited = text.replace(old, new, 1) if old and old in text else text
            (tmp_path / name).write_text(edited, encoding="utf-8")
        return tmp_path

    return make
