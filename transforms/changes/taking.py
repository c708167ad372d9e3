"""Records taken out of what was decoded: into the dead letters, or dropped and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from schemas.contract import OnChange
from schemas.names import POSITION_NAMES, Destiny
from transforms.decode.decoded import Decoded, Numbers
from transforms.decode.json_shape import rows_of
from transforms.decode.refusals import STEP, joined, refusals
from transforms.outcome import keep, removed


def out_of_rows(
    decoded: Decoded, rows: Numbers, mode: OnChange, rule: str, reasons: Sequence[str]
) -> Decoded:
    """Take rows out: dropped if the mode is `discard_row`, else refused with their records.

    Args:
        decoded: As its decoder made it.
        rows: Which rows; not none.
        mode: What the contract says.
        rule: By which they are taken out.
        reasons: Of each row.
    """
    places = taken(decoded.rows.select(POSITION_NAMES), rows)
    left = np.delete(np.arange(decoded.rows.num_rows), rows)
    nulled = {
        name: np.flatnonzero(np.isin(left, numbers)) for name, numbers in decoded.nulled.items()
    }
    out = decoded._replace(
        rows=keep(decoded.rows, rows),
        places={path: rows_of(at, left) for path, at in decoded.places.items()},
        nulled=nulled,
    )
    if mode is OnChange.DISCARD_ROW:
        gone = removed(places, np.arange(len(rows)), Destiny.FILTERED, STEP, rule)
        return out._replace(removed=_both(decoded.removed, gone))
    why = [(rule, reason) for reason in reasons]
    dead = refusals(places.columns, why, decoded.format, decoded.records(places))
    return out._replace(refused=joined(decoded.refused, dead))


def out_of_refused(decoded: Decoded, rows: Numbers, rule: str) -> Decoded:
    """Drop records that were refused: they are counted, and kept nowhere."""
    dead = decoded.refused
    if dead is None or not len(rows):
        return decoded
    gone = removed(dead, rows, Destiny.FILTERED, STEP, rule)
    left = keep(dead, rows)
    return decoded._replace(
        refused=left if left.num_rows else None, removed=_both(decoded.removed, gone)
    )


def taken(batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    """Return some rows."""
    return batch.take(pa.array(rows, pa.int64()))


def _both(one: pa.RecordBatch | None, other: pa.RecordBatch | None) -> pa.RecordBatch | None:
    if one is None or other is None:
        return other if one is None else one
    both = pa.Table.from_batches([one, other]).unify_dictionaries().combine_chunks()
    return both.to_batches()[0]
