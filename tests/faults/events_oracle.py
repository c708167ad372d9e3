"""What lake and warehouse of the events pipeline must hold, told from the input files alone."""

from __future__ import annotations

import json
import random
import shutil
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from pyiceberg.exceptions import NoSuchTableError

from tests.faults import oracle

_PATIENCE_S = 30.0

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 1, tzinfo=UTC)
LAKE = {
    "kept": "processed_data.events",
    "refused": "operations.events_refused",
    "windows": "analytics.events_5min",
    "ledger": "operations.events_ledger",
}
Spot = tuple[str, int]
"""Source and position."""


def make_folder(folder: Path) -> None:
    """Make a pipeline folder like the shipped one, over the files of `data/`."""
    shutil.copytree(ROOT / "beam_pipelines/events", folder)
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    spec = folder / "pipeline.yaml"
    text = spec.read_text()
    assert "data/events.jsonl" in text
    spec.write_text(text.replace("data/events.jsonl", "data/*.jsonl"))
    (folder / "data").mkdir()


def grow(folder: Path, rng: random.Random, rows: int) -> None:
    """Add rows to both files: new ones, copies of any before them in either, broken ones."""
    old = [line for f in sorted((folder / "data").glob("*.jsonl")) for line in _whole(f)]
    for name in ("a", "b"):
        with (folder / "data" / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            for _ in range(rows // 2):
                dice = rng.random()
                if dice < 0.05 and old:
                    line = rng.choice(old)
                elif dice < 0.07:
                    line = rng.choice(["{", "[1]", '{"event_id":1}', "no json", '{"event_id":"x"}'])
                else:
                    line = _event(rng)
                    old.append(line)
                file.write(line + "\n")


def _whole(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if _event_of(line) is not None]


def _event(rng: random.Random) -> str:
    at = START + timedelta(milliseconds=rng.randrange(3 * 3600 * 1000))
    event = {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128))),
        "event_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "user_id": f"u{rng.randrange(200)}",
        "event_type": rng.choice(["view", "click", "buy"]),
        "properties": {"email": f"{rng.randrange(99)}@example.com", "amount": rng.randrange(1000)},
    }
    return json.dumps(event)


def _event_of(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event_time" in event else None


class Truth:
    """Every record of the input files by its place."""

    window = timedelta(minutes=5)

    def __init__(self, folder: Path) -> None:
        self.records: dict[Spot, dict[str, Any] | None] = {}
        for file in sorted((folder / "data").glob("*.jsonl")):
            at = 0
            for line in file.read_bytes().splitlines(keepends=True):
                self.records[file.resolve().as_uri(), at] = _event_of(line.decode())
                at += len(line)

    def wrongs(self, rows: dict[str, list[dict[str, Any]]], *, everything: bool) -> list[str]:
        """Say what is wrong with tables; their ledger says which records they are of.

        Args:
            rows: `kept`, `windows`, and `refused` and `ledger` where the place has them.
            everything: Whether all records must have landed.
        """
        out: list[str] = []
        ended = set(self.records) if everything else None
        if "ledger" in rows:
            ended = self._ended(rows["ledger"], out)
            lost = len(set(self.records) - ended)
            if everything and lost:
                out.append(f"the ledger lacks {lost} records")
        if ended is not None:
            self._check_places(rows, ended, out)
        ids = Counter(r["event_id"] for r in rows["kept"])
        doubled = sum(n - 1 for n in ids.values())
        if doubled:
            out.append(f"{doubled} events are doubled")
        if ended is not None:
            good = {e["event_id"] for s in ended if (e := self.records[s])}
            if good != set(ids):
                out.append(f"{len(good - set(ids))} events lost, {len(set(ids) - good)} made up")
        self._check_windows(rows, out)
        return out

    def _ended(self, ledger: list[dict[str, Any]], out: list[str]) -> set[Spot]:
        entries = {(r["commit_id"], r["_source"]): r["ranges"] for r in ledger}
        places: dict[str, list[int]] = {}
        for source, at in sorted(self.records):
            places.setdefault(source, []).append(at)
        spots: Counter[Spot] = Counter()
        for (_, source), ranges in entries.items():
            mine = places.get(source, [])
            for span in ranges:
                low, high = bisect_left(mine, span["start"]), bisect_left(mine, span["end"])
                spots.update((source, at) for at in mine[low:high])
        if any(n > 1 for n in spots.values()):
            out.append("records are in two ledger entries")
        counts = Counter()
        for r in ledger:
            counts["kept" if r["destiny"] == "late" else r["destiny"]] += r["rows"]
        good = [e["event_id"] for s in spots if (e := self.records[s])]
        should = Counter(
            kept=len(set(good)),
            duplicate=len(good) - len(set(good)),
            refused=len(spots) - len(good),
        )
        if +counts != +should:
            out.append(f"the ledger counts {dict(counts)}, not {dict(should)}")
        return set(spots)

    def _check_places(
        self, rows: dict[str, list[dict[str, Any]]], ended: set[Spot], out: list[str]
    ) -> None:
        if "refused" in rows:
            got = Counter((r["_source"], r["_position"]) for r in rows["refused"])
            broken = {s for s in ended if self.records[s] is None}
            if set(got) != broken or any(n > 1 for n in got.values()):
                out.append(f"refused: {sum(got.values())} rows for {len(broken)} broken records")
        for r in rows["kept"]:
            event = self.records.get((r["_source"], r["_position"]))
            if event is None or event["event_id"] != str(r["event_id"]):
                out.append("a row stands at a place where the input has another")
                break

    def _check_windows(self, rows: dict[str, list[dict[str, Any]]], out: list[str]) -> None:
        should: dict[tuple[datetime, str], tuple[int, float]] = {}
        for r in rows["kept"]:
            event = self.records.get((r["_source"], r["_position"]))
            if event is None:  # said by `_check_places`
                continue
            at = datetime.fromisoformat(event["event_time"])
            start = at - (at - START) % self.window
            if r["_watermark"] is not None and start + self.window <= r["_watermark"]:
                continue  # late, as no lateness is allowed in streams of these tests
            key = start, event["event_type"]
            n, amount = should.get(key, (0, 0.0))
            should[key] = n + 1, amount + event["properties"]["amount"]
        got = {
            (r["window_start"], r["event_type"]): (r["events"], r["amount"])
            for r in rows["windows"]
        }
        if got != should or len(rows["windows"]) != len(got):
            differ = {k for k in got.keys() | should.keys() if got.get(k) != should.get(k)}
            out.append(f"{len(differ)} windows differ")


def lake_rows(folder: Path, snapshots: dict[str, int] | None = None) -> dict[str, list[Any]]:
    """Read the lake at the last done commit (or at given snapshots)."""
    catalog = oracle.catalog((folder / "out/lake").resolve())
    if snapshots is None:
        snapshots = last_done(folder)
    return {
        short: catalog.load_table(name).scan(snapshot_id=at).to_arrow().to_pylist()
        if (at := snapshots.get(name))
        else []
        for short, name in LAKE.items()
    }


def last_done(folder: Path) -> dict[str, int]:
    """Snapshots of the last done commit."""
    done = commits(folder)
    return json.loads(done[-1]["snapshots"]) if done else {}


def commits(folder: Path) -> list[dict[str, Any]]:
    """Rows of `_commits` that end a commit, in their order."""
    catalog = oracle.catalog((folder / "out/lake").resolve())
    rows = catalog.load_table("operations.events_commits").scan().to_arrow().to_pylist()
    done = [r for r in rows if r["state"] in ("done", "void", "base")]
    return sorted(done, key=lambda r: r["seq"])


def heads(folder: Path) -> dict[str, int]:
    """Snapshots that an engine sees that knows nothing of `_commits`."""
    catalog = oracle.catalog((folder / "out/lake").resolve())
    tables = {n: catalog.load_table(n).current_snapshot() for n in LAKE.values()}
    return {n: s.snapshot_id for n, s in tables.items() if s is not None}


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the warehouse between two loads of a stream that follows it meanwhile."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.IOException:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def warehouse_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the warehouse; tables that it does not have yet are empty."""
    with _opened(folder / "out/warehouse.duckdb") as c:
        c.execute("SET TimeZone = 'UTC'")
        there = {
            f"{s}.{t}"
            for s, t in c.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        }
        names = {k: LAKE[k] for k in ("kept", "windows", "refused", "ledger") if LAKE[k] in there}
        names["fact"] = "analytics.fact_events"
        return {
            k: c.sql(f"FROM {n}").to_arrow_table().to_pylist() if n in there else []
            for k, n in names.items()
        }


def final_wrongs(folder: Path, truth: Truth | None = None) -> list[str]:
    """Say what is wrong after the last run: all of the input must be there, once, everywhere."""
    truth = truth or Truth(folder)
    out = [f"lake: {w}" for w in truth.wrongs(lake_rows(folder), everything=True)]
    out += [f"heads: {w}" for w in truth.wrongs(lake_rows(folder, heads(folder)), everything=True)]
    rows = warehouse_rows(folder)
    out += [f"warehouse: {w}" for w in truth.wrongs(rows, everything=True)]
    return out + fact_wrongs(rows)


def fact_wrongs(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Say whether `fact_events` has one row for each event of `processed_data`."""
    ids = sorted(str(r["event_id"]) for r in rows["fact"])
    same = ids == sorted({str(r["event_id"]) for r in rows["kept"]})
    return [] if same else ["warehouse: fact_events does not have each event once"]


def half_wrongs(folder: Path, truth: Truth | None = None) -> Iterable[str]:
    """Say what a reader sees half done right now, after a kill."""
    truth = truth or Truth(folder)
    if (folder / "out/lake/catalog.db").exists():
        try:
            rows = lake_rows(folder)
        except NoSuchTableError:  # killed while the tables were made
            rows = None
        if rows is not None:
            yield from (f"lake: {w}" for w in truth.wrongs(rows, everything=False))
    if (folder / "out/warehouse.duckdb").exists():
        rows = warehouse_rows(folder)
        if "kept" in rows:
            yield from (f"warehouse: {w}" for w in truth.wrongs(rows, everything=False))
            yield from fact_wrongs(rows)
