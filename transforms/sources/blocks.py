"""What a source hands to decode: a run of whole records that lie side by side in one source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Block:
    """A few MiB of whole records, not yet decoded.

    Attributes:
        source: URI, as it will stand in `_source`.
        start: Position of the first record: its byte offset in the decompressed source for text
            formats, its row number for columnar ones.
        data: Text formats: the bytes of whole records, uint8, one dimension; only the last record
            of a source may lack its newline. Columnar formats: the rows.
        arrived_us: `_arrived` of every row, microseconds since the epoch (UTC).
        header: CSV: the header line that names the fields of these records.
    """

    source: str
    start: int
    data: np.ndarray | pa.RecordBatch
    arrived_us: int
    header: bytes = b""
