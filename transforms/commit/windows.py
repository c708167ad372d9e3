"""Windows and aggregates over rows read back from the lake: the seam to `transforms.aggregate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.contract import Column
from schemas.names import TIMESTAMP
from schemas.plan import Aggregate
from transforms.aggregate import windows
from transforms.aggregate.compute import Aggregator
from transforms.decode.json_text import extract

WINDOW_START: Final = "window_start"


def touched(aggregate: Aggregate, rows: pa.Table) -> np.ndarray:
    """Return the starts (us, sorted, distinct) of all windows that hold a row."""
    times = rows[aggregate.event_time].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return windows.touched(times, aggregate.window)


def spans(aggregate: Aggregate, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last event time (both in it) that can lie in each window."""
    return windows.spans(starts, aggregate.window)


def stored_columns(aggregate: Aggregate) -> list[str]:
    """Return the columns of the lake that an aggregate is computed from.

    A path (`properties.amount`) does not land: it is read out of the JSON text again.
    """
    names = [name.partition(".")[0] for name in aggregate.input.names]
    return list(dict.fromkeys([*names, aggregate.event_time]))


def compute(
    aggregate: Aggregate,
    rows: Iterable[pa.RecordBatch],
    starts: np.ndarray | None,
    *,
    epoch: int,
) -> pa.Table:
    """Return the aggregate's finished rows for these windows only (None: all)."""
    return Aggregator(aggregate).compute(_as_input(aggregate, rows), starts, epoch=epoch)


def _as_input(aggregate: Aggregate, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    wanted = [*aggregate.input]
    if aggregate.event_time not in aggregate.input.names:
        wanted.append(pa.field(aggregate.event_time, TIMESTAMP))
    paths = [
        Column(name=f.name.rpartition(".")[2], path=f.name, type=f.type, logical="")
        for f in wanted
        if "." in f.name
    ]
    for batch in rows:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for text in {c.path.partition(".")[0] for c in paths}:
            own = [c for c in paths if c.path.partition(".")[0] == text]
            columns |= extract(columns[text], own)
        arrays = [
            # A file that is older than a column holds null there.
            columns[f.name].cast(f.type) if f.name in columns else pa.nulls(batch.num_rows, f.type)
            for f in wanted
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=[f.name for f in wanted])
