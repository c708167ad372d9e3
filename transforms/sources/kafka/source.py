"""Kafka as a `StreamSource`: where reading begins and ends, and readers to go on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SourceError
from schemas.stream_source import EARLIEST, LATEST, KafkaSource
from transforms.sources.kafka.columns import Partition
from transforms.sources.kafka.gaps import judge
from transforms.sources.kafka.reader import KafkaReader
from transforms.sources.kafka.topics import Cluster
from transforms.sources.streams.vector import Place, Vector


@dataclass(frozen=True, kw_only=True)
class KafkaStream:
    """Reads the topics of a `KafkaSource`; a `StreamSource`.

    A position is the offset of the next message. Secrets are read where it is used.

    Attributes:
        kafka: Topics, and how to reach them.
        folder: The pipeline folder: secrets and certificates are from there.
    """

    kafka: KafkaSource
    folder: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return self.kafka.pattern or ", ".join(self.kafka.topics)

    @property
    def bounded(self) -> bool:
        """Whether it is read to ends that are fixed when it begins."""
        return self.kafka.bounded

    def begin(self, known: Mapping[str, int], share: int, shares: int) -> Vector:
        """See `StreamSource.begin`.

        Of the sources in `known`, those that are not of this cluster's topics any more are gaps.

        Raises:
            SourceError: The cluster does not answer, a topic is not there.
            GapError: See `gaps.judge`.
        """
        cluster = Cluster(self.kafka, self.folder)
        every = cluster.partitions()
        if not every:
            msg = f"topics must match {self.kafka.pattern!r}; got none; correct the pattern"
            raise SourceError(msg)
        found = every if shares == 1 else cluster.partitions(share, shares)
        at = {f.partition: s for s, f in found.items()}
        begin = _by_source(self._at(cluster, self.kafka.start, at), at)
        ends = self._ends(cluster, at)
        first = _by_source(cluster.earliest(at), at)
        last = _by_source(cluster.latest(at), at)
        labels = {s: f.label for s, f in found.items()}
        gone = set(known) - set(every) if share == 0 else set()
        wanted = {s: known[s] for s in known if s in found or s in gone}
        judged = judge(wanted, first, last, labels, self.kafka.on_gap)
        return Vector(
            {
                source: Place(
                    position=judged.positions.get(source, begin[source]),
                    end=ends.get(source),
                    label=labels[source],
                )
                for source in found
            }
        )

    def open(self, vector: Vector, share: int, shares: int) -> KafkaReader:
        """See `StreamSource.open`."""
        return KafkaReader(self.kafka, self.folder, vector, share, shares)

    def _ends(self, cluster: Cluster, at: Mapping[Partition, str]) -> dict[str, int]:
        if not self.bounded:
            return {}
        latest = LATEST if self.kafka.end is None else self.kafka.end
        return _by_source(self._at(cluster, latest, at) | self.kafka.ends, at)

    def _at(
        self, cluster: Cluster, where: str | int, partitions: Iterable[Partition]
    ) -> dict[Partition, int]:
        if where == EARLIEST:
            return cluster.earliest(partitions)
        if where == LATEST:
            return cluster.latest(partitions)
        return cluster.since(partitions, int(where))


def _by_source(offsets: Mapping[Partition, int], at: Mapping[Partition, str]) -> dict[str, int]:
    return {at[partition]: offset for partition, offset in offsets.items() if partition in at}
