"""When a stream's timers fire: all keys at the same ticks of the clock, so that one commit has all.

A key that set its own interval would hand in its rows at another moment than the others, and rows
would wait up to two intervals.
"""

from __future__ import annotations

import time

from apache_beam.utils.timestamp import Timestamp


def next_tick(every_us: int, now_us: int | None = None) -> int:
    """Return the next multiple of an interval after now, microseconds since 1970."""
    now = time.time_ns() // 1000 if now_us is None else now_us
    return now - now % every_us + every_us


def moment(us: int) -> Timestamp:
    """Return microseconds since 1970 as Beam's timestamp."""
    return Timestamp(micros=us)
