"""Time for streams: a wall clock that a jump cannot put ahead, and how long things are quiet."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """What time it is, in microseconds."""

    def wall(self) -> int:
        """Return UTC since the epoch; never ahead of the time that has really passed."""
        ...

    def steady(self) -> int:
        """Return time since any fixed moment."""
        ...


class SystemClock:
    """The machine's clocks. A wall clock that is put forward is not believed, one put back is.

    An idle partition's watermark follows the wall clock, and a watermark that was once ahead makes
    every row late.
    """

    def __init__(self) -> None:
        """Begin with the wall clock as it is now."""
        self._offset = time.time_ns() - time.monotonic_ns()

    def wall(self) -> int:
        """See `Clock`."""
        return min(time.time_ns(), time.monotonic_ns() + self._offset) // 1000

    def steady(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns() // 1000


@dataclass
class Quiet:
    """Since when nothing has come from which partition.

    Attributes:
        began: Steady time when reading began: what happened before is not known.
    """

    began: int
    _since: dict[str, int] = field(default_factory=dict)

    def heard(self, sources: Iterable[str], now: int) -> None:
        """Note that rows of these came now."""
        for source in sources:
            self._since[source] = now

    def lasts(self, source: str, now: int) -> int:
        """Return for how long nothing has come."""
        return now - self._since.get(source, self.began)
