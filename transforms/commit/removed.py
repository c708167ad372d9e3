"""Rows taken out on purpose: where they stood, packed to about two bytes a row.

Each has to be placed until the commit knows which positions are new, however many a filter drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.names import POSITION, SOURCE
from transforms.commit.ranges import Range, covers, inside

_KEYS: Final = (SOURCE, "destiny", "step", "rule")
_WIDTHS: Final = (np.uint8, np.uint16, np.uint32, np.uint64)
_CODEC: Final = "zstd"


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Rows of one source that one rule took out.

    Attributes:
        rows: How many.
        first: Least position of them.
        last: Greatest.
        packed: Steps from each position to the next, compressed.
        width: Bytes of a step.
    """

    source: str
    destiny: str
    step: str
    rule: str
    rows: int
    first: int
    last: int
    packed: bytes = field(repr=False)
    width: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the ledger counts by: source, destiny, step, rule."""
        return self.source, self.destiny, self.step, self.rule

    def among(self, ranges: Sequence[Range]) -> int:
        """Count the rows whose position lies within merged ranges of their source."""
        if covers(ranges, self.first, self.last):
            return self.rows
        return int(inside(self.positions(), ranges).sum())

    def positions(self) -> np.ndarray:
        """Return the positions, sorted; rows of one position each have their own."""
        if not self.rows:  # it says why positions have none
            return np.empty(0, np.int64)
        size = (self.rows - 1) * self.width
        steps = pa.decompress(self.packed, size, codec=_CODEC, asbytes=True) if size else b""
        kind = next(k for k in _WIDTHS if np.dtype(k).itemsize == self.width)
        later = np.cumsum(np.frombuffer(steps, kind), dtype=np.int64)
        return self.first + np.concatenate([np.zeros(1, np.int64), later])


def fold_removed(rows: pa.RecordBatch) -> tuple[Removed, ...]:
    """Fold rows of names.REMOVED into one value for each source, destiny, step and rule."""
    if not rows.num_rows:
        return ()
    plain = pa.table({n: rows[n].cast(pa.string()) for n in _KEYS} | {POSITION: rows[POSITION]})
    by_key = plain.group_by(list(_KEYS), use_threads=False).aggregate([(POSITION, "list")])
    keys = zip(*(by_key[n].to_pylist() for n in _KEYS), strict=True)
    lists = by_key[f"{POSITION}_list"]
    return tuple(_packed(key, lists[i].values.to_numpy()) for i, key in enumerate(keys))


def _packed(key: tuple[str, str, str, str], positions: np.ndarray) -> Removed:
    source, destiny, step, rule = key
    at = np.sort(positions)
    steps = np.diff(at)
    longest = int(steps.max()) if len(steps) else 0
    kind = next(k for k in _WIDTHS if longest <= np.iinfo(k).max)
    packed = pa.compress(steps.astype(kind).tobytes(), codec=_CODEC, asbytes=True)
    return Removed(
        source=source,
        destiny=destiny,
        step=step,
        rule=rule,
        rows=len(at),
        first=int(at[0]),
        last=int(at[-1]),
        packed=packed if len(steps) else b"",
        width=np.dtype(kind).itemsize,
    )
