"""What decodes the raw messages of a stream."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from transforms.decode.decoded import Decoded


class Messages(Protocol):
    """Decodes raw messages; pickles."""

    def decode(self, raw: pa.RecordBatch) -> Decoded:
        """Return rows and refusals at the messages' own positions.

        `Decoded.records` takes rows (position columns), as a batch may mix sources.
        """
        ...
