"""When a window of a stream gets its rows: the trigger of the pipeline file, window by window.

A window *owes* rows from the commit that lands some of it to the one that writes the aggregate's
rows of it. Which windows owe, the lake remembers (`_commits`); since when and how much, only the
process that landed the rows: a window of which it is not known fires at the next commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from schemas.durations import parse_duration
from schemas.plan import Window

LONG_AGO: Final = int(np.iinfo(np.int64).min) // 2
MANY: Final = int(np.iinfo(np.int64).max) // 2


@dataclass(frozen=True)
class Firing:
    """When a window that owes rows gets them: at the first commit where both hold.

    Attributes:
        delay_us: So long after the commit of the first row that is owed.
        count: So many rows are owed.
    """

    delay_us: int = 0
    count: int = 1

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Firing:
        """Read `early` or `late` of a trigger."""
        if spec["type"] == "after_count":
            return cls(count=spec["count"])
        return cls(delay_us=parse_duration(spec["delay"]))


@dataclass(frozen=True)
class Trigger:
    """What fires before and after the end of a window; its end fires what is owed by then.

    Attributes:
        early: None: nothing fires before the end.
        late: For rows that come after it.
    """

    early: Firing | None
    late: Firing

    @classmethod
    def of(cls, window: Window) -> Trigger:
        """Take that of a window; one without a trigger gets its rows with every commit."""
        if window.trigger is None:
            return cls(Firing(), Firing())
        early, late = window.trigger.get("early"), window.trigger.get("late")
        return cls(
            None if early is None else Firing.of(early),
            Firing() if late is None else Firing.of(late),
        )


def _none() -> np.ndarray:
    return np.array([], np.int64)


@dataclass(frozen=True)
class Owed:
    """Windows whose rows in the table are behind the lake; parallel arrays.

    Attributes:
        starts: Window starts, microseconds, sorted.
        since: When the first row that is owed was committed, microseconds of the clock.
        rows: How many are owed.
        late: Whether all of them came after the window's end.
    """

    starts: np.ndarray = field(default_factory=_none)
    since: np.ndarray = field(default_factory=_none)
    rows: np.ndarray = field(default_factory=_none)
    late: np.ndarray = field(default_factory=lambda: np.array([], bool))

    def told(self, starts: np.ndarray) -> Owed:
        """Return what is known of these windows, which are those that owe by what the lake says."""
        known, at = _found(self.starts, starts)
        return Owed(
            starts,
            np.where(known, _at(self.since, at), LONG_AGO),
            np.where(known, _at(self.rows, at), MANY),
            known & _at(self.late, at),
        )

    def with_rows(
        self, starts: np.ndarray, rows: np.ndarray, ended: np.ndarray, now_us: int
    ) -> Owed:
        """Add rows that a commit lands.

        Args:
            starts: Windows that get some, sorted.
            rows: How many.
            ended: Which of the windows have ended.
            now_us: The clock.
        """
        every = np.union1d(self.starts, starts)
        owed, i = _found(self.starts, every)
        new, k = _found(starts, every)
        return Owed(
            every,
            np.where(owed, _at(self.since, i), now_us),
            np.minimum(np.where(owed, _at(self.rows, i), 0) + np.where(new, _at(rows, k), 0), MANY),
            np.where(owed, _at(self.late, i), _at(ended, k)),
        )

    def only(self, mask: np.ndarray) -> Owed:
        """Return some of them."""
        return Owed(self.starts[mask], self.since[mask], self.rows[mask], self.late[mask])

    def fires(self, trigger: Trigger, ended: np.ndarray, now_us: int) -> np.ndarray:
        """Say which get their rows now.

        Args:
            trigger: Of their aggregate.
            ended: Which of them have ended.
            now_us: The clock.
        """
        return (ended & ~self.late) | (self.due_us(trigger, ended) <= now_us)

    def due_us(self, trigger: Trigger, ended: np.ndarray) -> np.ndarray:
        """Return at what time of the clock each fires if no row comes; MANY: it does not."""
        due = np.full(len(self.starts), MANY)
        for firing, those in ((trigger.early, ~ended), (trigger.late, ended)):
            if firing is not None:
                enough = those & (self.rows >= firing.count)
                due[enough] = self.since[enough] + firing.delay_us
        return due


def _found(held: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which wanted numbers are among the (sorted) held ones, and where."""
    if not len(held):
        return np.zeros(len(wanted), bool), np.zeros(len(wanted), np.int64)
    at = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
    return held[at] == wanted, at


def _at(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return values[at] if len(values) else np.zeros(len(at), values.dtype)
