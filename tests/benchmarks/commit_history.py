"""What one commit costs after 10,000 commits and 10,000 data files, and which files it opens.

The history is made, not lived: data files that no question may open do not exist, so that opening
one of them fails. Run: `python -m tests.benchmarks.commit_history [FOLDER]`.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyiceberg.conversions import to_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema

from schemas.names import TIMESTAMP
from tests.faults.synthetic import BEGIN_US, HOUR_US
from tests.faults.world import World
from transforms.commit.committer import Committer
from transforms.commit.files import write_files
from transforms.commit.iceberg import Files, send
from transforms.commit.journal import BASE, ID, OP, STATE, Entry, entries_table, now
from transforms.commit.landed import Landed
from transforms.commit.table_info import TableInfo
from transforms.commit.tables import LEDGER

COMMITS = 10_000
ROWS = 100
A_WINDOW = 60
"""Commits that share an hour."""

UNFOLDED = 16
"""Commits since the last base row: half of what there is at most."""


def main(root: Path) -> None:
    """Make the history, commit on top of it, and print what it cost."""
    began = time.process_time()
    world = World(root)
    _history(world)
    print(f"made in {time.process_time() - began:.0f} s of CPU")
    # Every history has folds in it; this one's first tells what manifests hold.
    world.committer(fold_at=1).commit([_landed(world, COMMITS)], {})
    first = [_measured(world, world.committer(), COMMITS + k) for k in range(1, 6)]
    one = world.committer()
    later = [_measured(world, one, COMMITS + k) for k in range(6, 46)]
    print("one commit, wall and CPU s")
    for what, some in (("first of a process", first), ("one after the other", later[1:])):
        wall, cpu = zip(*[(c.wall, c.cpu) for c in some], strict=True)
        print(
            f"  {what}: median {statistics.median(wall):.2f} {statistics.median(cpu):.2f}, "
            f"most {max(wall):.2f} {max(cpu):.2f} (manifests merged, history folded)"
        )
    print("opened by the first of a process")
    for what, count in sorted(first[-1].opened.items()):
        print(f"  {count:4d} x {what}")
    sizes = {n: _metadata_kb(world, n) for n in ("commits", "ledger")}
    print(f"  metadata.json, KB: {json.dumps(sizes)}")


class _Cost(NamedTuple):
    wall: float
    cpu: float
    opened: Counter[str]


def _measured(world: World, committer: Committer, k: int) -> _Cost:
    landed = _landed(world, k)
    with _Counting() as seen:
        start, busy = time.perf_counter(), time.process_time()
        committer.commit([landed], {})
        return _Cost(time.perf_counter() - start, time.process_time() - busy, seen.opened)


def _history(world: World) -> None:
    plan, lake = world.plan, world.lake
    touched = COMMITS // A_WINDOW
    _land(world, plan.processed, [_kept(world, k) for k in range(COMMITS)], singles=19)
    ledger = _real(world, plan.operations("ledger"), _ledger())
    clones = [
        _clone(ledger, TableInfo.of(lake.load(plan.operations("ledger"))).schema, k, {})
        for k in range(COMMITS)
    ]
    _land(world, plan.operations("ledger"), clones, singles=19)
    days: dict[int, list[int]] = {}
    for hour in range(touched + 1):
        start = BEGIN_US + hour * HOUR_US
        days.setdefault(start // (24 * HOUR_US), []).append(start)
    for starts in days.values():
        _land(world, "analytics.hourly", [_real(world, "analytics.hourly", _hours(starts))])
    names = (plan.processed, plan.operations("ledger"), "analytics.hourly")
    heads = {n: lake.load(n).current_snapshot() for n in names}
    snapshots = {n: s.snapshot_id for n, s in heads.items()}
    totals = {n: int(s.summary["total-records"]) for n, s in heads.items()}
    _commits(world, snapshots, totals)


def _place(k: int) -> tuple[str, int]:
    return f"s3://bucket/landing/part-{k // 100:05d}.jsonl", k % 100 * ROWS


def _rows(k: int) -> pa.Table:
    source, start = _place(k)
    times = BEGIN_US + k // A_WINDOW * HOUR_US + np.arange(ROWS)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "at": pa.array(times, pa.int64()).cast(TIMESTAMP),
            "amount": np.arange(ROWS),
            "_source": [source] * ROWS,
            "_position": np.arange(start, start + ROWS),
            "_sequence": pa.array(np.zeros(ROWS), pa.int32()),
            "_arrived": pa.array(times, pa.int64()).cast(TIMESTAMP),
        }
    )


_TEMPLATE: dict[str, DataFile] = {}


def _kept(world: World, k: int) -> DataFile:
    name = world.plan.processed
    if k // A_WINDOW >= COMMITS // A_WINDOW:  # The window that the measured commits touch.
        return _real(world, name, _rows(k))
    if name not in _TEMPLATE:
        _TEMPLATE[name] = _real(world, name, _rows(0))
    source, start = _place(k)
    first = BEGIN_US + k // A_WINDOW * HOUR_US
    between = {
        "at": (first, first + ROWS - 1),
        "_arrived": (first, first + ROWS - 1),
        "_source": (source, source),
        "_position": (start, start + ROWS - 1),
    }
    return _clone(
        _TEMPLATE[name], world.lake.load(name).schema() if k == 0 else _SCHEMA, k, between
    )


_SCHEMA: Schema


def _clone(file: DataFile, schema: Schema, k: int, between: dict[str, tuple[Any, Any]]) -> DataFile:
    """A data file that says it is somewhere else and holds other values; it does not exist."""
    global _SCHEMA  # noqa: PLW0603
    _SCHEMA = schema
    same = copy.copy(file)
    same._data = list(file._data)
    same._data[1] = file.file_path.replace(".parquet", f"-{k:06d}.parquet")
    lower, upper = dict(file.lower_bounds), dict(file.upper_bounds)
    for name, (low, high) in between.items():
        field = schema.find_field(name)
        lower[field.field_id] = to_bytes(field.field_type, low)
        upper[field.field_id] = to_bytes(field.field_type, high)
    same._data[10], same._data[11] = lower, upper
    same.spec_id = file.spec_id
    return same


def _real(world: World, name: str, rows: pa.Table) -> DataFile:
    (file,) = write_files(world.lake.table_info(name), rows)
    return file


def _land(world: World, name: str, files: list[DataFile], singles: int = 0, **said: str) -> None:
    """Land files as a long life leaves them: a few merged manifests, and some of one file."""
    many, few = files[: len(files) - singles], files[len(files) - singles :]
    for group in (*(many[i : i + 1000] for i in range(0, len(many), 1000)), *([f] for f in few)):
        send(world.lake.catalog, world.lake.load(name), Files(group, []), dict(said), keep=100)


def _ledger() -> pa.Table:
    row = {"seq": 1, "commit_id": "0" * 32, "run_id": "r", "at": now(), "_source": _place(0)[0]}
    row |= {"ranges": [{"start": 0, "end": ROWS}], "destiny": "kept", "rows": ROWS}
    return pa.Table.from_pylist([row], schema=LEDGER)


def _hours(starts: list[int]) -> pa.Table:
    times = pa.array(starts, pa.int64()).cast(TIMESTAMP)
    ends = pa.array([s + HOUR_US for s in starts], pa.int64()).cast(TIMESTAMP)
    counts = pa.array([A_WINDOW * ROWS] * len(starts), pa.int64())
    return pa.table({"window_start": times, "window_end": ends, "n": counts, "_rows": counts})


def _commits(world: World, snapshots: dict[str, int], totals: dict[str, int]) -> None:
    """A base row, and the rows after it one in a file; archives that nobody may open."""
    name = world.plan.operations("commits")
    cut = COMMITS - UNFOLDED

    def entry(k: int, state: str, **changes: Any) -> Entry:
        source, start = _place(k)
        values = {
            "seq": k + 1,
            "commit_id": f"{k:032x}",
            "run_id": "r",
            "state": state,
            "op": "append",
            "at": now(),
            "done": {source: [(start, start + ROWS)]},
            "parts": {n: [("x" * 120, 0)] for n in snapshots},
            "snapshots": snapshots,
            "totals": totals,
            "windows": {"hourly": np.array([BEGIN_US + k // A_WINDOW * HOUR_US])},
        }
        return Entry(**(values | changes))

    archive = _real(world, name, entries_table([entry(0, "intent"), entry(0, "done")]))
    schema = world.lake.load(name).schema()
    archives = [_clone(archive, schema, k, {"seq": (k + 1, k + 32)}) for k in range(0, cut, 32)]
    done: dict[str, list[tuple[int, int]]] = {}
    for k in range(cut):
        source, start = _place(k)
        done[source] = [(0, start + ROWS)]
    base = entry(cut - 1, "base", commit_id="", done=done, parts={}, windows={})
    said = {BASE: str(cut), STATE: "base", OP: "base", ID: ""}
    _land(world, name, [*archives, _real(world, name, entries_table([base]))], **said)
    said |= {STATE: "done"}
    for k in range(cut, COMMITS):
        for state in ("intent", "done"):
            file = _real(world, name, entries_table([entry(k, state)]))
            _land(world, name, [file], singles=1, **said)


def _landed(world: World, k: int) -> Landed:
    source, start = _place(k)
    files = {world.plan.processed: (_real(world, world.plan.processed, _rows(k)),)}
    return Landed(files=files, done={source: [(start, start + ROWS)]})


class _Counting:
    """Counts the files that are opened, by table and kind."""

    def __enter__(self) -> _Counting:
        self.opened: Counter[str] = Counter()
        self.whole = PyArrowFileIO.new_input
        counting = self

        def new_input(io: PyArrowFileIO, location: str) -> Any:
            file = counting.whole(io, location)
            opening = file.open

            def opened(*args: Any, **kwargs: Any) -> Any:
                counting.opened[_kind(location)] += 1
                return opening(*args, **kwargs)

            file.open = opened
            return file

        PyArrowFileIO.new_input = new_input
        return self

    def __exit__(self, *_: object) -> None:
        PyArrowFileIO.new_input = self.whole


def _kind(location: str) -> str:
    *_, table, folder, name = location.split("/")
    if folder.startswith("window_start_day"):
        table = location.split("/")[-4]
    if name.endswith(".parquet"):
        return f"{location.split('/data/', maxsplit=1)[0].rsplit('/', 1)[1]} data file"
    if name.endswith(".metadata.json"):
        return f"{table} metadata.json"
    if name.startswith("snap-"):
        return f"{table} manifest list"
    return f"{table} intent" if name.startswith("intent-") else f"{table} manifest"


def _metadata_kb(world: World, name: str) -> int:
    location = world.lake.load(world.plan.operations(name)).metadata_location
    return Path(location.removeprefix("file://")).stat().st_size // 1000


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
