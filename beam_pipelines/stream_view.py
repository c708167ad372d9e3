"""What a running stream has done so far, from its own newest commits in its lake.

Cheap enough to be asked every second beside the stream: nothing is read while no commit ends, and
of a new one its ledger entries, the statistics of its files, and the newest aggregate windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile

from schemas.names import WATERMARK
from schemas.plan import Aggregate, Plan
from transforms.aggregate.windows import micros
from transforms.commit.bounds import bounds
from transforms.commit.files import read_batches
from transforms.commit.iceberg import stored
from transforms.commit.journal import Entry, after
from transforms.commit.lake import Lake
from transforms.commit.ranges import Ranges, merged
from transforms.commit.table_info import TableInfo

_RATES: Final = 120
_WINDOWS: Final = 3


class Row(NamedTuple):
    """A row of an aggregate.

    Attributes:
        start_us: Start of its window.
        groups: Values of the group columns.
        measures: Values of the measures.
        final: Whether its window is complete.
        changed: Whether the newest commit made it, or gave it other values.
    """

    start_us: int
    groups: tuple[Any, ...]
    measures: tuple[Any, ...]
    final: bool
    changed: bool


@dataclass(frozen=True, kw_only=True)
class View:
    """What has landed since the view was opened.

    Attributes:
        seq: Newest commit.
        commits: How many there were.
        landed_at: When the newest ended, seconds since 1970; None: there was none.
        took: Seconds from its intent to its end.
        rows: Destiny -> rows.
        rates: Rows a second that each of the newest commits brought since the one before it.
        watermark_us: The source's watermark at the newest row, None if it is not known.
        done: Positions done, those before the view was opened included.
        newest: Aggregate -> rows of its newest windows, open ones and final ones.
    """

    seq: int = 0
    commits: int = 0
    landed_at: float | None = None
    took: float = 0.0
    rows: Counter[str] = field(default_factory=Counter)
    rates: tuple[float, ...] = ()
    watermark_us: int | None = None
    done: Ranges = field(default_factory=dict)
    newest: dict[str, tuple[Row, ...]] = field(default_factory=dict)


class Lookout:
    """Follows the commits of one pipeline's lake; not for several threads."""

    def __init__(
        self, lake: Lake, plan: Plan, run_id: str, *, seq: int, done: Ranges, opened: float
    ) -> None:
        """Begin behind commit `seq`.

        Args:
            lake: Prepared for the plan.
            plan: What runs.
            run_id: The stream: a batch or maintenance beside it may commit, too.
            seq: The last commit that does not count.
            done: Positions done by then.
            opened: When the run began, seconds since 1970.
        """
        self._lake, self._plan, self._opened = lake, plan, opened
        self._run_id, self._seen = run_id, seq
        self._ledger = lake.table_info(plan.operations("ledger"))
        self._processed = lake.table_info(plan.processed)
        self._tables = {a.name: lake.table_info(f"analytics.{a.name}") for a in plan.aggregates}
        self._head: int | None = None
        self._view = View(seq=seq, done=done)

    @property
    def view(self) -> View:
        """What was seen when it last looked."""
        return self._view

    def look(self) -> View:
        """Return the view, brought up to the lake's last done commit."""
        commits = self._lake.commits()
        head = commits.current_snapshot()
        if head is None or head.snapshot_id == self._head:
            return self._view
        begun: dict[str, float] = {}
        for entry in after(commits, self._seen):
            if entry.state == "intent":
                begun[entry.commit_id] = entry.at.timestamp()
            elif entry.state == "done":
                if entry.run_id == self._run_id:
                    self._take(entry, begun.get(entry.commit_id))
                before = {} if entry.op == "rebuild" else self._view.done
                self._view = replace(self._view, done=merged(before, entry.done))
                self._seen = entry.seq
        self._head = head.snapshot_id
        return self._view

    def _take(self, entry: Entry, begun: float | None) -> None:
        view, ended = self._view, entry.at.timestamp()
        counts = self._counts(entry)
        since = ended - (view.landed_at or self._opened)
        rate = counts.total() / max(since, 0.001)
        watermark = self._watermark(entry)
        self._view = View(
            seq=entry.seq,
            commits=view.commits + 1,
            landed_at=ended,
            took=ended - begun if begun is not None else 0.0,
            rows=view.rows + counts,
            rates=(*view.rates, rate)[-_RATES:],
            watermark_us=max(
                (w for w in (view.watermark_us, watermark) if w is not None), default=None
            ),
            done=view.done,
            newest=view.newest | self._newest(entry),
        )

    def _counts(self, entry: Entry) -> Counter[str]:
        counts: Counter[str] = Counter()
        files = _files(entry, self._ledger)
        for batch in _read(files, self._ledger, ["destiny", "rows"]):
            for row in batch.to_pylist():
                counts[row["destiny"]] += row["rows"]
        return counts

    def _watermark(self, entry: Entry) -> int | None:
        schema = self._processed.schema
        found = [bounds(file, schema, WATERMARK) for file in _files(entry, self._processed)]
        return max((int(span[1]) for span in found if span is not None), default=None)

    def _newest(self, entry: Entry) -> dict[str, tuple[Row, ...]]:
        out = {}
        for aggregate in self._plan.aggregates:
            starts = entry.windows.get(aggregate.name)
            if starts is None or not len(starts):
                continue
            info = self._tables[aggregate.name]
            files = _files(entry, info)
            wanted = shown_windows(starts, _read(files, info, ["window_start", "_final"]))
            near = [file for file in files if _meets(file, info, wanted)]
            columns = ["window_start", *aggregate.group_names]
            columns += [*(m.name for m in aggregate.measures), "_final"]
            parts = [
                batch.filter(pa.array(np.isin(micros(batch["window_start"]), wanted)))
                for batch in _read(near, info, columns)
            ]
            before = self._view.newest.get(aggregate.name, ())
            out[aggregate.name] = _rows(parts, aggregate, before)
        return out


def _files(entry: Entry, info: TableInfo) -> list[DataFile]:
    """Return the data files that a commit added to a table."""
    return stored(info.file_io(), entry.parts.get(info.name, [])).add


def _read(
    files: Iterable[DataFile], info: TableInfo, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    for file in files:
        yield from read_batches(info, file.file_path, columns)


def _meets(file: DataFile, info: TableInfo, windows: np.ndarray) -> bool:
    span = bounds(file, info.schema, "window_start")
    return span is None or bool(((windows >= span[0]) & (windows <= span[1])).any())


def shown_windows(touched: np.ndarray, rows: Iterable[pa.RecordBatch]) -> np.ndarray:
    """Return the starts of the newest windows that a commit touched: of all, and of final ones.

    Args:
        touched: Starts (us, sorted) of the windows.
        rows: `window_start` and `_final` of all its rows, those of other windows too.
    """
    ended = []
    for batch in rows:
        starts = micros(batch["window_start"])
        final = batch["_final"].to_numpy(zero_copy_only=False)
        ended.append(np.unique(starts[final & np.isin(starts, touched)]))
    final_ones = np.unique(np.concatenate(ended)) if ended else touched[:0]
    return np.union1d(touched[-_WINDOWS:], final_ones[-_WINDOWS:])


def _rows(
    parts: Iterable[pa.RecordBatch], aggregate: Aggregate, before: Sequence[Row]
) -> tuple[Row, ...]:
    """Return rows, newest windows first, groups in their order."""
    known = {(row.start_us, row.groups): row.measures for row in before}
    out = []
    for part in parts:
        starts = micros(part["window_start"]).tolist()
        groups = _tuples(part, aggregate.group_names)
        measures = _tuples(part, [m.name for m in aggregate.measures])
        for start, group, values, final in zip(
            starts, groups, measures, part["_final"].to_pylist(), strict=True
        ):
            changed = known.get((start, group)) != values
            out.append(Row(start, group, values, final, changed))
    return tuple(sorted(out, key=lambda row: (-row.start_us, tuple(map(str, row.groups)))))


def _tuples(part: pa.RecordBatch, names: Sequence[str]) -> list[tuple[Any, ...]]:
    columns = [part[name].to_pylist() for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * part.num_rows
