"""A small pipeline folder, rows for it, and what must become of them, worked out in plain Python.

Nothing here uses our functions: tables are read with pyiceberg and DuckDB.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

START = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "shop"
PROCESSED, FACT, HOURLY = "processed_data.shop", "analytics.fact_shop", "analytics.sales_hourly"
LEDGER, REFUSED = "operations.shop_ledger", "operations.shop_refused"

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
name: Shop
version: 1.0.0
status: active
schema:
  - name: shop
    physicalName: shop
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: sold_at}
    properties:
      - name: sale_id
        logicalType: string
        required: true
        primaryKey: true
        primaryKeyPosition: 1
      - {name: sold_at, logicalType: timestamp, required: true}
      - {name: country, logicalType: string, required: true}
      - {name: pieces, logicalType: integer}
      - name: properties
        logicalType: object
        customProperties:
          - {property: "penstock:open", value: true}
        properties:
          - name: email
            logicalType: string
            classification: restricted
            customProperties:
              - {property: "penstock:protect", value: pseudonymize}
              - {property: "penstock:reason", value: Names a person.}
          - {name: amount, logicalType: number}
"""
PIPELINE = """\
name: shop
contract: contract.odcs.yaml
source:
  batch: {files: {path: "data/*.jsonl*", format: json}}
steps:
  - deduplicate: {by: [sale_id], horizon: 1d}
  - derive: {size: "CASE WHEN properties.amount >= 50 THEN 'big' ELSE 'small' END"}
  - filter: {keep: "properties.amount > 5"}
  - enrich:
      table: countries
      from: {files: {path: countries.csv, format: csv}}
      on: {country: code}
      add: {land: name}
aggregates:
  - name: sales_hourly
    windowing: {type: fixed, size: 1h}
    group_by: [land, size]
    measures: {sales: "count(*)", total: "sum(properties.amount)", most: "max(pieces)"}
sinks:
  lake: {}
  warehouse: {}
"""
COUNTRIES = {"de": "Germany", "fr": "France", "it": "Italy"}
BROKEN = (
    b'{"sale_id": "x1", "sold_at": ',
    b'{"sold_at": "2026-03-01T00:00:00Z", "country": "de"}',
    b'{"sale_id": "x2", "sold_at": "yesterday", "country": "de"}',
    b'{"sale_id": "x3", "sold_at": "2026-03-01T00:00:00Z", "country": "de", "pieces": "SECRET"}',
)


def make_folder(root: Path, *, contract: str = CONTRACT, pipeline: str = PIPELINE) -> Path:
    """Write the two files of the pipeline and its lookup."""
    folder = root / NAME
    (folder / "data").mkdir(parents=True)
    (folder / "contract.odcs.yaml").write_text(contract)
    (folder / "pipeline.yaml").write_text(pipeline)
    text = "".join(f"{code},{name}\n" for code, name in COUNTRIES.items())
    (folder / "countries.csv").write_text("code,name\n" + text)
    return folder


def sales(first: int, count: int, *, seed: int = 0, broken: int = 0, copies: int = 0) -> bytes:
    """Return JSON lines: `count` sales numbered from `first`, some broken, some copied."""
    rng = random.Random(seed * 1000 + first)
    lines = []
    for number in range(first, first + count):
        at = START + timedelta(seconds=rng.randrange(3 * 3600))
        row = {
            "sale_id": f"s{number:05}",
            "sold_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "country": rng.choice(["de", "fr", "it", "xx"]),
            "pieces": rng.choice([None, 1, 2, 3]),
            "properties": {
                "email": f"p{rng.randrange(40)}@example.org",
                "amount": rng.choice([1, 2.5, 20, 49.75, 50, 99.25]),
                "note": rng.choice(["a", "ü", None]),
            },
        }
        lines.append(json.dumps(row, ensure_ascii=False).encode())
    lines += [rng.choice(lines) for _ in range(copies)]
    lines += [BROKEN[i % len(BROKEN)] for i in range(broken)]
    rng.shuffle(lines)
    return b"".join(line + b"\n" for line in lines)


def expected(files: dict[str, bytes]) -> dict[str, Any]:
    """Work out rows by key, aggregates and destinies of files read in order of their names.

    Copies in `sales` are exact, so that the horizon of a day never separates them.
    """
    rows: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    counts = dict.fromkeys(("read", "kept", "refused", "duplicate", "filtered", "late"), 0)
    for name in sorted(files):
        for line in files[name].splitlines():
            counts["read"] += 1
            if line in BROKEN:
                counts["refused"] += 1
                continue
            row = json.loads(line)
            amount = row["properties"]["amount"]
            if not amount > 5:
                counts["filtered"] += 1
                continue
            if row["sale_id"] in seen:
                counts["duplicate"] += 1
                continue
            seen.add(row["sale_id"])
            counts["kept"] += 1
            rows[row["sale_id"]] = {
                "sale_id": row["sale_id"],
                "sold_at": datetime.fromisoformat(row["sold_at"]),
                "country": row["country"],
                "pieces": row["pieces"],
                "amount": amount,
                "note": row["properties"]["note"],
                "size": "big" if amount >= 50 else "small",
                "land": COUNTRIES.get(row["country"]),
            }
    return {"rows": rows, "hourly": hourly(rows.values()), "counts": counts}


def hourly(rows: Iterable[dict[str, Any]]) -> dict[Any, Any]:
    """Return (window start, land, size) -> (sales, total, most)."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        start = row["sold_at"].replace(minute=0, second=0, microsecond=0)
        groups[start, row["land"], row["size"]].append(row)
    return {
        key: (
            len(group),
            sum(r["amount"] for r in group),
            max((r["pieces"] for r in group if r["pieces"] is not None), default=None),
        )
        for key, group in groups.items()
    }


class Out:
    """What a run left behind, read from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def catalog(self) -> SqlCatalog:
        root = self.path.resolve() / "lake"
        return SqlCatalog("lake", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}")

    def lake(self, table: str) -> pa.Table:
        return self.catalog().load_table(table).scan().to_arrow()

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.lake(table).to_pylist()

    def done(self) -> list[dict[str, Any]]:
        """Rows of `_commits` that end a commit, in order."""
        if not (self.path / "lake" / "catalog.db").exists():
            return []
        rows = self.rows("operations.shop_commits")
        return sorted((r for r in rows if r["state"] == "done"), key=lambda r: r["seq"])

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        with duckdb.connect(str(self.path / "warehouse.duckdb"), read_only=True) as c:
            c.execute("SET TimeZone = 'UTC'")
            return c.execute(query).fetchall()

    def warehouse(self, table: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(self.path / "warehouse.duckdb"), read_only=True) as c:
            c.execute("SET TimeZone = 'UTC'")
            found = c.execute(f"FROM {table}")
            names = [d[0] for d in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a stored row as `expected` writes it; the e-mail must be a pseudonym."""
    text = row["properties"]
    properties = json.loads(text)
    assert "@" not in properties["email"], properties["email"][:9]
    names = ("sale_id", "sold_at", "country", "pieces", "size", "land")
    return {n: row[n] for n in names} | {"amount": properties["amount"], "note": properties["note"]}


def by_key(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return stored rows by key, which must be unique."""
    found = {row["sale_id"]: plain_row(row) for row in rows}
    assert len(found) == len(rows)
    return found


def by_group(rows: list[dict[str, Any]]) -> dict[Any, Any]:
    """Return contract columns of stored aggregate rows by window and group."""
    found = {
        (r["window_start"], r["land"], r["size"]): (r["sales"], r["total"], r["most"]) for r in rows
    }
    assert len(found) == len(rows)
    return found


def assert_tables(out: Out, want: dict[str, Any], *, warehouse: bool = True) -> None:
    """Lake and warehouse hold exactly what is expected."""
    assert by_key(out.rows(PROCESSED)) == want["rows"]
    assert by_group(out.rows(HOURLY)) == want["hourly"]
    if warehouse:
        assert by_key(out.warehouse(PROCESSED)) == want["rows"]
        assert by_key(out.warehouse(FACT)) == want["rows"]
        assert by_group(out.warehouse(HOURLY)) == want["hourly"]
