"""The streaming face of a source: where its messages are, and what is promised of their times."""

from __future__ import annotations

from dataclasses import dataclass, field

EARLIEST = "earliest"
LATEST = "latest"


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files of a TLS connection, as they are written; relative ones are from the pipeline folder.

    `key_password` is a secret's reference: `env:NAME` or `file:path`.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sasl:
    """Who connects.

    Attributes:
        mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        username: May hold references `${NAME}`.
        password: A secret's reference: `env:NAME` or `file:path`.
    """

    mechanism: str
    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A schema registry that speaks Confluent's protocol.

    Attributes:
        url: Where it is; may hold references `${NAME}`.
        username: May hold references `${NAME}`; None: nobody logs in, or by token.
        password: A secret's reference: `env:NAME` or `file:path`.
        token: A secret's reference: of a bearer token.
        tls: None: as the machine trusts.
    """

    url: str
    username: str | None = None
    password: str | None = None
    token: str | None = None
    tls: Tls | None = None


@dataclass(frozen=True, kw_only=True)
class KafkaSource:
    """Topics of a Kafka cluster.

    Attributes:
        brokers: `host:port,...`; may hold references `${NAME}`.
        topics: Names; empty with a pattern.
        pattern: RE2-like regular expression that whole topic names match; None with names.
        start: Where a partition begins that nothing is known of: `earliest`, `latest`, or a time
            (microseconds UTC), the first message of which or later is the first that is read.
        end: Bounded replay: `latest` (as it is when reading begins) or a time; None: never.
        ends: Bounded replay: offsets that are not read any more, by (topic, partition).
        format: json, avro or protobuf.
        registry: Where the schemas of messages are; None for json.
        committed: Whether messages of transactions that are open or were aborted are left out.
        key: Column of the contract that is read from the messages' keys.
        headers: Columns of the contract that are read from headers: column -> name of the header.
        on_gap: `fail` or `skip`: what happens when positions to be read are gone (retention), or
            the topic was made anew.
        group: Consumer group in which progress is shown; None: nowhere.
        refresh_us: How often new topics and partitions are looked for.
        tls: None: plain text, unless `sasl` is there with a broker that asks for it.
        sasl: None: nobody logs in.
    """

    brokers: str
    topics: tuple[str, ...] = ()
    pattern: str | None = None
    start: str | int = EARLIEST
    end: str | int | None = None
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    format: str = "json"
    registry: Registry | None = None
    committed: bool = True
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    on_gap: str = "fail"
    group: str | None = None
    refresh_us: int = 30_000_000
    tls: Tls | None = None
    sasl: Sasl | None = None

    @property
    def bounded(self) -> bool:
        """Whether reading ends."""
        return self.end is not None or bool(self.ends)


@dataclass(frozen=True, kw_only=True)
class StreamFace:
    """A pipeline's streaming source.

    Attributes:
        kafka: Where the messages are.
        disorder_us: How much older than its forerunners in the same partition a row may be.
        idle_us: Quiet time after which a partition no longer holds the watermark; None: never.
        max_future_us: A row whose event time is further ahead of its arrival is refused.
    """

    kafka: KafkaSource
    disorder_us: int = 30_000_000
    idle_us: int | None = 10_000_000
    max_future_us: int = 300_000_000
