"""Windows in event time: which slice a row falls in, and which windows a slice belongs to.

A *slice* is the longest run of event time whose rows share all their windows: the window itself
where windows are fixed, gcd(size, period) of sliding ones, all of time for the global one.
Times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.plan import Window

Micros = NDArray[np.int64]

GLOBAL_START: Final = 0
"""window_start of the global window; it has no first instant that a timestamp could say."""
GLOBAL_END: Final = 253_402_300_799_999_999
"""window_end of the global window: the last microsecond of the year 9999."""


def slice_us(window: Window) -> int:
    """Return the length of a slice, 0 for the global window."""
    if window.type == "sliding":
        return math.gcd(window.size_us, window.period_us)
    return window.size_us if window.type == "fixed" else 0


def slices(times: Micros, window: Window) -> Micros:
    """Return the start of each row's slice."""
    length = slice_us(window)
    if not length:
        return np.full(len(times), GLOBAL_START, np.int64)
    return times - (times - window.offset_us) % length


def windows_of(starts: Micros, window: Window) -> tuple[Micros, Micros]:
    """Return (index into `starts`, window start) for every window that each slice belongs to."""
    if window.type != "sliding":
        return np.arange(len(starts), dtype=np.int64), starts
    last = starts - (starts - window.offset_us) % window.period_us
    steps = np.arange(-(-window.size_us // window.period_us), dtype=np.int64) * window.period_us
    candidates = last[:, None] - steps[None, :]
    row, step = np.nonzero(candidates + window.size_us > starts[:, None])
    return row.astype(np.int64), candidates[row, step]


def ends(starts: Micros, window: Window) -> Micros:
    """Return window_end (not in the window) of these windows."""
    if window.type == "global":
        return np.full(len(starts), GLOBAL_END, np.int64)
    return starts + window.size_us


def touched(times: Micros, window: Window) -> Micros:
    """Return the starts (sorted, distinct) of all windows that hold one of these event times."""
    return np.unique(windows_of(np.unique(slices(times, window)), window)[1])


def spans(starts: Micros, window: Window) -> tuple[Micros, Micros]:
    """Return first and last event time (both included) that can lie in each window."""
    if window.type == "global":
        low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        return np.full(len(starts), low), np.full(len(starts), high)
    return starts, starts + window.size_us - 1
