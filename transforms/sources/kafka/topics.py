"""What a cluster has: topics with their ids, partitions, and the offsets they begin and end at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import SourceError
from schemas.references import resolve
from schemas.stream_source import KafkaSource
from transforms.kafka_client import (
    TIMEOUT_S,
    UnreachableError,
    connected,
    connection,
    failed,
    kafka_client,
)
from transforms.sources.kafka.columns import Partition


class Found(NamedTuple):
    """A partition as it is now.

    Attributes:
        source: `_source`: cluster id/topic id/partition. The topic's id, since a topic that is made
            anew under its old name holds other messages at the same offsets.
        partition: Topic and number.
    """

    source: str
    partition: Partition

    @property
    def topic_id(self) -> str:
        """Id of its topic."""
        return self.source.split("/")[-2]

    @property
    def label(self) -> str:
        """What people call it."""
        return label(self.partition)


class Cluster:
    """Asks a cluster about the topics of a source; every answer is a new question to it."""

    def __init__(self, source: KafkaSource, folder: Path) -> None:
        """Connect when the first question is asked."""
        self._committed = source.committed
        self._topics = [resolve(name) for name in source.topics]
        self._pattern = None if source.pattern is None else resolve(source.pattern)
        self._client: Any = kafka_client()
        from confluent_kafka import admin  # noqa: PLC0415  an extra

        self._admin: Any = admin
        self._connection = connected(self._admin.AdminClient, connection(source, folder))

    def partitions(self, share: int = 0, shares: int = 1) -> dict[str, Found]:
        """Return the partitions of the source's topics by `_source`, those of one share.

        Raises:
            SourceError: The cluster does not answer, or a named topic is not there.
        """
        names, cluster = self._names()
        found = {}
        for name, about in self._describe(names).items():
            topic_id = _id(about)
            for part in about.partitions:
                if _share(name, part.id, shares) == share:
                    one = Found(f"{cluster}/{topic_id}/{part.id}", (name, part.id))
                    found[one.source] = one
        return found

    def are(self, topics: Mapping[str, str]) -> bool:
        """Return whether topics still have these ids (by name).

        Raises:
            UnreachableError: The brokers do not answer.
        """
        try:
            found = self._describe(list(topics))
        except UnreachableError:
            raise
        except SourceError:
            return False
        return all(name in found and _id(found[name]) == topics[name] for name in topics)

    def earliest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the first offset that each still has."""
        return self._offsets(dict.fromkeys(partitions, self._admin.OffsetSpec.earliest()))

    def latest(
        self, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S
    ) -> dict[Partition, int]:
        """Return the offset after the last message that may be read now."""
        spec = self._admin.OffsetSpec.latest()
        return self._offsets(dict.fromkeys(partitions, spec), timeout_s)

    def since(self, partitions: Iterable[Partition], time_us: int) -> dict[Partition, int]:
        """Return the offset of the first message of a time or later; the end where there is none.

        Kafka knows milliseconds: a time within one means its end.
        """
        partitions = list(partitions)
        spec = self._admin.OffsetSpec.for_timestamp(-(-time_us // 1000))
        found = self._offsets(dict.fromkeys(partitions, spec))
        ends = self.latest([p for p in partitions if found[p] < 0])
        return found | ends

    def _names(self) -> tuple[list[str], str]:
        try:
            seen = self._connection.list_topics(timeout=TIMEOUT_S)
        except self._client.KafkaException as error:
            raise failed(error, "the Kafka brokers must answer") from error
        if self._pattern is None:
            return sorted(self._topics), seen.cluster_id
        matches = re.compile(self._pattern).fullmatch
        # Names that begin with two underscores are the brokers' own.
        names = sorted(n for n in seen.topics if matches(n) and not n.startswith("__"))
        return names, seen.cluster_id

    def _describe(self, names: list[str]) -> dict[str, Any]:
        if not names:
            return {}
        asked = self._client.TopicCollection(names)
        futures = self._connection.describe_topics(asked, request_timeout=TIMEOUT_S)
        found, gone = {}, []
        for name, future in futures.items():
            try:
                found[name] = future.result()
            except self._client.KafkaException as error:
                if error.args[0].code() != self._client.KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise failed(error, f"topic {name} must be one that can be read") from error
                gone.append(name)
        if gone and self._pattern is None:
            msg = f"the topics of a source must be there; got none named {', '.join(sorted(gone))}"
            msg += "; create them, or correct source.stream.kafka"
            raise SourceError(msg)
        return found

    def _offsets(
        self, asked: Mapping[Partition, Any], timeout_s: float = TIMEOUT_S
    ) -> dict[Partition, int]:
        if not asked:
            return {}
        level = self._client.IsolationLevel
        futures = self._connection.list_offsets(
            {self._client.TopicPartition(*p): spec for p, spec in asked.items()},
            isolation_level=level.READ_COMMITTED if self._committed else level.READ_UNCOMMITTED,
            request_timeout=timeout_s,
        )
        found = {}
        for part, future in futures.items():
            try:
                found[part.topic, part.partition] = future.result().offset
            except self._client.KafkaException as error:
                where = label((part.topic, part.partition))
                raise failed(error, f"the offsets of {where} must be known") from error
        return found


def _id(about: Any) -> str:
    """Return a topic's id as Kafka writes it: the client gives base64 that is not URL-safe."""
    return str(about.topic_id).replace("+", "-").replace("/", "_")


def label(partition: Partition) -> str:
    """Return what people call a partition."""
    return f"{partition[0]}/{partition[1]}"


def _share(topic: str, number: int, shares: int) -> int:
    """Spread the partitions of each topic; stable when partitions are added."""
    return (sum(topic.encode()) + number) % shares
