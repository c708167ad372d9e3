"""Aggregate rows of a stream: partial aggregates kept by the committer, equal to the lake's rows.

The rows of a commit come with their partial aggregates. Those are merged into what is kept of
the windows that are still open, so that a commit costs what it brings, not what its windows hold;
and an aggregate row is, when its window fires (`panes`), what the rows of the lake give. Where the
two could part (a restart, rows that were trimmed, another writer) the lake decides: its rows are
read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile
from typing_extensions import override

from schemas.names import SOURCE, WATERMARK, Destiny
from schemas.plan import Aggregate
from transforms.aggregate.accumulators import ROWS
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
from transforms.continuous.panes import MANY, Owed, Trigger
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
        owed: Windows whose rows are to be written.
    """

    sums: pa.Table | None = None
    slices: np.ndarray = field(default_factory=lambda: _NONE)
    open: np.ndarray = field(default_factory=lambda: _NONE)
    owed: Owed = field(default_factory=Owed)


class Rollup(FromLake):
    """Keeps partial aggregates of open windows, as of one snapshot of `processed_data`.

    `panes` of a commit must be the merged partial aggregates of exactly its new rows. Windows get
    their rows as the aggregate's trigger says, by `closed_us` (event time) and `now_us` (the
    clock). `_final` is set for windows that end, with their lateness, at or before `closed_us`.
    """

    def __init__(self, aggregates: Sequence[Aggregate], open_windows: OpenWindows) -> None:
        """Know nothing yet."""
        self.aggregates = aggregates
        self.closed_us, self.now_us = NEVER, NEVER
        self.any_late = False
        self._windowed = [a for a in aggregates if not a.sessions]
        self._open_windows = open_windows
        self._at: int | None = None
        self._held: dict[str, Held] = {}
        self._made: dict[str, Held] = {}
        self._sessions: dict[str, OpenSessions] = {}

    @override
    def due(self, owed: Mapping[str, np.ndarray]) -> bool:
        """Whether a window must get its rows, or be made final, though no row of it is new."""
        self.tell(owed)
        return any(
            self._sessions_of(a).closing(self.closed_us)
            if a.sessions
            else len(self._due(a, self._of(a).open)) or self._fires(a, self._of(a).owed).any()
            for a in self.aggregates
        )

    def tell(self, owed: Mapping[str, np.ndarray]) -> None:
        """Take from the lake which windows owe rows (aggregate -> starts)."""
        for aggregate in self._windowed:
            self._told(aggregate, owed.get(aggregate.name, _NONE))

    def next_fire_us(self) -> int | None:
        """Return at what time of the clock the next window fires, by what is known."""
        due = [MANY]
        for aggregate in self._windowed:
            owed = self._of(aggregate).owed
            ended = self._ended(aggregate, owed.starts)
            due += owed.due_us(Trigger.of(aggregate.window), ended).tolist()
        return None if min(due) == MANY else min(due)

    def next_close_us(self, after_us: int) -> int | None:
        """Return when (event time) a window ends that owes rows, or the next one is complete.

        Args:
            after_us: What comes until then is left out: the next commit does it.

        Returns:
            None if there is no such window.
        """
        ends: list[int | None] = []
        for aggregate in self.aggregates:
            if aggregate.sessions:
                ends.append(self._sessions_of(aggregate).next_close_us(after_us))
                continue
            windows, held = Windows.of(aggregate), self._of(aggregate)
            for starts, lateness in ((held.owed.starts, 0), (held.open, windows.lateness)):
                times = windows.ends(starts) + lateness
                ends += times[times > after_us][:1].tolist()
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
            self._held = {n: Held(open=h.open, owed=h.owed) for n, h in self._held.items()}
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
        held = self._told(aggregate, kept.owed.get(aggregate.name, _NONE))
        if everything or kept.trimmed:
            made = super().refreshed(
                aggregate, kept, stored, None, epoch=epoch, everything=everything
            )
            if made is None:
                return None
            starts, owed = made.starts, Owed()
            if not everything:
                owed = self._landed(aggregate, held, starts, np.full(len(starts), MANY))
                fires = self._fires(aggregate, owed)
                starts, owed = owed.starts[fires], owed.only(~fires)
            opened = self._still_open(aggregate, held, made.starts)
            self._made[aggregate.name] = Held(open=opened, owed=owed)
            rows = self._with_final(_in_windows(made.rows, starts), aggregate)
            return Refreshed(starts, rows, owed=owed.starts)
        windows = Windows.of(aggregate)
        landed, counts = _counted(pane, windows)
        owed = self._landed(aggregate, held, landed, counts)
        fired = owed.starts[self._fires(aggregate, owed)]
        starts = np.union1d(fired, self._due(aggregate, held.open))
        owed = owed.only(~np.isin(owed.starts, starts))
        near = np.union1d(starts, landed)
        if not len(near):
            return None
        sums, slices = self._known(aggregate, kept, held, _slices(near, windows))
        parts = [part for part in (sums, pane) if part is not None]
        if parts:
            sums = merge(pa.concat_tables(parts, promote_options="permissive"), aggregate)
        opened = self._still_open(aggregate, held, near)
        self._made[aggregate.name] = Held(sums, slices, opened, owed)
        if sums is None or not len(starts):
            return Refreshed(starts, aggregate.schema.empty_table(), owed=owed.starts)
        within = _within(sums, _slices(starts, windows))
        rows = finish(within, aggregate, epoch=epoch, final=True, window_starts=timestamps(starts))
        return Refreshed(starts, self._with_final(rows, aggregate), owed=owed.starts)

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

    def _told(self, aggregate: Aggregate, starts: np.ndarray) -> Held:
        """Return what is kept, with the windows that owe rows by what the lake says."""
        held = self._of(aggregate)
        if not np.array_equal(held.owed.starts, starts):
            held = replace(held, owed=held.owed.told(starts), open=np.union1d(held.open, starts))
            self._held[aggregate.name] = held
        return held

    def _landed(
        self, aggregate: Aggregate, held: Held, starts: np.ndarray, rows: np.ndarray
    ) -> Owed:
        return held.owed.with_rows(starts, rows, self._ended(aggregate, starts), self.now_us)

    def _fires(self, aggregate: Aggregate, owed: Owed) -> np.ndarray:
        """Say which windows get their rows; a closed one must, as nothing comes after that."""
        ended, closed = (f(aggregate, owed.starts) for f in (self._ended, self._closed))
        return closed | owed.fires(Trigger.of(aggregate.window), ended, self.now_us)

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

    def _ended(self, aggregate: Aggregate, starts: np.ndarray) -> np.ndarray:
        return self._behind(Windows.of(aggregate).ends(starts))

    def _closed(self, aggregate: Aggregate, starts: np.ndarray) -> np.ndarray:
        windows = Windows.of(aggregate)
        return self._behind(windows.ends(starts), windows.lateness)

    def _behind(self, ends: np.ndarray, lateness: int = 0) -> np.ndarray:
        if self.closed_us <= 0:
            return np.zeros(len(ends), bool)
        return ends <= self.closed_us - lateness

    def _due(self, aggregate: Aggregate, starts: np.ndarray) -> np.ndarray:
        return starts[self._closed(aggregate, starts)]

    def _still_open(self, aggregate: Aggregate, held: Held, starts: np.ndarray) -> np.ndarray:
        together = np.union1d(held.open, starts)
        return together[~self._closed(aggregate, together)]

    def _with_final(self, rows: pa.Table, aggregate: Aggregate) -> pa.Table:
        at = rows.schema.get_field_index("_final")
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
        return replace(held, sums=_within(held.sums, stay), slices=stay)


def _counted(pane: pa.Table | None, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows that partial aggregates count in, and how many rows each gets."""
    if pane is None or not pane.num_rows:
        return _NONE, _NONE
    owners, starts = windows.expand(micros(pane[SLICE]), micros(pane[FIRST]))
    each, which = np.unique(starts, return_inverse=True)
    rows = np.zeros(len(each), np.int64)
    np.add.at(rows, which, pane[ROWS].to_numpy()[owners])
    return each, rows


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


def _in_windows(rows: pa.Table, starts: np.ndarray) -> pa.Table:
    return rows.filter(pa.array(np.isin(micros(rows["window_start"]), starts)))


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
