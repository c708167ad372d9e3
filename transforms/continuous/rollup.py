"""Aggregate rows of a stream: partial aggregates kept by the committer, equal to the lake's rows.

The rows of a commit come with their partial aggregates. Those are merged into what is kept of
the windows that are still open, so that a commit costs what it brings, not what its windows hold;
and an aggregate row is at every commit what the rows of the lake give. Where the two could part (a
restart, rows that were trimmed, another writer) the lake decides: its rows are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile
from typing_extensions import override

from schemas.names import SOURCE, WATERMARK, Destiny
from schemas.plan import Aggregate
from transforms.aggregate.partials import FIRST, SLICE, finish, merge
from transforms.aggregate.windows import Windows, micros, timestamps
from transforms.commit.bounds import bounds
from transforms.commit.files import read_batches, read_file, write_files
from transforms.commit.iceberg import Files
from transforms.commit.refresh import FromLake, Kept, Refreshed
from transforms.commit.sessions import Stored
from transforms.commit.table_info import TableInfo
from transforms.commit.windows import accumulate, stored_columns
from transforms.continuous.land import late_rows
from transforms.continuous.sessions import OpenSessions

NEVER: Final = int(np.iinfo(np.int64).min)
ALWAYS: Final = int(np.iinfo(np.int64).max)
_KEPT_ROWS: Final = 4 << 20
_NONE: Final = np.array([], np.int64)

OpenWindows = Callable[[Aggregate], np.ndarray]
"""Aggregate -> starts (us, sorted) of the windows whose rows in the lake are not `_final`; ends of
sessions."""


@dataclass(frozen=True)
class Held:
    """What is kept of one aggregate.

    Attributes:
        sums: Merged partial aggregates, None if there are none.
        slices: Slices of time (sorted starts) of which `sums` holds all rows of the lake.
        open: Starts of windows that are not final.
    """

    sums: pa.Table | None = None
    slices: np.ndarray = field(default_factory=lambda: _NONE)
    open: np.ndarray = field(default_factory=lambda: _NONE)


class Rollup(FromLake):
    """Keeps partial aggregates of open windows, as of one snapshot of `processed_data`.

    `panes` of a commit must be the merged partial aggregates of exactly its new rows. `_final` is
    set for windows that end, with their lateness, at or before `closed_us`.
    """

    def __init__(self, aggregates: Sequence[Aggregate], open_windows: OpenWindows) -> None:
        """Know nothing yet."""
        self.aggregates = aggregates
        self.closed_us = NEVER
        self.any_late = False
        self._open_windows = open_windows
        self._at: int | None = None
        self._held: dict[str, Held] = {}
        self._made: dict[str, Held] = {}
        self._sessions: dict[str, OpenSessions] = {}

    def due(self) -> bool:
        """Whether a window that is open by what is known must be made final."""
        return any(
            self._sessions_of(a).closing(self.closed_us)
            if a.sessions
            else len(self._due(a, self._of(a).open))
            for a in self.aggregates
        )

    def next_close_us(self, after_us: int) -> int | None:
        """Return when (event time) the next open window is complete, None if there is none.

        Args:
            after_us: Windows that are complete by then are left out: the next commit finishes them.
        """
        ends = []
        for aggregate in self.aggregates:
            if aggregate.sessions:
                ends.append(self._sessions_of(aggregate).next_close_us(after_us))
                continue
            windows, starts = Windows.of(aggregate), self._of(aggregate).open
            complete = windows.ends(starts) + windows.lateness if len(starts) else starts
            ends += complete[complete > after_us][:1].tolist()
        return min((end for end in ends if end is not None), default=None)

    def accept(self, snapshot: int | None) -> None:
        """Take what the last draft made: it landed, as this snapshot of `processed_data`."""
        self._held |= self._made
        self._made = {}
        self._at = snapshot
        for aggregate in self.aggregates:
            if aggregate.name in self._sessions:
                self._sessions[aggregate.name].accept(self.closed_us)
            elif aggregate.name in self._held:
                self._held[aggregate.name] = self._pruned(aggregate, self._held[aggregate.name])

    @override
    def refreshed(
        self,
        aggregate: Aggregate,
        kept: Kept,
        stored: Stored,
        pane: pa.Table | None,
        *,
        epoch: int,
        everything: bool = False,
    ) -> Refreshed | None:
        if kept.at != self._at:
            self._held = {n: Held(open=h.open) for n, h in self._held.items()}
            self._sessions = {}
            self._at = kept.at
        if aggregate.sessions:
            own = self._sessions_of(aggregate)
            if not everything and not kept.trimmed:
                return own.refreshed(kept, stored, pane, self.closed_us, epoch=epoch)
            del self._sessions[aggregate.name]  # what is open is read from the lake again
            made = super().refreshed(
                aggregate, kept, stored, None, epoch=epoch, everything=everything
            )
            if made is None:
                return None
            return replace(made, rows=own.with_final(made.rows, self.closed_us))
        self._made.pop(aggregate.name, None)
        held = self._of(aggregate)
        if everything or kept.trimmed:
            made = super().refreshed(
                aggregate, kept, stored, None, epoch=epoch, everything=everything
            )
            if made is None:
                return None
            rows = self._with_final(made.rows, aggregate)
            self._made[aggregate.name] = Held(open=self._still_open(aggregate, held, made.starts))
            return Refreshed(made.starts, rows)
        windows = Windows.of(aggregate)
        starts = np.union1d(_starts(pane, windows), self._due(aggregate, held.open))
        if not len(starts):
            return None
        sums, slices = self._known(aggregate, kept, held, _slices(starts, windows))
        parts = [part for part in (sums, pane) if part is not None]
        if parts:
            sums = merge(pa.concat_tables(parts, promote_options="permissive"), aggregate)
        opened = self._still_open(aggregate, held, starts)
        self._made[aggregate.name] = Held(sums, slices, opened)
        if sums is None:
            return None
        near = _within(sums, _slices(starts, windows))
        rows = finish(near, aggregate, epoch=epoch, final=True, window_starts=timestamps(starts))
        return Refreshed(starts, self._with_final(rows, aggregate))

    @override
    def replaced(
        self, stored: Stored, aggregate: Aggregate, made: Refreshed | None, *, whole: bool
    ) -> tuple[Files, np.ndarray]:
        """Write touched windows apart from others, so that those are written again once."""
        if whole or made is None or aggregate.sessions:
            return super().replaced(stored, aggregate, made, whole=whole)
        info, starts = stored.info, made.starts
        old = [f for f in stored.files if _meets(info, f, starts)]
        add = write_files(info, made.rows)
        rest = made.rest(stored.rows(old, aggregate), aggregate)
        add += write_files(info, rest.sort_by("window_start"))
        return Files(add, old), starts

    @override
    def counted(self, info: TableInfo, files: Sequence[DataFile], kept: pa.Table) -> pa.Table:
        """Give late rows their destiny; files are opened only when a shipment has late rows."""
        if not self.any_late:
            return kept
        wanted = [SOURCE, WATERMARK, *dict.fromkeys(a.event_time for a in self.aggregates)]
        parts = []
        for file in files:
            rows = read_file(info, file, wanted)
            mask = late_rows(rows, self.aggregates)
            parts.append(rows[SOURCE].cast(pa.string()).filter(pa.array(mask)))
        return _split(kept, pa.chunked_array(parts, pa.string()))

    def _of(self, aggregate: Aggregate) -> Held:
        if aggregate.name not in self._held:
            self._held[aggregate.name] = Held(open=self._open_windows(aggregate))
        return self._held[aggregate.name]

    def _sessions_of(self, aggregate: Aggregate) -> OpenSessions:
        if aggregate.name not in self._sessions:
            ends = self._open_windows(aggregate)
            self._sessions[aggregate.name] = OpenSessions(aggregate, ends, most_rows=_KEPT_ROWS)
        return self._sessions[aggregate.name]

    def _known(
        self, aggregate: Aggregate, kept: Kept, held: Held, wanted: np.ndarray
    ) -> tuple[pa.Table | None, np.ndarray]:
        """Return partial aggregates that hold all rows of these slices that the lake had before."""
        lack = np.setdiff1d(wanted, held.slices)
        if not len(lack):
            return held.sums, held.slices
        width = max(Windows.of(aggregate).slice, 1)
        everything = Windows.of(aggregate).everything
        low, high = (NEVER, ALWAYS) if everything else (int(lack[0]), int(lack[-1]) + width - 1)
        near = [
            file
            for file in kept.earlier(aggregate.event_time, low, high)
            if everything or _some(lack, file.low - width + 1, file.high)
        ]
        columns = stored_columns(aggregate)
        batches = (b for f in near for b in read_batches(kept.info, f.path, columns))
        read = accumulate(aggregate, batches)
        parts = [held.sums] if held.sums is not None else []
        if read is not None:
            parts.append(_within(read, lack))
        slices = np.union1d(held.slices, lack)
        if not parts:
            return None, slices
        return pa.concat_tables(parts, promote_options="permissive"), slices

    def _closed(self, aggregate: Aggregate, starts: np.ndarray) -> np.ndarray:
        windows = Windows.of(aggregate)
        return windows.ends(starts) <= self.closed_us - windows.lateness

    def _due(self, aggregate: Aggregate, starts: np.ndarray) -> np.ndarray:
        return starts[self._closed(aggregate, starts)] if self.closed_us > 0 else _NONE

    def _still_open(self, aggregate: Aggregate, held: Held, starts: np.ndarray) -> np.ndarray:
        together = np.union1d(held.open, starts)
        return together[~self._closed(aggregate, together)] if self.closed_us > 0 else together

    def _with_final(self, rows: pa.Table, aggregate: Aggregate) -> pa.Table:
        at = rows.schema.get_field_index("_final")
        if self.closed_us <= 0:
            final = np.zeros(rows.num_rows, bool)
        else:
            final = self._closed(aggregate, micros(rows["window_start"]))
        return rows.set_column(at, rows.schema.field(at), pa.array(final))

    def _pruned(self, aggregate: Aggregate, held: Held) -> Held:
        """Forget slices that no row can count in any more, and the oldest of too many."""
        windows = Windows.of(aggregate)
        if held.sums is None or windows.everything:
            return held
        stay = held.slices
        if self.closed_us > 0:
            stay = stay[windows.last(stay) + windows.size + windows.lateness > self.closed_us]
        if held.sums.num_rows > _KEPT_ROWS:
            stay = stay[len(stay) // 2 :]
        if len(stay) == len(held.slices):
            return held
        return Held(_within(held.sums, stay), stay, held.open)


def _starts(pane: pa.Table | None, windows: Windows) -> np.ndarray:
    """Return the windows that partial aggregates count in."""
    if pane is None or not pane.num_rows:
        return _NONE
    return np.unique(windows.expand(micros(pane[SLICE]), micros(pane[FIRST]))[1])


def _slices(starts: np.ndarray, windows: Windows) -> np.ndarray:
    if windows.everything:
        return starts
    steps = np.arange(windows.size // windows.slice, dtype=np.int64) * windows.slice
    return np.unique(starts[:, None] + steps)


def _within(sums: pa.Table, slices: np.ndarray) -> pa.Table:
    mask = np.isin(micros(sums[SLICE]), slices)
    return sums if mask.all() else sums.filter(pa.array(mask))


def _some(slices: np.ndarray, low: int, high: int) -> bool:
    at = int(np.searchsorted(slices, low))
    return at < len(slices) and int(slices[at]) <= high


def _meets(info: TableInfo, file: DataFile, starts: np.ndarray) -> bool:
    found = bounds(file, info.schema, "window_start")
    return found is None or _some(starts, found[0], found[1])


def _split(kept: pa.Table, late_sources: pa.ChunkedArray) -> pa.Table:
    """Take late rows, given by their source, out of the counts of kept ones."""
    late = {e["values"]: e["counts"] for e in late_sources.value_counts().to_pylist()}
    rows = []
    for row in kept.to_pylist():
        behind = late.get(row[SOURCE], 0)
        rows.append({**row, "rows": row["rows"] - behind})
        if behind:
            rows.append({**row, "destiny": Destiny.LATE.value, "rows": behind})
    return pa.Table.from_pylist([r for r in rows if r["rows"]], schema=kept.schema)
