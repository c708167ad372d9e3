"""Aggregate rows of a commit: the run's panes where they are the whole truth, else recomputed.

A window is touched if the commit lands a row in it. It takes the run's pane if no earlier data
file's event-time bounds meet it and none of its rows was trimmed; otherwise it is computed from
the lake's earlier files and the new ones. All its rows in the aggregate's table are replaced.
Windows that a stream still owes rows of are touched, too.

A session is touched if a new row is in it. Of sessions those rows are replaced that overlap a new
one, of one group: see `sessions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.names import TIMESTAMP
from schemas.plan import Aggregate
from transforms.commit.bounds import bounds
from transforms.commit.files import read_batches, read_file, write_files
from transforms.commit.iceberg import Files
from transforms.commit.session_keys import SessionKeys, Stretches
from transforms.commit.sessions import Earlier, Stored, finished, together
from transforms.commit.table_info import TableInfo
from transforms.commit.times import FOREVER, FileTimes, Timed, timed
from transforms.commit.windows import (
    WINDOW_START,
    accumulate,
    compute,
    spans,
    stored_columns,
    touched,
)

_FILE_ROWS: Final = 1 << 17
_NONE: Final = np.array([], np.int64)


@dataclass(frozen=True)
class Kept:
    """Data files of `processed_data` that a commit's aggregates may be computed from.

    Attributes:
        table: As loaded.
        info: Its facts.
        at: Snapshot of the last done commit, None if it has none.
        new: Files that this commit adds.
        times: What is known of the event times of its files.
        trimmed: Landed files of which rows were dropped: panes count those rows too.
        owed: Aggregate -> starts of windows whose rows lag behind the lake.
    """

    table: Table
    info: TableInfo
    at: int | None
    times: FileTimes
    new: Sequence[DataFile]
    trimmed: Sequence[DataFile] = ()
    owed: Mapping[str, np.ndarray] = field(default_factory=dict)

    def earlier(self, column: str, first: int, last: int) -> list[Timed]:
        """Return earlier files whose event times may lie in [first, last], microseconds."""
        return self.times.near(self.table, self.at, column, first, last)

    def landed(self, files: Sequence[DataFile], column: str) -> list[Timed]:
        """Return landed files with their event times."""
        return [timed(file, self.info.schema, column) for file in files]


@dataclass(frozen=True)
class Refreshed:
    """All rows of an aggregate in the windows that a commit touches.

    Attributes:
        starts: Window starts, microseconds, sorted.
        rows: Every row in them; a window without rows has none.
        gone: Of sessions: the stored ones that `rows` replace. Other stored sessions stay, those
            that begin with one of `rows` too.
        owed: Starts of windows with new rows, whose aggregate rows come later.
    """

    starts: np.ndarray
    rows: pa.Table
    gone: SessionKeys | None = None
    owed: np.ndarray = field(default_factory=lambda: np.array([], np.int64))

    def rest(self, stored: pa.Table, aggregate: Aggregate) -> pa.Table:
        """Return those of an aggregate's stored rows that stay."""
        if self.gone is None:
            return _in_windows(stored, self.starts, inside=False)
        gone = SessionKeys.of_rows(stored, aggregate).same(self.gone)
        return stored.filter(pa.array(~gone))


def refreshed(
    aggregate: Aggregate,
    kept: Kept,
    pane: pa.Table | None,
    *,
    epoch: int,
    everything: bool = False,
) -> Refreshed | None:
    """Return the touched windows and their rows, None if no window is touched.

    Args:
        aggregate: What to compute.
        kept: From which rows.
        pane: The run's finished rows over all rows it read, or None.
        epoch: `_epoch` of recomputed rows.
        everything: Compute every window that holds a row, earlier or new.
    """
    column = aggregate.event_time
    if everything:
        files = [*kept.earlier(column, *FOREVER), *kept.landed(kept.new, column)]
        rows = _computed(aggregate, kept.info, files, None, epoch)
        return Refreshed(np.union1d(_starts(rows), kept.owed.get(aggregate.name, _NONE)), rows)
    owed = kept.owed.get(aggregate.name, _NONE)
    if not kept.new:
        if not len(owed):
            return None
        pane = None
    whole = pane is not None and not kept.trimmed
    starts = np.union1d(_starts(pane) if whole else _touched(aggregate, kept), owed)
    firsts, lasts = spans(aggregate, starts)
    earlier = kept.earlier(column, int(firsts.min()), int(lasts.max()))
    stale = _met([*earlier, *kept.landed(kept.trimmed, column)], firsts, lasts)
    parts = []
    if pane is None:
        stale[:] = True
    else:
        stale |= ~np.isin(starts, _starts(pane))
        parts.append(_in_windows(pane, starts[~stale]))
    if stale.any():
        near = [
            file
            for file in [*earlier, *kept.landed(kept.new, column)]
            if _met([file], firsts[stale], lasts[stale]).any()
        ]
        parts.append(_computed(aggregate, kept.info, near, starts[stale], epoch))
    return Refreshed(starts, pa.concat_tables(parts, promote_options="permissive"))


def refreshed_sessions(
    aggregate: Aggregate, kept: Kept, stored: Stored, pane: pa.Table | None, *, epoch: int
) -> Refreshed | None:
    """Return the touched sessions and those that they replace, None if no session is touched.

    Args:
        aggregate: What to compute.
        kept: From which rows.
        stored: The sessions of all earlier rows; not looked at where there are no such rows.
        pane: The run's sessions over all rows it read, or None.
        epoch: `_epoch` of recomputed rows.
    """
    landed = kept.landed(kept.new, aggregate.event_time)
    fresh = None
    if pane is None or kept.trimmed:
        pane = None
        fresh = accumulate(aggregate, _rows(aggregate, kept.info, landed))
        new = None if fresh is None else SessionKeys.of_parts(fresh, aggregate)
    else:
        new = SessionKeys.of_rows(pane, aggregate) if kept.new and pane.num_rows else None
    if new is None:
        return None
    files = [] if kept.at is None else stored.near(new.stretches())
    old = stored.keys(files, aggregate)
    met, bridged = old.meeting(new)
    gone, earlier = old.where(met), None
    if len(gone):
        both = gone + new.where(bridged)
        near = kept.earlier(aggregate.event_time, int(both.starts.min()), int(both.ends.max()))
        near += [] if pane is None else landed
        earlier = Earlier(aggregate, kept.info, near).parts(both)
    rows = finished(together([fresh, earlier], aggregate), aggregate, epoch)
    if pane is not None:
        parts = [rows, pane.filter(pa.array(~bridged))]
        rows = pa.concat_tables(parts, promote_options="permissive")
    return Refreshed(np.union1d(_starts(rows), gone.starts), rows, gone)


def replaced(
    stored: Stored, aggregate: Aggregate, made: Refreshed | None, *, whole: bool
) -> tuple[Files, np.ndarray]:
    """Write the rows of touched windows in place of what the table holds of them.

    Args:
        stored: The aggregate's table as of the last done commit.
        aggregate: Whose it is.
        made: Touched windows and their rows.
        whole: Whether nothing that the table holds stays.

    Returns:
        Files to put in and take out, and the starts of all windows that change; of sessions
        stretches of them, see `replaced_sessions`.
    """
    if aggregate.sessions and made is not None and not whole and len(made.starts):
        return replaced_sessions(stored, aggregate, made)
    info, old = stored.info, stored.files
    rows = [] if made is None else [made.rows]
    starts = np.array([], np.int64) if made is None else made.starts
    if whole:
        held = [_starts(read_file(info, f, [WINDOW_START])) for f in old]
        starts = np.unique(np.concatenate([starts, *held]))
        if aggregate.sessions and len(starts):
            starts = Stretches.around(starts).pairs()
    else:
        old = [f for f in old if _holds(bounds(f, info.schema, WINDOW_START), starts)]
        if made is not None and old:
            rows.append(made.rest(stored.rows(old, aggregate), aggregate))
    if not rows:
        return Files([], old), starts
    together = pa.concat_tables(rows, promote_options="permissive").sort_by(WINDOW_START)
    return Files(write_files(info, together), old), starts


def replaced_sessions(
    stored: Stored, aggregate: Aggregate, made: Refreshed
) -> tuple[Files, np.ndarray]:
    """Write touched sessions in place of those that they replace, apart from others.

    The others go by time into files of at most `_FILE_ROWS`: sessions that are touched may lie far
    apart, and only what lies around them is written again.

    Returns:
        Files to put in and take out, and stretches [first, last] of window starts, of which all
        rows are in the files put in.
    """
    stretches = Stretches.around(made.starts)
    old = [f for f in stored.files if stretches.meet(*stored.bounds(f, WINDOW_START))]
    rest = made.rest(stored.rows(old, aggregate), aggregate).sort_by(WINDOW_START)
    add = write_files(stored.info, made.rows)
    for at in range(0, rest.num_rows, _FILE_ROWS):
        add += write_files(stored.info, rest.slice(at, _FILE_ROWS))
    return Files(add, old), stretches.pairs()


def _computed(
    aggregate: Aggregate,
    info: TableInfo,
    files: Sequence[Timed],
    starts: np.ndarray | None,
    epoch: int,
) -> pa.Table:
    return compute(aggregate, _rows(aggregate, info, files), starts, epoch=epoch)


def _touched(aggregate: Aggregate, kept: Kept) -> np.ndarray:
    column = [aggregate.event_time]
    parts = [touched(aggregate, read_file(kept.info, file, column)) for file in kept.new]
    return np.unique(np.concatenate(parts)) if parts else np.array([], np.int64)


def _rows(
    aggregate: Aggregate, info: TableInfo, files: Iterable[Timed]
) -> Iterator[pa.RecordBatch]:
    for file in files:
        yield from read_batches(info, file.path, stored_columns(aggregate))


def _met(files: Iterable[Timed], firsts: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """Return which windows the event times of some file meet."""
    # Windows of one size sort alike by both ends, so those that a file meets lie side by side.
    steps = np.zeros(len(firsts) + 1, np.int64)
    for _, low, high in files:
        begin = np.searchsorted(lasts, low)
        end = np.searchsorted(firsts, high, side="right")
        if begin < end:
            steps[begin] += 1
            steps[end] -= 1
    return np.cumsum(steps[:-1]) > 0


def _holds(found: tuple[int, int] | None, starts: np.ndarray) -> bool:
    if found is None:
        return True
    at = int(np.searchsorted(starts, found[0]))
    return at < len(starts) and int(starts[at]) <= found[1]


def _in_windows(rows: pa.Table, starts: np.ndarray, *, inside: bool = True) -> pa.Table:
    there = pc.is_in(rows[WINDOW_START].cast(TIMESTAMP), value_set=_times(starts))
    return rows.filter(there if inside else pc.invert(there))


def _starts(rows: pa.Table) -> np.ndarray:
    return np.unique(rows[WINDOW_START].cast(pa.int64()).to_numpy())


def _times(starts: np.ndarray) -> pa.Array:
    return pa.array(starts, pa.int64()).cast(TIMESTAMP)


class FromLake:
    """How a commit makes aggregate rows and counts what it keeps; streams have a way of their own.

    The functions of this module as one value.
    """

    def due(self, owed: Mapping[str, np.ndarray]) -> bool:
        """Whether there are windows to write even if no row is new."""
        return bool(owed)

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
        """Return the touched windows and their rows; see the functions."""
        if aggregate.sessions and not everything:
            return refreshed_sessions(aggregate, kept, stored, pane, epoch=epoch)
        return refreshed(aggregate, kept, pane, epoch=epoch, everything=everything)

    def replaced(
        self, stored: Stored, aggregate: Aggregate, made: Refreshed | None, *, whole: bool
    ) -> tuple[Files, np.ndarray]:
        """Write them in place of what the table holds; see the function."""
        return replaced(stored, aggregate, made, whole=whole)

    def counted(self, info: TableInfo, files: Sequence[DataFile], kept: pa.Table) -> pa.Table:
        """Return the ledger's counts of kept rows, some of which may be late."""
        del info, files
        return kept
