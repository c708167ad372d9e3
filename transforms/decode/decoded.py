"""What decode makes of a block: rows that fit the contract's types, and records that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.changes.seen import Change, Key
from transforms.decode.json_shape import Values

Numbers = NDArray[np.int64]
"""Numbers of rows in a batch, ascending."""

LOOKED_AT: Final = 500
"""Records of a block whose undeclared values are looked at."""


class Undeclared(NamedTuple):
    """Keys that a contract does not declare, and the records that have all of them.

    Attributes:
        keys: Which.
        rows: Which of `Decoded.rows`.
        refused: Which of `Decoded.refused`.
    """

    keys: tuple[Key, ...]
    rows: Numbers
    refused: Numbers


class Decoded(NamedTuple):
    """Each record of a block is in exactly one of `rows`, `refused` and `removed`.

    Attributes:
        rows: The contract's top-level columns, the path columns (declared leaf keys of open
            objects), `_event_time` if the contract's event time is nested, then
            `names.POSITION_FIELDS`; in source order.
        refused: `names.REFUSED` with the original record bytes, in source order; None if every
            record fits.
        records: Original bytes (pa.binary) of the records that rows were made of, given by their
            position columns, for steps that refuse later; null where the position does not tell the
            record (Avro).
        format: What the records are, in words of the pipeline file; `json+attached` and the like
            where a message is kept with its key or headers.
        places: By path column, where its values stand in the texts of its open object, in bytes
            from the start of each row's text; empty where decode did not see them.
        undeclared: What the contract does not declare, where that was looked for.
        beside: Columns of a file that has types which are not declared, or hold what is not, of its
            first rows.
        lacking: Columns of the contract that the block's file does not have.
        nulled: By column, the rows in which a value that is not of its type was made null.
        cut: By column, the rows in which a time lost digits below a microsecond.
        removed: `names.REMOVED`: records dropped as the contract says; None if none was.
        changes: How the records differ from the contract (`transforms.changes.seen.Change`).
    """

    rows: pa.RecordBatch
    refused: pa.RecordBatch | None
    records: Callable[[pa.RecordBatch], pa.Array]
    format: str = "json"
    places: Mapping[str, Values] = MappingProxyType({})
    undeclared: tuple[Undeclared, ...] = ()
    beside: pa.RecordBatch | None = None
    lacking: tuple[str, ...] = ()
    nulled: Mapping[str, Numbers] = MappingProxyType({})
    cut: Mapping[str, Numbers] = MappingProxyType({})
    removed: pa.RecordBatch | None = None
    changes: tuple[Change, ...] = ()


def root(inside: str) -> str:
    """Return the column that a path inside of records begins with.

    >>> root("items[].at"), root("address"), root("")
    ('items', 'address', '')
    """
    return inside.partition(".")[0].partition("[")[0]


def everything(decoded: Decoded, names: tuple[str, ...]) -> tuple[Undeclared, ...]:
    """Say that all records of a block have these undeclared columns."""
    if not names:
        return ()
    dead = 0 if decoded.refused is None else decoded.refused.num_rows
    return (Undeclared(tuple(map(Key, names)), np.arange(decoded.rows.num_rows), np.arange(dead)),)
