"""Windows and aggregates over rows read back from the lake: the seam to `transforms.aggregate`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import TIMESTAMP
from schemas.plan import Aggregate

WINDOW_START: Final = "window_start"


def touched(aggregate: Aggregate, rows: pa.Table) -> np.ndarray:
    """Return the starts (us, sorted, distinct) of all windows that hold a row."""
    times = rows[aggregate.event_time].cast(pa.int64()).to_numpy()
    return np.unique(times - (times - aggregate.window.offset_us) % aggregate.window.size_us)


def spans(aggregate: Aggregate, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last event time (both in it) that can lie in each window."""
    return starts, starts + aggregate.window.size_us - 1


def compute(
    aggregate: Aggregate, rows: Iterable[pa.RecordBatch], starts: np.ndarray | None
) -> pa.Table:
    """Return the aggregate's finished rows for these windows only (None: all)."""
    parts = []
    for batch in rows:
        times = batch[aggregate.event_time].cast(pa.int64()).to_numpy()
        start = times - times % aggregate.window.size_us
        mask = pa.array(np.isin(start, start if starts is None else starts))
        parts.append(pa.table({"window_start": start, "amount": batch["amount"]}).filter(mask))
    table = pa.concat_tables(parts).group_by("window_start")
    done = table.aggregate([([], "count_all"), ("amount", "sum")])
    return pa.table(
        {
            "window_start": done["window_start"].cast(TIMESTAMP),
            "window_end": pc.add(done["window_start"], aggregate.window.size_us).cast(TIMESTAMP),
            "n": done["count_all"],
            "total": done["amount_sum"],
            "_rows": done["count_all"],
        }
    )
