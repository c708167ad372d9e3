"""What decode makes of a block: rows that fit the contract's types, and records that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from transforms.decode.json_shape import Values


class Decoded(NamedTuple):
    """Each record of a block is in exactly one of `rows` and `refused`.

    Attributes:
        rows: The contract's top-level columns, the path columns (declared leaf keys of open
            objects), `_event_time` if the contract's event time is nested, then
            `names.POSITION_FIELDS`; in source order.
        refused: `names.REFUSED` with the original record bytes, in source order; None if every
            record fits.
        records: Original bytes (pa.binary) of the records that rows were made of, given by their
            position columns, for steps that refuse later; null where the position does not tell the
            record (Avro).
        format: What the records are: json or csv.
        places: By path column, where its values stand in the texts of its open object, in bytes
            from the start of each row's text; empty where decode did not see them.
    """

    rows: pa.RecordBatch
    refused: pa.RecordBatch | None
    records: Callable[[pa.RecordBatch], pa.Array]
    format: str = "json"
    places: Mapping[str, Values] = MappingProxyType({})
