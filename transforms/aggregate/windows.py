"""Which windows an event time falls in, all windows of a column at once.

Time is cut into *slices*: the widest stretches that lie within the same windows. A fixed window is
one slice; a sliding one is made of several and shares them with its neighbours, so that rows are
aggregated once per slice instead of once per window.

All times here are int64 microseconds since 1970, all windows half open: [start, start + size).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.errors import PenstockError
from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Aggregate

Micros = NDArray[np.int64]
Rows: TypeAlias = pa.RecordBatch | pa.Table

GLOBAL_START: Final = 0
GLOBAL_END: Final = 253402300799_999_999
"""A global window has no bounds; its row says 1970-01-01 and 9999-12-31T23:59:59.999999."""

_NEVER: Final = np.iinfo(np.int64).min


class AggregateError(PenstockError):
    """An aggregate cannot be computed over the rows at hand."""


@dataclass(frozen=True)
class Windows:
    """A window function as arithmetic.

    Attributes:
        size: Microseconds; 0 for the one global window.
        period: From one window start to the next (`size` if fixed).
        offset: Of all starts, within a period.
        lateness: Allowed lateness.
    """

    size: int
    period: int
    offset: int
    lateness: int

    @classmethod
    def of(cls, aggregate: Aggregate) -> Windows:
        """Take the windows of an aggregate.

        Raises:
            AggregateError: For sessions, which are no function of an event time alone.
        """
        window = aggregate.window
        if window.type == "global":
            return cls(0, 0, 0, 0)
        if window.type not in ("fixed", "sliding"):
            msg = (
                f"windows of {aggregate.name} must be fixed, sliding or global here; got "
                f"{window.type}, which follow from all rows: see `sessions`"
            )
            raise AggregateError(msg)
        period = window.period_us if window.type == "sliding" else window.size_us
        if not 0 < period <= window.size_us:
            msg = (
                f"windows of {aggregate.name} must have 0 < period <= size; got "
                f"{period} us of {window.size_us} us; rows between windows would be in none"
            )
            raise AggregateError(msg)
        offset = window.offset_us % period
        return cls(window.size_us, period, offset, window.allowed_lateness_us)

    @property
    def everything(self) -> bool:
        """Whether this is the global window."""
        return self.size == 0

    @property
    def slice(self) -> int:
        """Width of a slice."""
        return math.gcd(self.size, self.period)

    def slices(self, times: Micros) -> Micros:
        """Return the start of the slice of each time."""
        if self.everything:
            return np.zeros(len(times), np.int64)
        return times - (times - self.offset) % self.slice

    def last(self, slices: Micros) -> Micros:
        """Return the start of the last window that can hold each slice."""
        if self.everything:
            return np.zeros(len(slices), np.int64)
        return slices - (slices - self.offset) % self.period

    def first(self, slices: Micros) -> Micros:
        """Return the start of the first window that holds each slice."""
        if self.everything:
            return np.zeros(len(slices), np.int64)
        return self._start_above(slices - self.size)

    def first_open(self, watermarks: Micros) -> Micros:
        """Return the start of the first window that a row read at each watermark is not late for.

        A row is late for a window if window end + allowed lateness <= watermark.
        """
        if self.everything:
            return np.zeros(len(watermarks), np.int64)
        return self._start_above(watermarks - self.size - self.lateness)

    def _start_above(self, times: Micros) -> Micros:
        return times - (times - self.offset) % self.period + self.period

    def expand(self, slices: Micros, first: Micros) -> tuple[NDArray[np.int64], Micros]:
        """List the windows of each slice, from the one that starts at `first` on.

        Returns:
            For each (slice, window) pair the slice's number, and the window's start.
        """
        last = self.last(slices)
        if self.everything:
            return np.arange(len(slices)), last
        counts = np.maximum((last - first) // self.period + 1, 0)
        owners = np.repeat(np.arange(len(slices)), counts)
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        return owners, first[owners] + (np.arange(len(owners)) - begins) * self.period

    def ends(self, starts: Micros) -> Micros:
        """Return the end of each window."""
        return np.full(len(starts), GLOBAL_END) if self.everything else starts + self.size


def micros(column: pa.Array | pa.ChunkedArray) -> Micros:
    """Return timestamps (us) without nulls as int64."""
    return column.cast(pa.int64()).to_numpy(zero_copy_only=False)


def timestamps(times: Micros) -> pa.Array:
    """Return int64 microseconds as timestamp[us, UTC]."""
    return pa.array(times, pa.int64()).cast(TIMESTAMP)


def event_times(rows: Rows, aggregate: Aggregate) -> Micros:
    """Return the event time of each row.

    Raises:
        AggregateError: A row has none; decode refuses such rows.
    """
    column = rows.column(aggregate.event_time)
    if column.null_count:
        msg = (
            f"event time {aggregate.event_time} must be there in every row; "
            f"got {column.null_count} rows without; refuse them before aggregates"
        )
        raise AggregateError(msg)
    return micros(column)


def opens(rows: Rows, windows: Windows) -> Micros | None:
    """Return for each row the first window it is not late for; None if no row is late for any."""
    if windows.everything or WATERMARK not in rows.schema.names:
        return None
    column = rows.column(WATERMARK)
    if column.null_count == len(column):
        return None
    marks = micros(pc.fill_null(column, pa.scalar(0, column.type)))
    known = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return np.where(known, windows.first_open(marks), _NEVER)


def late(rows: Rows, aggregate: Aggregate) -> pa.BooleanArray:
    """Say which rows are late for at least one of their windows (their destiny is `late`).

    Of sessions: for the one that the row is by itself (`sessions`).
    """
    if aggregate.sessions:
        return _late_alone(rows, aggregate)
    windows = Windows.of(aggregate)
    first = windows.first(windows.slices(event_times(rows, aggregate)))
    opened = opens(rows, windows)
    return pa.array(np.zeros(len(first), bool) if opened is None else opened > first)


def _late_alone(rows: Rows, aggregate: Aggregate) -> pa.BooleanArray:
    times = event_times(rows, aggregate)
    behind = np.zeros(len(times), bool)
    if WATERMARK in rows.schema.names:
        column = rows.column(WATERMARK)
        known = pc.is_valid(column).to_numpy(zero_copy_only=False)
        window = aggregate.window
        closes = times[known] + window.gap_us + window.allowed_lateness_us
        behind[known] = closes <= micros(column.drop_null())
    return pa.array(behind)


def touched(rows: Rows, aggregate: Aggregate) -> pa.TimestampArray:
    """Return the distinct starts of all windows that rows fall in, late or not, ascending."""
    windows = Windows.of(aggregate)
    slices = np.unique(windows.slices(event_times(rows, aggregate)))
    return timestamps(np.unique(windows.expand(slices, windows.first(slices))[1]))


def spans(window_starts: pa.Array, aggregate: Aggregate) -> tuple[Micros, Micros]:
    """Return the first and the last event time, both within, of each window."""
    windows = Windows.of(aggregate)
    starts = micros(window_starts)
    if windows.everything:
        limits = np.iinfo(np.int64)
        return np.full(len(starts), limits.min), np.full(len(starts), limits.max)
    return starts, starts + windows.size - 1


def bounds(window_starts: pa.Array, aggregate: Aggregate) -> tuple[int, int]:
    """Return the first and the last event time, both within, that any of the windows can hold.

    Microseconds since 1970; the whole range of int64 for a global window. `window_starts` must not
    be empty.
    """
    firsts, lasts = spans(window_starts, aggregate)
    return int(firsts.min()), int(lasts.max())
