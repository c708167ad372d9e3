"""Which sessions: their groups, starts and ends, without what they measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.plan import Aggregate
from transforms.aggregate import sessions
from transforms.aggregate.groups import group, plain
from transforms.aggregate.windows import Micros, micros
from transforms.commit.windows import WINDOW_END, WINDOW_START

Mask = NDArray[np.bool_]

_MOST: Final = 64


@dataclass(frozen=True)
class Stretches:
    """Stretches of time [first, end), apart from each other and in order, microseconds."""

    firsts: Micros
    ends: Micros

    @classmethod
    def of(cls, firsts: Micros, ends: Micros) -> Stretches:
        """Unite stretches in any order."""
        found = sessions.joined([], firsts, ends)
        reach = np.full(found.count, np.iinfo(np.int64).min)
        np.maximum.at(reach, found.ids, ends)
        return cls(firsts[found.rows], reach)

    @classmethod
    def around(cls, times: Micros) -> Stretches:
        """Return at most `_MOST` stretches that hold times, which are not none, sorted, distinct.

        They are cut where most time lies between.
        """
        cuts = np.sort(np.argsort(np.diff(times), kind="stable")[-(_MOST - 1) :])
        return cls(times[np.append(0, cuts + 1)], times[np.append(cuts, len(times) - 1)] + 1)

    def pairs(self) -> Micros:
        """Return a row [first, last] for each."""
        return np.column_stack([self.firsts, self.ends - 1])

    def meet(self, low: int, high: int) -> bool:
        """Say whether one of them holds a time from `low` to `high`, both included."""
        at = int(np.searchsorted(self.ends, low, side="right"))
        return at < len(self.firsts) and int(self.firsts[at]) <= high


@dataclass(frozen=True)
class SessionKeys:
    """Sessions, by what tells them apart.

    Attributes:
        groups: Group columns, of the aggregate's types.
        starts: Microseconds.
        ends: Last event and gap.
    """

    groups: tuple[pa.Array, ...]
    starts: Micros
    ends: Micros

    @classmethod
    def of_rows(cls, rows: pa.Table, aggregate: Aggregate) -> SessionKeys:
        """Take rows of the aggregate's table."""
        return cls(_groups(rows, aggregate), micros(rows[WINDOW_START]), micros(rows[WINDOW_END]))

    @classmethod
    def of_parts(cls, parts: pa.Table, aggregate: Aggregate) -> SessionKeys:
        """Take merged partial aggregates."""
        return cls(_groups(parts, aggregate), *sessions.bounds(parts, aggregate))

    def __len__(self) -> int:
        """Count them."""
        return len(self.starts)

    def __add__(self, other: SessionKeys) -> SessionKeys:
        """Return these and the others."""
        groups = (pa.concat_arrays(p) for p in zip(self.groups, other.groups, strict=True))
        return SessionKeys(
            tuple(groups),
            np.concatenate([self.starts, other.starts]),
            np.concatenate([self.ends, other.ends]),
        )

    def where(self, mask: Mask) -> SessionKeys:
        """Return those that a mask has."""
        kept = pa.array(mask)
        groups = tuple(column.filter(kept) for column in self.groups)
        return SessionKeys(groups, self.starts[mask], self.ends[mask])

    def meeting(self, other: SessionKeys) -> tuple[Mask, Mask]:
        """Say which of these, and which of the others, make one session with some of both."""
        both = self + other
        found = sessions.joined(both.groups, both.starts, both.ends)
        own, strange = found.ids[: len(self)], found.ids[len(self) :]
        return np.isin(own, strange), np.isin(strange, own)

    def same(self, other: SessionKeys) -> Mask:
        """Say which of these are among the others, by group and start."""
        both = self + other
        ids = group([*both.groups, both.starts], len(both.starts)).ids
        return np.isin(ids[: len(self)], ids[len(self) :])

    def stretches(self, less: int = 0) -> Stretches:
        """Return the time that they cover, each cut short by `less` microseconds at its end."""
        return Stretches.of(self.starts, self.ends - less)


def _groups(rows: pa.Table, aggregate: Aggregate) -> tuple[pa.Array, ...]:
    return tuple(
        plain(rows[name]).cast(aggregate.schema.field(name).type) for name in aggregate.group_names
    )
