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
        end: Position where the next record of the source would start; may be left out where
            positions are byte offsets or row numbers.
    """

    source: str
    start: int
    data: np.ndarray | pa.RecordBatch
    arrived_us: int
    header: bytes = b""
    end: int = -1

    def __post_init__(self) -> None:
        """Work out the end."""
        if self.end < 0:
            object.__setattr__(self, "end", self.start + len(self.data))


@dataclass(frozen=True, kw_only=True)
class LongRecord:
    """A record that is too long to be decoded, in the place of its block: only where it is.

    Attributes:
        source: As in `Block`.
        start: Its position.
        end: Position of the next record.
        sha256: Of the bytes [start, end), hex.
        limit: The most bytes that a record may have.
        arrived_us: As in `Block`.
    """

    source: str
    start: int
    end: int
    sha256: str
    limit: int
    arrived_us: int
