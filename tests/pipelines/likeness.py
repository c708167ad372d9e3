"""A contract with a column of each kind, samples of it, and what `generate --like` makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.generating import Manifest, Order, generate
from schemas.contract import Column, Contract, Protection
from schemas.planning import load_plan
from transforms.synthetic.like.guard import Guard
from transforms.synthetic.like.sampled import likeness_of
from transforms.synthetic.like.shapes import Likeness
from transforms.synthetic.stream import Shares
from transforms.synthetic.values import Span

HOUR_US = 3_600_000_000
START_US = 20_000 * 24 * HOUR_US
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: visits
name: visits
version: 1.0.0
status: active
schema:
  - name: visits
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: serial, logicalType: integer, unique: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: paid_at, logicalType: timestamp}
      - {name: birthday, logicalType: date, classification: confidential}
      - {name: opens, logicalType: time}
      - {name: city, logicalType: string}
      - {name: state, logicalType: string, enum: [{value: open}, {value: shut}]}
      - {name: mail, logicalType: string, classification: restricted, logicalTypeOptions: {format: email}}
      - {name: who, logicalType: string, classification: restricted}
      - {name: account, logicalType: integer}
      - {name: ticket, logicalType: integer}
      - {name: note, logicalType: string}
      - {name: price, logicalType: number, physicalType: "DECIMAL(12,2)"}
      - {name: weight, logicalType: number}
      - {name: pay, logicalType: number, classification: confidential}
      - {name: gift, logicalType: boolean}
      - {name: tags, logicalType: array, items: {logicalType: string}}
      - name: place
        logicalType: object
        properties:
          - {name: zip, logicalType: string}
          - {name: height, logicalType: number}
      - name: more
        logicalType: object
        customProperties:
          - {property: "penstock:open", value: true}
        properties:
          - {name: ip, logicalType: string}
          - {name: score, logicalType: number}
"""
PIPELINE = """\
name: visits
contract: contract.odcs.yaml
source:
  batch: {files: {path: "data/FILE", format: FORMAT}}
steps:
  - deduplicate: {by: [id], horizon: 400d}
sinks:
  lake: {}
"""
CANARIES: dict[str, Any] = {
    "id": "CANARY-KEY-1", "serial": 918273645, "paid_at": "2031-03-07T03:14:15.926535Z",
    "birthday": "1887-03-29", "opens": "03:33:37", "city": "Canary City",
    "mail": "canary@canary.example", "who": "Cana Ryson", "account": 777123456789, "ticket": 712345678,
    "note": "the canary sings at midnight", "price": 91234567.89, "weight": 81234.5678,
    "pay": 71234567.5, "tags": ["canarytag"], "place": {"zip": "CAN 4RY", "height": 61234.5},
    "more": {"ip": "203.0.113.77", "score": 512346789.0, "undeclared": "canaryundeclared"},
}  # fmt: skip
"""A value of each kind that one row of a sample has."""


def folder_of(root: Path, file: str = "made.jsonl", form: str = "json") -> Path:
    """Write the pipeline's two files."""
    root.mkdir(exist_ok=True)
    (root / "contract.odcs.yaml").write_text(CONTRACT)
    (root / "pipeline.yaml").write_text(PIPELINE.replace("FILE", file).replace("FORMAT", form))
    return root


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Make up rows of a sample: several weeks, a few cities, customers that come again."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 21 * 24, count)) * HOUR_US + rng.integers(0, HOUR_US, count)
    at = START_US + np.sort(at) // 1_000_000 * 1_000_000
    weight = np.round(np.exp(rng.normal(2, 1, count)), 4)
    height = (150 + 10 * np.log(weight) + rng.normal(0, 5, count)).round(1)
    known = rng.random(count) > 0.2
    tickets = rng.choice(40_000, count, replace=False)
    made = []
    for i in range(count):
        customer = int(rng.zipf(1.5)) % 300
        row: dict[str, Any] = {
            "id": f"V-{int(rng.integers(10**9)):09d}-{i}",
            "serial": 50_000 + i,
            "at": _iso(int(at[i])),
            "paid_at": _iso(int(at[i]) + 1_000_000 * int(rng.integers(60, 600))),
            "birthday": str(np.datetime64("1950-01-01") + int(rng.integers(20_000))),
            "opens": f"{int(rng.integers(7, 10)):02d}:{int(rng.integers(60)):02d}:{i % 60:02d}",
            "city": str(rng.choice(["Oslo", "Rome", "Bergen"], p=[0.6, 0.3, 0.1])),
            "state": str(rng.choice(["open", "shut"], p=[0.8, 0.2])),
            "mail": f"user{customer}@mail.test",
            "who": f"Name{chr(97 + customer % 26)} Sur{chr(97 + customer // 26)}",
            "account": 100_000_000_000 + customer * 7_919_113,
            "ticket": int(tickets[i]),
            "note": " ".join(["word"] * int(rng.integers(2, 9))) + f" {i}",
            "price": round(float(rng.integers(1, 20_000)) / 20, 2),
            "weight": float(weight[i]),
            "pay": float(rng.integers(20_000, 60_000)) + 0.5,
            "gift": bool(rng.random() < 0.1),
            "tags": [f"t{int(n)}" for n in rng.integers(0, 5, int(rng.integers(0, 4)))],
            "place": {"zip": f"{int(rng.integers(100, 999))} {int(rng.integers(10, 99))}",
                      "height": float(height[i])},
            "more": {"ip": f"10.0.{int(rng.integers(256))}.{int(rng.integers(256))}",
                     "score": float(rng.integers(100)), "undeclared": i},
        }  # fmt: skip
        if not known[i]:
            row["weight"] = row["price"] = None
        made.append(row)
    return made


def with_canaries(sample: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put a row of its own for each canary into a sample."""
    out = list(sample)
    for number, (name, value) in enumerate(CANARIES.items()):
        out[7 + 11 * number] = out[7 + 11 * number] | {name: value}
    return out


def write(path: Path, sample: list[dict[str, Any]]) -> Path:
    """Write a sample as JSON lines, CSV (objects as JSON text) or Parquet."""
    if path.suffix == ".jsonl":
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in sample))
    elif path.suffix == ".parquet":
        flat = [row | {"more": orjson.dumps(row["more"]).decode()} for row in sample]
        table = pa.Table.from_pylist(flat)
        exact = table["price"].cast(pa.decimal128(12, 2))
        table = table.set_column(table.schema.get_field_index("price"), "price", exact)
        pq.write_table(table, path)
    else:
        lines = [",".join(sample[0])]
        lines += [",".join(map(_cell, row.values())) for row in sample]
        path.write_text("\n".join(lines) + "\n")
    return path


def _cell(value: Any) -> str:
    text = (
        value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    )
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",') else text


def learnt(
    folder: Path, sample: Path, guard: Guard | None = None, *, open_to_all: bool = False
) -> Likeness:
    """Learn a sample; `open_to_all`: as if nothing were personal, and no value had to be unique."""
    plan = load_plan(folder)
    contract = _bare(plan.contract) if open_to_all else plan.contract
    guard = guard or Guard()
    return likeness_of(contract, plan.source, str(sample), Path.cwd(), guard)


def made(
    folder: Path,
    file: str,
    like: Likeness | None,
    *,
    count: int = 3000,
    seed: int = 1,
    open_to_all: bool = False,
    change: Callable[[Contract], Contract] = lambda contract: contract,
    **shares: Any,
) -> Manifest:
    """Generate a file under `data/`."""
    plan = load_plan(folder)
    contract = _bare(plan.contract) if open_to_all else plan.contract
    span = Span(start_us=START_US, end_us=START_US + 24 * HOUR_US)
    if like is not None and like.rhythm is not None:
        span = like.rhythm.span
    order = Order(
        path=folder / "data" / file,
        rows=count,
        seed=seed,
        span=span,
        shares=Shares(**shares),
        like=like,
    )
    return generate(replace(plan, contract=change(contract)), order)


def _bare(contract: Contract) -> Contract:
    columns = tuple(map(_bare_column, contract.columns))
    return replace(contract, columns=columns, primary_key=())


def _bare_column(column: Column) -> Column:
    return replace(
        column,
        classification=None,
        protect=Protection.KEEP,
        unique=False,
        primary_key=None,
        rules=(),
        children=tuple(map(_bare_column, column.children)),
    )


def _iso(micros: int) -> str:
    return f"{np.datetime64(micros, 'us')}Z"
