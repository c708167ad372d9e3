"""What a streaming source is: Kafka, change data capture, HTTP and watched files look like this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from transforms.sources.streams.vector import Vector


class StreamReader(Protocol):
    """Reads the partitions it was opened at; owned by one thread at a time.

    A *position* is that of the next message. Positions that come out of `positions` are the only
    ones that may be handed to `StreamSource.open` again.
    """

    def poll(self, max_ms: int, max_bytes: int) -> pa.RecordBatch | None:
        """Wait at most about `max_ms` for messages, and return about `max_bytes` of them or fewer.

        Returns:
            A raw batch (`raw.raw_schema`) with its spans, or None if nothing came. Messages of one
            source stand in the order of their positions; `_watermark` is null. A batch without rows
            tells of lost spans.

        Raises:
            SourceError: What comes next cannot be read, or is not what it was.
        """
        ...

    def positions(self) -> Mapping[str, int]:
        """Return where reading stands after the last poll, for every partition, new ones too."""
        ...

    def labels(self) -> Mapping[str, str]:
        """Return what people call each partition."""
        ...

    def caught_up(self) -> frozenset[str]:
        """Return the sources whose end was reported, just now, at their position."""
        ...

    def ack(self, positions: Mapping[str, int]) -> None:
        """Tell the other side that everything before these positions has landed for good."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class StreamSource(Protocol):
    """Describes a source; small, pickles, holds no secret value."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def bounded(self) -> bool:
        """Whether it is read to ends that are fixed when it begins."""
        ...

    def begin(self, known: Mapping[str, int], share: int, shares: int) -> Vector:
        """Find out where reading begins, for the partitions of one of several readers.

        Args:
            known: Positions to go on from, by source; where a source is not known, the
                description says where to begin.
            share: Number of the reader, from 0.
            shares: How many there are; each partition belongs to exactly one.

        Raises:
            SourceError: The source is not there, or not what it was.
        """
        ...

    def open(self, vector: Vector, share: int, shares: int) -> StreamReader:
        """Open a reader at a vector.

        Raises:
            SourceError: See `StreamReader.poll`.
        """
        ...
