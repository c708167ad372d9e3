"""Good, broken, repeated and late records in the order in which they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from transforms.synthetic.faults import Breaker, Fault, pick

GOOD, BROKEN, DUPLICATE, LATE = "good", "broken", "duplicate", "late"
WHAT: Final = (GOOD, BROKEN, DUPLICATE, LATE)
_SOON_US: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How much of what; shares are of the distinct rows.

    Attributes:
        broken: Rows with a fault in place of good ones.
        duplicates: Rows that are sent a second time, byte for byte.
        late: Good rows that arrive `late_by_us` after their event.
        disorder_us: The others arrive up to so much after their event.
    """

    broken: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    disorder_us: int = 0
    late_by_us: int = 0


ARRIVALS: Final = ("arrival", "what", "kind", "column")
"""Columns that `arrivals` adds: microseconds, a number of WHAT, and what of the contract breaks."""

Stamped = tuple[pa.Table, np.ndarray]
"""Records as they are written, and the event time of each in microseconds, ascending."""


def arrivals(
    chunks: Iterable[Stamped],
    shares: Shares,
    seed: int,
    faults: list[Fault],
    broken: Breaker | None,
) -> Iterator[pa.Table]:
    """Put records in the order in which they arrive.

    Args:
        chunks: Text formats have one column, `line`.
        shares: How much of what.
        seed: The same seed gives the same order.
        faults: What may be wrong.
        broken: Breaks a line; None: nothing is broken.

    Yields:
        The same columns, and ARRIVALS.
    """
    waiting: pa.Table | None = None
    for number, (records, times) in enumerate(chunks):
        rng = np.random.Generator(np.random.PCG64([seed, number, 1]))
        came = _arriving(records, times, shares, rng, faults, broken)
        came = came if waiting is None else pa.concat_tables([waiting, came])
        came = came.sort_by("arrival")
        # Whatever comes later happened, and so arrives, after the last event of this chunk.
        ready = int(np.searchsorted(came["arrival"].to_numpy(), times[-1], "right"))
        yield came.slice(0, ready)
        waiting = came.slice(ready)
    if waiting is not None:
        yield waiting


def _arriving(
    records: pa.Table,
    times: np.ndarray,
    shares: Shares,
    rng: np.random.Generator,
    faults: list[Fault],
    broken: Breaker | None,
) -> pa.Table:
    count = len(times)
    chance = rng.random(count)
    what = np.zeros(count, np.int8)
    what[chance < shares.broken + shares.late] = WHAT.index(LATE)
    what[chance < shares.broken] = WHAT.index(BROKEN)
    arrival = times + rng.integers(0, shares.disorder_us + 1, count)
    late = what == WHAT.index(LATE)
    arrival[late] = times[late] + shares.late_by_us + rng.integers(0, _SOON_US, int(late.sum()))
    again = np.flatnonzero((what == 0) & (rng.random(count) < shares.duplicates))
    later = arrival[again] + rng.integers(1, max(shares.disorder_us, _SOON_US), len(again))
    bad = np.flatnonzero(what == WHAT.index(BROKEN))
    order = np.concatenate([np.arange(count), again])
    kinds = np.full(len(order), None, object)
    columns = np.full(len(order), None, object)
    if len(bad) and broken is not None:
        chosen = pick(faults, len(bad), rng)
        lines = records["line"].take(pa.array(bad)).to_pylist()
        made = [broken(line, fault) for line, fault in zip(lines, chosen, strict=True)]
        order[bad] = count + np.arange(len(bad))
        records = pa.concat_tables([records, pa.table({"line": pa.array(made, pa.large_binary())})])
        kinds[bad] = [fault.kind for fault in chosen]
        columns[bad] = [fault.column for fault in chosen]
    return (
        records.take(pa.array(order))
        .append_column("arrival", pa.array(np.concatenate([arrival, later])))
        .append_column(
            "what",
            pa.array(np.concatenate([what, np.full(len(again), WHAT.index(DUPLICATE), np.int8)])),
        )
        .append_column("kind", pa.array(kinds, pa.string()))
        .append_column("column", pa.array(columns, pa.string()))
    )
