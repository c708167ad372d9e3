"""The columns that decode adds to rows, and the rows it makes of records that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.names import ARRIVED, POSITION, REFUSED, SEQUENCE, SOURCE
from transforms.decode.decoded import Decoded
from transforms.decode.typed import Failures, position_columns
from transforms.sources.blocks import LongRecord

STEP: Final = "decode"


def refusals(
    places: Sequence[pa.Array], why: Sequence[tuple[str, str]], form: str, records: pa.Array
) -> pa.RecordBatch | None:
    """Return rows of `names.REFUSED`, None if there are none.

    Args:
        places: Source, position, sequence and arrival of the records, as columns.
        why: Rule and reason of each.
        form: Format of the records.
        records: What stands at these places (`pa.binary()`).
    """
    if not why:
        return None
    rules, reasons = zip(*why, strict=True)
    said = [pa.array(column, pa.string()) for column in ([STEP] * len(why), rules, reasons)]
    forms = pa.array([form] * len(why), pa.string())
    return pa.record_batch([*places[:4], *said, forms, records], schema=REFUSED)


def of_rows(rows: pa.RecordBatch, failures: Failures, decoded: Decoded) -> pa.RecordBatch | None:
    """Return the refusals of rows that were decoded and then failed."""
    taken = rows.select([SOURCE, POSITION, SEQUENCE, ARRIVED]).take(pa.array(failures.bad()))
    why = [failures.first[i] for i in failures.bad().tolist()]
    return refusals(taken.columns, why, decoded.format, decoded.records(taken))


def joined(first: pa.RecordBatch | None, second: pa.RecordBatch | None) -> pa.RecordBatch | None:
    """Return the refusals of one block in source order."""
    if first is None or second is None:
        return second if first is None else first
    both = pa.Table.from_batches([first, second]).unify_dictionaries().combine_chunks()
    return both.sort_by([(POSITION, "ascending"), (SEQUENCE, "ascending")]).to_batches()[0]


def refuse_long(long: LongRecord) -> pa.RecordBatch:
    """Return the row of REFUSED for a record that was not held: a pointer to it and its hash."""
    pointer = {"source": long.source, "start": long.start, "end": long.end, "sha256": long.sha256}
    reason = f"record must be at most {long.limit} bytes; raise source.batch.files.max_record_bytes"
    batch = refusals(
        position_columns(long, np.array([long.start])),
        [("record_length", reason)],
        "pointer",
        pa.array([json.dumps(pointer).encode()], pa.binary()),
    )
    assert batch is not None  # noqa: S101  # it has one row
    return batch
