"""How far a Kafka sink has come: marks in a compacted topic, sent with the rows they speak of.

A mark is in the same transaction as the rows of its commit, so whoever reads committed messages
sees both or neither. Offsets of a consumer group would do as well, but brokers forget those of a
group that has been quiet for a week.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from schemas.errors import PenstockError
from transforms.commit.follow import Place
from transforms.kafka_client import TIMEOUT_S, connected, failed, kafka_client

_NEAR: Final = 64
_CONFIG: Final = {
    "cleanup.policy": "compact",
    "segment.ms": str(24 * 3600 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


class KafkaSinkError(PenstockError):
    """Rows could not be sent; what the lake holds is not touched by that."""


class Progress:
    """The marks of one sink."""

    def __init__(self, settings: dict[str, Any], topic: str, sink: str) -> None:
        """Describe them.

        Args:
            settings: How brokers are reached.
            topic: Topic of the marks; several sinks may share it.
            sink: Name of the sink among them.
        """
        self._settings, self._topic, self._sink = settings, topic, sink
        self._client: Any = kafka_client()

    def prepare(self) -> None:
        """Make the topic, unless it is there.

        Raises:
            SourceError: The brokers do not answer, or do not let us.
            KafkaSinkError: It is there, and would forget marks.
        """
        from confluent_kafka import admin  # noqa: PLC0415  an extra

        untyped: Any = admin
        client = connected(untyped.AdminClient, self._settings)
        asked = untyped.NewTopic(self._topic, num_partitions=1, config=_CONFIG)
        try:
            client.create_topics([asked], request_timeout=TIMEOUT_S)[self._topic].result()
        except self._client.KafkaException as error:
            if error.args[0].code() != self._client.KafkaError.TOPIC_ALREADY_EXISTS:
                raise failed(error, f"topic {self._topic} must be there or be made") from error
            self._check(untyped, client)

    def mark(self, place: Place) -> dict[str, Any]:
        """Return the message that says that everything up to a commit is sent."""
        value = json.dumps({"seq": place.seq, "commit_id": place.commit_id})
        return {"topic": self._topic, "key": self._sink, "value": value, "partition": 0}

    def read(self) -> Place:
        """Return the last mark; the beginning if there is none.

        Raises:
            SourceError: The brokers do not answer.
        """
        consumer = connected(
            self._client.Consumer,
            self._settings
            | {
                "group.id": "penstock",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            },
        )
        try:
            part = self._client.TopicPartition(self._topic, 0)
            first, end = consumer.get_watermark_offsets(part, timeout=TIMEOUT_S)
            for start in dict.fromkeys((max(first, end - _NEAR), first)):
                part.offset = start
                consumer.assign([part])
                found = [value for key, value in self._messages(consumer) if key == self._name]
                if found:
                    mark = json.loads(found[-1])
                    return Place(mark["seq"], mark["commit_id"])
        except self._client.KafkaException as error:
            raise failed(error, f"topic {self._topic} must be readable") from error
        finally:
            consumer.close()
        return Place()

    @property
    def _name(self) -> bytes:
        return self._sink.encode()

    def _messages(self, consumer: Any) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values up to the end."""
        while True:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                msg = f"topic {self._topic} must be readable to its end; got no answer in "
                msg += f"{TIMEOUT_S:.0f} s; check the brokers"
                raise KafkaSinkError(msg)
            error = message.error()
            if error is None:
                yield message.key(), message.value()
            elif error.code() == self._client.KafkaError._PARTITION_EOF:  # noqa: SLF001
                return
            elif error.fatal() or not error.retriable():
                raise failed(error, f"topic {self._topic} must be readable")

    def _check(self, admin: Any, connected: Any) -> None:
        asked = admin.ConfigResource(admin.ResourceType.TOPIC, self._topic)
        try:
            found = connected.describe_configs([asked], request_timeout=TIMEOUT_S)[asked].result()
        except self._client.KafkaException:  # those who may write may not be let to ask
            return
        policy = found["cleanup.policy"].value
        if policy != "compact":
            msg = (
                f"topic {self._topic} must keep the last mark of each sink; got cleanup.policy "
                f"{policy}; set it to compact, or name another topic in sinks.kafka.progress"
            )
            raise KafkaSinkError(msg)
