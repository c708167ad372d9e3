"""Where the topics of a source end now: what a stream has still to read."""

from __future__ import annotations

import time
from typing import Final

from transforms.sources.kafka.source import KafkaStream
from transforms.sources.kafka.topics import Cluster, Found

_TIMEOUT_S: Final = 2.0


class Ends:
    """Asks a cluster again and again for the offsets after the last messages."""

    def __init__(self, source: KafkaStream) -> None:
        """Describe it; the cluster is asked by calls only."""
        self._source = source
        self._cluster = Cluster(source.kafka, source.folder)
        self._found: dict[str, Found] = {}
        self._looked = -float("inf")

    def __call__(self) -> dict[str, int]:
        """Return the offset after the last message by `_source`.

        Raises:
            SourceError: The cluster does not answer within two seconds.
        """
        now = time.monotonic()
        if now > self._looked + self._source.kafka.refresh_us / 1e6:
            self._found = self._cluster.partitions()
            self._looked = now
        latest = self._cluster.latest([f.partition for f in self._found.values()], _TIMEOUT_S)
        return {source: latest[found.partition] for source, found in self._found.items()}
