"""Which rows of a stream were seen before: ids kept so far, in sorted runs, and what repeats them.

A row is a duplicate iff a kept row has the same `by` values within `horizon` of its event time, as
in `transforms.duplicates`; in a stream the first to arrive is kept. A row that is sent again from
its own position is no copy of itself: it goes on, and the committer drops what is done already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from transforms.duplicates import LAKE, PLACED, duplicates

ID: Final = np.dtype(
    [("low", "<u8"), ("high", "<u8"), ("time", "<i8"), ("place", "<u8"), ("content", "<u4")]
)
"""What is kept of a row: 36 bytes.

Such arrays are taken from with `take`, which copies rows whole: indexing goes field by field and is
ten times as slow.
"""

NEVER: Final = -(1 << 62)
"""An event time before all others, in microseconds."""

_CHUNK: Final = b"chunk"
_SLICES: Final = 4
_MINUTE: Final = 60_000_000
_NO_CHUNK: Final = pa.schema(list(PLACED), metadata={_CHUNK: LAKE.encode()})


@dataclass(frozen=True, kw_only=True)
class Stay:
    """How long kept rows are remembered: for horizon and lateness, and dropped in slices of that.

    Attributes:
        horizon_us: Microseconds of event time within which a second row is a duplicate.
        lateness_us: How long behind the watermark rows are still remembered beyond the horizon.
    """

    horizon_us: int
    lateness_us: int = 0

    @property
    def slice_us(self) -> int:
        """How much is dropped at a time."""
        return max((self.horizon_us + self.lateness_us) // _SLICES, _MINUTE)

    def since_us(self, watermark_us: int) -> int:
        """Return the event time before which nothing is remembered at a watermark.

        Give the newest row's time instead where the watermark is ahead of it: a source that is idle
        moves it to the time of day, and a replay of last year goes on behind that.
        """
        return _floor(watermark_us - self.horizon_us - self.lateness_us, self.slice_us)

    def unsure(self, kept: np.ndarray, since_us: int) -> bool:
        """Whether rows may repeat some that are forgotten.

        Args:
            kept: Ids of rows that repeat none that is remembered.
            since_us: Event time before which nothing is remembered.
        """
        return bool(len(kept)) and int(kept["time"].min()) - self.horizon_us < since_us

    def end_us(self, time_us: int) -> int:
        """Return the watermark at which the slice of an event time is dropped."""
        return _floor(time_us, self.slice_us) + self.slice_us + self.horizon_us + self.lateness_us


class Found(NamedTuple):
    """What became of a batch of ids.

    Attributes:
        rows: Row numbers (the ids' `row`) of duplicates, ascending.
        conflict: Which of them differ from the row that was kept.
        moved: Which of them repeat no kept row of their own event time.
        kept: Ids to remember.
    """

    rows: np.ndarray
    conflict: np.ndarray
    moved: np.ndarray
    kept: np.ndarray


@dataclass
class Seen:
    """Ids of kept rows, in runs sorted by `low`; a new run is merged with shorter ones before it.

    Attributes:
        runs: Arrays of ID; each at least twice as long as the next.
    """

    runs: list[np.ndarray] = field(default_factory=list)
    _lows: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, packed: Iterable[bytes]) -> Seen:
        """Read what `pack` wrote."""
        parts = [np.frombuffer(p, ID) for p in packed]
        seen = cls()
        if parts:
            seen.add(_together(parts))
        return seen

    def add(self, ids: np.ndarray) -> None:
        """Remember ids."""
        if not len(ids):
            return
        run = ids
        while self.runs and len(self.runs[-1]) < 2 * len(run):
            run = _together([self.runs.pop(), run])
            self._lows.pop()
        run = run.take(np.argsort(run["low"], kind="stable"))
        self.runs.append(run)
        self._lows.append(np.ascontiguousarray(run["low"]))

    def matching(self, low: np.ndarray) -> np.ndarray:
        """Return the remembered ids whose `low` is among these (sorted)."""
        out = []
        for run, lows in zip(self.runs, self._lows, strict=True):
            begin = np.searchsorted(lows, low)
            hits = np.flatnonzero(lows[np.minimum(begin, len(lows) - 1)] == low)
            if len(hits):
                first = np.unique(begin[hits])
                end = np.searchsorted(lows, lows[first], side="right")
                counts = end - first
                at = np.repeat(first - np.cumsum(counts) + counts, counts)
                out.append(run.take(at + np.arange(counts.sum())))
        return _together(out)

    def __len__(self) -> int:
        """How many ids are remembered."""
        return sum(map(len, self.runs))

    def since(self, earliest_us: int) -> np.ndarray:
        """Return the ids whose event time is not before this."""
        return _together([_only(run, run["time"] >= earliest_us) for run in self.runs])


def pack(ids: np.ndarray) -> bytes:
    """Return ids as bytes."""
    return ids.tobytes()


def look(ids: pa.RecordBatch, seen: Seen, horizon_us: int) -> Found:
    """Find the duplicates of one batch among themselves and what was seen.

    Args:
        ids: `transforms.duplicates.ids_of`, placed.
        seen: Kept rows.
        horizon_us: How far apart in event time two rows with one id may be, in microseconds.
    """
    own = _packed(ids)
    order = np.argsort(own["low"], kind="stable")
    low = own["low"][order]
    same = np.zeros(len(low), bool)
    same[1:] = low[1:] == low[:-1]
    same[:-1] |= same[1:]
    held = seen.matching(low)
    suspect = np.zeros(len(own), bool)
    suspect[order] = same | np.isin(low, held["low"])
    if not suspect.any():
        return Found(np.empty(0, np.uint32), np.empty(0, bool), np.empty(0, bool), own)
    pick = np.flatnonzero(suspect)
    parts = [ids.take(pa.array(pick))]
    if len(held):
        parts.append(_as_ids(held))
    gone, conflict = np.zeros(len(own), bool), np.zeros(len(own), bool)
    row = ids["row"].to_numpy()
    for found in duplicates(parts, horizon_us):
        at = np.searchsorted(row, found.rows)
        gone[at] = True
        conflict[at] = found.conflict
    some, lost = own.take(pick), gone[pick]
    moved = np.zeros(len(own), bool)
    if lost.any():
        kept = _together([held, _only(some, ~lost)])
        moved[pick[lost]] = ~_met(_only(some, lost), kept, ("low", "high", "time"))
    stay = ~gone
    if len(held):  # `duplicates` does not know the content of what the lake holds, but we do
        known = _met(some, held, ("low", "high"))
        conflict[pick[known]] = ~_met(_only(some, known), held, ("low", "high", "content"))
        stay[pick[_met(some, held, ("low", "high", "place"))]] = False
    return Found(row[gone], conflict[gone], moved[gone], _only(own, stay))


def _floor(time_us: int, step: int) -> int:
    return time_us - time_us % step


def _together(parts: list[np.ndarray]) -> np.ndarray:
    """Join arrays of ID, as bytes: field by field takes four times as long."""
    return np.frombuffer(b"".join(part.tobytes() for part in parts), ID)


def _only(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return rows.take(np.flatnonzero(mask))


def _packed(ids: pa.RecordBatch) -> np.ndarray:
    out = np.empty(ids.num_rows, ID)
    for name in ID.names or ():
        out[name] = ids[name].to_numpy()
    return out


def _as_ids(held: np.ndarray) -> pa.RecordBatch:
    columns = {name: pa.array(held[name], PLACED.field(name).type) for name in ID.names or ()}
    columns["row"] = pa.array(np.zeros(len(held), np.uint32))
    return pa.RecordBatch.from_arrays([columns[n] for n in PLACED.names], schema=_NO_CHUNK)


def _met(own: np.ndarray, held: np.ndarray, by: tuple[str, ...]) -> np.ndarray:
    """Say which rows have the same values as some held row."""
    left, right = (pl.DataFrame({n: rows[n] for n in by}) for rows in (own, held))
    found = left.with_row_index().join(right.unique(), on=by, how="semi")["index"].to_numpy()
    mask = np.zeros(len(own), bool)
    mask[found] = True
    return mask
