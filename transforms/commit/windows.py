"""Windows and aggregates over rows read back from the lake: the seam to `transforms.aggregate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.contract import Column
from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Aggregate
from transforms.aggregate import partials, windows
from transforms.aggregate.windows import micros, timestamps
from transforms.decode.json_text import extract

WINDOW_START: Final = "window_start"
WINDOW_END: Final = "window_end"


def touched(aggregate: Aggregate, rows: pa.Table) -> np.ndarray:
    """Return the starts (us, sorted, distinct) of all windows that hold a row."""
    return micros(windows.touched(rows, aggregate))


def spans(aggregate: Aggregate, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last event time (both in it) that can lie in each window."""
    return windows.spans(timestamps(starts), aggregate)


def stored_columns(aggregate: Aggregate) -> list[str]:
    """Return the columns of the lake that an aggregate is computed from.

    A path (`properties.amount`) does not land: it is read out of the JSON text again.
    """
    names = [name.partition(".")[0] for name in partials.input_columns(aggregate)]
    return list(dict.fromkeys(names))


def compute(
    aggregate: Aggregate,
    rows: Iterable[pa.RecordBatch],
    starts: np.ndarray | None,
    *,
    epoch: int,
) -> pa.Table:
    """Return the aggregate's finished rows for these windows only (None: all)."""
    wanted = None if starts is None else timestamps(starts)
    return partials.compute(_as_input(aggregate, rows), aggregate, epoch, wanted)


def accumulate(aggregate: Aggregate, rows: Iterable[pa.RecordBatch]) -> pa.Table | None:
    """Return merged partial aggregates of rows read back from the lake, None if none counts."""
    made = (partials.partial(batch, aggregate) for batch in _as_input(aggregate, rows))
    return partials.merge_all(made, aggregate)


def _as_input(aggregate: Aggregate, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    types = {f.name: f.type for f in aggregate.input}
    types.setdefault(aggregate.event_time, TIMESTAMP)
    types[WATERMARK] = TIMESTAMP
    paths = [
        Column(name=name.rpartition(".")[2], path=name, type=kind, logical="")
        for name, kind in types.items()
        if "." in name
    ]
    for batch in rows:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for text in {c.path.partition(".")[0] for c in paths}:
            own = [c for c in paths if c.path.partition(".")[0] == text]
            columns |= extract(columns[text], own)
        arrays = [
            # A file that is older than a column holds null there.
            columns[name].cast(kind) if name in columns else pa.nulls(batch.num_rows, kind)
            for name, kind in types.items()
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=list(types))
