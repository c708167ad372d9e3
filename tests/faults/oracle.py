"""Is the lake right? Asked of the files alone, by what stands at each position of the source."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog

from tests.faults.synthetic import HOUR_US, record

TABLES = {
    "kept": "processed_data.synthetic",
    "refused": "operations.synthetic_refused",
    "hourly": "analytics.hourly",
    "ledger": "operations.synthetic_ledger",
}


def catalog(root: Path) -> SqlCatalog:
    """The plain catalog."""
    return SqlCatalog(
        "lake", uri=f"sqlite:///{root}/catalog.db?timeout=20", warehouse=f"file://{root}"
    )


def commit_rows(lake: SqlCatalog) -> list[dict[str, Any]]:
    """Every row of `_commits` that is kept."""
    return lake.load_table("operations.synthetic_commits").scan().to_arrow().to_pylist()


def newest(lake: SqlCatalog) -> dict[str, int]:
    """Snapshots of the last done commit."""
    ended = [r for r in commit_rows(lake) if r["state"] in ("done", "void", "base")]
    return json.loads(max(ended, key=lambda r: r["seq"])["snapshots"]) if ended else {}


def heads(lake: SqlCatalog) -> dict[str, int]:
    """Snapshots that an engine sees that knows nothing of `_commits`."""
    tables = {n: lake.load_table(n).current_snapshot() for n in TABLES.values()}
    return {n: s.snapshot_id for n, s in tables.items() if s is not None}


def wrongs(lake: SqlCatalog, snapshots: dict[str, int], want: set | None = None) -> list[str]:
    """Say what is wrong with one state; with `want` it must hold exactly these positions."""
    rows = {short: _rows(lake, name, snapshots.get(name)) for short, name in TABLES.items()}
    out = []
    entries = {(r["commit_id"], r["_source"]): r["ranges"] for r in rows["ledger"]}
    spots = [
        (s, p)
        for (_, s), ranges in entries.items()
        for r in ranges
        for p in range(r["start"], r["end"])
    ]
    if len(spots) != len(set(spots)):
        out.append(f"{len(spots) - len(set(spots))} positions are in two ledger entries")
    if want is not None and set(spots) != want:
        out.append(f"the ledger misses {len(want - set(spots))} positions")
    at = want if want is not None else set(spots)
    by_destiny = {
        d: {x for x in at if record(*x)["destiny"] == d} for d in ("kept", "refused", "duplicate")
    }
    for destiny in ("kept", "refused"):
        got = Counter((r["_source"], r["_position"]) for r in rows[destiny])
        should = by_destiny[destiny]
        doubled = sum(n - 1 for n in got.values())
        if doubled or set(got) != should:
            out.append(
                f"{destiny}: {doubled} doubled, {len(should - set(got))} lost, "
                f"{len(set(got) - should)} too many"
            )
    for r in rows["kept"]:
        if record(r["_source"], r["_position"])["amount"] != r["amount"]:
            out.append("a value differs")
            break
    return [*out, *_aggregates(rows["hourly"], by_destiny["kept"]), *_sums(rows["ledger"])]


def _aggregates(rows: list[dict[str, Any]], kept: set) -> list[str]:
    should: dict[int, tuple[int, int]] = {}
    for x in kept:
        r = record(*x)
        n, total = should.get(r["at"] // HOUR_US, (0, 0))
        should[r["at"] // HOUR_US] = (n + 1, total + r["amount"])
    got = {
        round(r["window_start"].timestamp() * 1_000_000) // HOUR_US: (r["n"], r["total"])
        for r in rows
    }
    return [] if got == should and len(rows) == len(should) else ["aggregates differ"]


def _sums(ledger: list[dict[str, Any]]) -> list[str]:
    counted: Counter[tuple[str, str, str]] = Counter()
    should: Counter[tuple[str, str, str]] = Counter()
    seen = set()
    for r in ledger:
        counted[r["commit_id"], r["_source"], r["destiny"]] += r["rows"]
        if (r["commit_id"], r["_source"]) not in seen:
            seen.add((r["commit_id"], r["_source"]))
            for span in r["ranges"]:
                for p in range(span["start"], span["end"]):
                    destiny = record(r["_source"], p)["destiny"]
                    should[r["commit_id"], r["_source"], destiny] += 1
    return [] if +counted == should else ["the ledger's counts differ"]


def _rows(lake: SqlCatalog, name: str, at: int | None) -> list[dict[str, Any]]:
    return lake.load_table(name).scan(snapshot_id=at).to_arrow().to_pylist() if at else []
