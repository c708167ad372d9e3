"""How far event time has come in a stream of several partitions; pure, in microseconds UTC.

Rows of one partition come at most `disorder` after a younger one of it. So the watermark is the
minimum over the partitions of (highest event time - disorder). A partition without rows would hold
it for ever; it is let go only when its end was reported, nothing came for `idle` since, and then
only to what a row that is produced now could still have: now - idle - disorder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a stream promises about its event times, in microseconds.

    Attributes:
        disorder_us: How much older than its forerunners in the same partition a row may be.
        idle_us: How long a partition must be quiet before it no longer holds the watermark; None:
            it always does.
        max_future_us: How far an event time may be ahead of the row's arrival; further ahead it
            moves nothing.
    """

    disorder_us: int = 30_000_000
    idle_us: int | None = 10_000_000
    max_future_us: int = 300_000_000


class Progress(NamedTuple):
    """What is known of one partition.

    Attributes:
        high_us: Highest event time read so far; None: no row yet.
        quiet_us: How long nothing has come since its end was reported; None while there is, or may
            be, more to read.
    """

    high_us: int | None
    quiet_us: int | None = None


def watermark(
    before: int | None, partitions: Iterable[Progress], now_us: int, pace: Pace
) -> int | None:
    """Return the watermark, never less than it was; None while nothing is known.

    Args:
        before: What it was.
        partitions: Those that are not read to a given end.
        now_us: Wall clock, not ahead of the real one.
        pace: What the stream promises.

    >>> pace = Pace(disorder_us=10, idle_us=5)
    >>> watermark(None, [Progress(100), Progress(70, quiet_us=4)], 200, pace)
    60
    >>> watermark(60, [Progress(100), Progress(70, quiet_us=5)], 200, pace)
    90
    """
    lowest: int | None = None
    for partition in partitions:
        own = _of(partition, now_us, pace)
        if own is None:
            return before
        lowest = own if lowest is None else min(lowest, own)
    if lowest is None or before is None:
        return before if lowest is None else lowest
    return max(before, lowest)


def _of(partition: Progress, now_us: int, pace: Pace) -> int | None:
    high, quiet = partition
    own = None if high is None else high - pace.disorder_us
    if pace.idle_us is None or quiet is None or quiet < pace.idle_us:
        return own
    idle = now_us - pace.idle_us - pace.disorder_us
    return idle if own is None else max(own, idle)
