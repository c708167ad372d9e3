"""The Kafka sink: a follower of the lake's commits, each of them one transaction.

What a commit brings and the mark that it was sent are seen together or not at all by whoever reads
committed messages, however often the sink is killed. Only one process at a time can send: a new one
fences off those before it. An aggregate's row that a commit takes out, and puts none in for, is
sent as a tombstone of its key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from schemas.errors import UsageError
from schemas.kafka_sink import KafkaSink
from schemas.plan import Plan
from schemas.references import resolve
from transforms.commit.follow import (
    BY_WINDOW,
    EVERYTHING,
    DoneCommit,
    Place,
    done_commit,
    everything,
    pending,
)
from transforms.commit.lake import Lake
from transforms.kafka_client import TIMEOUT_S, connected, connection, failed, kafka_client
from transforms.schema_registry import SchemaRegistry
from transforms.sinks.kafka_progress import KafkaSinkError, Progress
from transforms.sinks.kafka_rows import Messages, RowMessages, keys_gone, rows_sent

_SENT: Final = BY_WINDOW | {"rebuild", "compact", EVERYTHING}
_LONGEST_S: Final = 900  # what brokers allow a transaction, unless told otherwise
_FULL_S: Final = 0.1
_PRODUCING: Final = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 20,
    "compression.type": "lz4",
    # Java's clients put a key there, too.
    "partitioner": "murmur2_random",
    "message.max.bytes": 64 << 20,
    "queue.buffering.max.messages": 500_000,
    "queue.buffering.max.kbytes": 256 << 10,
    "transaction.timeout.ms": _LONGEST_S * 1000,
}


@dataclass
class Sent:
    """What a load sent.

    Attributes:
        seq: Sequence number of the last commit that was sent.
        commits: How many commits this load sent.
        rows: Messages by table.
    """

    seq: int = 0
    commits: int = 0
    rows: Counter[str] = field(default_factory=Counter)


class KafkaOutbox:
    """Sends what the lake's commits bring; see the module's text."""

    def __init__(self, plan: Plan, sink: KafkaSink) -> None:
        """Describe it; nothing is connected yet."""
        self._plan, self._sink = plan, sink
        self._client: Any = kafka_client()
        self._rows = {
            name: RowMessages(plan.tables[name], sink, plan.contract) for name in sink.tables
        }

    def load(self, lake: Lake, *, rebuild: bool = False) -> Sent:
        """Send the done commits that were not sent yet, in order.

        A sink that begins sends what the lake holds, as one commit.

        Args:
            lake: The lake that is followed.
            rebuild: Send all that the lake holds again, under the same keys.

        Raises:
            FollowerTooFarError: The commit that was sent last is not in the lake's history.
            KafkaSinkError: Something could not be sent; the commits before it were.
            SourceError: Brokers or registry do not answer.
        """
        settings = connection(self._sink, self._plan.folder)
        progress = Progress(settings, resolve(self._sink.progress), self._name)
        self._check_topics(settings)
        progress.prepare()
        producer = connected(
            self._client.Producer,
            settings | _PRODUCING | {"transactional.id": f"penstock-{self._name}"},
        )
        with self._told():
            # From here on nobody before us can commit, so what is read now stays true.
            producer.init_transactions(TIMEOUT_S)
        place = progress.read()
        sent = Sent(seq=place.seq)
        for commit in _new(lake, Place() if rebuild else place):
            self._send(producer, progress, commit, lake, sent)
        return sent

    @property
    def _name(self) -> str:
        return f"{self._plan.name}-{self._sink.topic}"

    def _send(
        self, producer: Any, progress: Progress, commit: DoneCommit, lake: Lake, sent: Sent
    ) -> None:
        if commit.op not in _SENT:
            msg = (
                f"commits must be of a kind that can be sent; got {commit.op} at commit "
                f"{commit.seq}: messages cannot be taken back; run `penstock load --rebuild` to "
                "send what the lake holds now"
            )
            raise KafkaSinkError(msg)
        counts: Counter[str] = Counter()
        with self._told():
            producer.begin_transaction()
        try:
            with self._told():
                if commit.op != "compact":
                    self._produce_rows(producer, commit, lake, counts)
                producer.produce(**progress.mark(commit.place))
                producer.commit_transaction(_LONGEST_S)
        except BaseException:
            self._abort(producer)
            raise
        sent.seq, sent.commits = commit.seq, sent.commits + 1
        sent.rows += counts

    def _produce_rows(
        self, producer: Any, commit: DoneCommit, lake: Lake, counts: Counter[str]
    ) -> None:
        files = lake.commits().io
        for name, messages_of in self._rows.items():
            topic, frame = resolve(self._sink.topic_of(name)), None
            table, keys = self._plan.tables[name], list[pa.Array]()
            for rows in rows_sent(commit, table, files):
                if frame is None and self._sink.registry is not None:
                    frame = self._registered(topic, messages_of)
                messages = messages_of(rows, frame)
                _produce(self._client, producer, topic, _plain(messages))
                counts[name] += rows.num_rows
                if messages_of.key_is_row:
                    keys.append(messages.keys)
            for gone in keys_gone(commit, table, files, messages_of, keys):
                tombstones = [{"key": key, "value": None} for key in gone.to_pylist()]
                _produce(self._client, producer, topic, tombstones)
                counts[name] += len(gone)

    def _registered(self, topic: str, messages_of: RowMessages) -> bytes:
        """Register the schema of a topic's values; return what each begins with."""
        assert self._sink.registry is not None  # noqa: S101  # the format has one
        registry = SchemaRegistry(self._sink.registry, self._plan.folder)
        schema = json.dumps(messages_of.avro(self._plan.name))
        return b"\0" + registry.register(f"{topic}-value", "AVRO", schema).to_bytes(4, "big")

    def _check_topics(self, settings: dict[str, Any]) -> None:
        from confluent_kafka import admin  # noqa: PLC0415  an extra

        wanted = {resolve(self._sink.topic_of(name)) for name in self._sink.tables}
        with self._told():
            there = connected(admin.AdminClient, settings).list_topics(timeout=TIMEOUT_S).topics
        if missing := sorted(wanted - set(there)):
            msg = (
                f"the topics of a sink must be there; got none named {', '.join(missing)}; create "
                "them (a sink does not choose partitions), or correct sinks.kafka.topic"
            )
            raise UsageError(msg)

    def _abort(self, producer: Any) -> None:
        # If it fails, the brokers end it: no reader of committed messages sees any of it.
        with suppress(self._client.KafkaException):
            producer.abort_transaction(TIMEOUT_S)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._client.KafkaException as error:
            inner = error.args[0]
            if inner.code() in (
                self._client.KafkaError._FENCED,  # noqa: SLF001  the client's own name
                self._client.KafkaError.INVALID_PRODUCER_EPOCH,
            ):
                msg = (
                    f"one process at a time must send to {self._sink.topic}; got another that "
                    "began after this one; leave it alone, or end it and run `penstock load`"
                )
                raise KafkaSinkError(msg) from error
            must = f"the brokers must take every message for {self._sink.topic}"
            raise KafkaSinkError(str(failed(error, must))) from error


def _new(lake: Lake, place: Place) -> Iterator[DoneCommit]:
    history = lake.commits()
    if place == Place():
        whole = everything(lake)
        if whole.entries:
            yield whole
        return
    for entry in pending(history, place):
        yield done_commit(history.io, entry)


def _plain(messages: Messages) -> list[dict[str, Any]]:
    columns = zip(messages.values.to_pylist(), messages.keys.to_pylist(), strict=True)
    made: list[dict[str, Any]] = [{"value": value, "key": key} for value, key in columns]
    for name, values in messages.headers.items():
        for message, value in zip(made, values.to_pylist(), strict=True):
            message.setdefault("headers", []).append((name, value))
    return made


def _produce(client: Any, producer: Any, topic: str, messages: list[dict[str, Any]]) -> None:
    """Hand messages to the client, which sends them; wait while it holds all it may."""
    if messages and "headers" in messages[0]:  # which the client takes one by one only
        for message in messages:
            while True:
                try:
                    producer.produce(topic, **message)
                except BufferError:
                    producer.poll(_FULL_S)
                else:
                    break
    else:
        while messages:
            producer.produce_batch(topic, messages)
            messages = [message for message in messages if "_error" in message]
            for error in [message.pop("_error") for message in messages]:
                if error.code() != client.KafkaError._QUEUE_FULL:  # noqa: SLF001
                    raise client.KafkaException(error)
            producer.poll(_FULL_S if messages else 0)
