"""Volume and velocity of a pipeline as its runs left them in the lake."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator

from beam_pipelines.documents.escaping import code, table
from schemas.plan import Plan
from transforms.commit.bounds import bounds
from transforms.commit.lake import Lake, open_lake

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000


def of_runs(plan: Plan) -> list[str]:
    """Return Markdown on what has landed; nothing if nothing has.

    Reads the ledger, the list of sources, and statistics of data files: no rows.
    """
    if not (plan.out / "lake").is_dir():
        return []
    lake = open_lake(plan)
    if not lake.exists():
        return []
    runs = lake.read(plan.operations("runs"), ("seq", "started", "seconds", "mode")).sort_by("seq")
    return list(_lines(plan, lake, runs.to_pylist())) if runs.num_rows else []


def _lines(plan: Plan, lake: Lake, runs: list[dict]) -> Iterator[str]:
    last = runs[-1]
    yield (
        f"Measured in the lake, last run {_time(last['started'])} ({last['mode']}, "
        f"{last['seconds']:,.1f} s to its first commit); `penstock docs` measures again."
    )
    yield ""
    ledger = lake.read(plan.operations("ledger"), ("destiny", "rows")).to_pydict()
    counts = Counter[str]()
    for destiny, rows in zip(ledger["destiny"], ledger["rows"], strict=True):
        counts[destiny] += rows
    parts = ", ".join(f"{rows:,} {destiny}" for destiny, rows in counts.most_common() if rows)
    yield f"- Records read: {counts.total():,} ({parts})."
    sizes = lake.read(plan.operations("sources"), ("size",))["size"].to_pylist()
    if sizes:
        yield f"- Files read: {len(sizes):,}, {sum(sizes):,} bytes as stored."
    yield from _of_time(plan, lake)
    yield ""
    totals = {n: rows for n, rows in lake.row_counts().items() if n in plan.tables}
    yield from table(
        ("table", "rows", "bytes in the lake"),
        [
            (code(name), f"{rows:,}", f"{sum(f.file_size_in_bytes for f in lake.files(name)):,}")
            for name, rows in totals.items()
        ],
    )


def _of_time(plan: Plan, lake: Lake) -> Iterator[str]:
    """Yield the span of event time that has landed, by the statistics of the data files."""
    schema, column = lake.load(plan.processed).schema(), plan.contract.event_time_column
    files = lake.files(plan.processed)
    spans = [bounds(file, schema, column) for file in files]
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return
    first, last = min(low for low, _ in known), max(high for _, high in known)
    rows = sum(file.record_count for file in files)
    per_day = f": {rows * _DAY_US / (last - first):,.0f} records a day" if last > first else ""
    yield f"- {_when(plan)} from {_at(first)} to {_at(last)}{per_day}."


def _when(plan: Plan) -> str:
    return "Arrived" if plan.contract.event_time is None else "Event time"


def _at(us: int) -> str:
    return _time(_EPOCH + dt.timedelta(microseconds=us))


def _time(when: dt.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
