"""The Kafka client: imported only when it is used, and configured without a secret in any plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

from schemas.errors import SourceError, UsageError
from schemas.references import resolve
from schemas.stream_source import KafkaSource, Sasl, Tls
from transforms.pem import pem_files
from transforms.secrets import read_secret

TIMEOUT_S: Final = 30.0

_FETCH: Final[dict[str, Any]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    # A position that is gone is an error for us to judge: never a silent jump.
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 50,
    "fetch.message.max.bytes": 8 << 20,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 64 << 10,
    # A full queue is looked at again after a second by default, which starves a fast reader.
    "fetch.queue.backoff.ms": 20,
}


def kafka_client() -> ModuleType:
    """Import the client.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import confluent_kafka  # noqa: PLC0415
    except ImportError as error:
        msg = (
            "Kafka must be reached through its client; got no module confluent_kafka; install the "
            "extra `kafka`: pip install 'penstock[kafka]', or make setup EXTRAS=kafka"
        )
        raise UsageError(msg) from error
    return confluent_kafka


class Reached(Protocol):
    """Says how brokers are reached: a `KafkaSource` or a `KafkaSink`."""

    @property
    def brokers(self) -> str:
        """`host:port,...`; may hold references."""
        ...

    @property
    def tls(self) -> Tls | None:
        """None: in plain text."""
        ...

    @property
    def sasl(self) -> Sasl | None:
        """None: nobody logs in."""
        ...


def connection(source: Reached, folder: Path) -> dict[str, Any]:
    """Return how to connect, secrets read: never to be logged or kept.

    Raises:
        UsageError: A reference or a file of `tls` names nothing that can be read, or brokers
            hold a login.
    """
    brokers = resolve(source.brokers)
    if "@" in brokers:  # the client would quote it
        msg = "brokers must hold no login; got a text with `@`; write user and password in sasl"
        raise UsageError(msg)
    found: dict[str, Any] = {
        "bootstrap.servers": brokers,
        "client.id": "penstock",
        # What goes wrong is raised or waited for; the client's own lines would say it twice.
        "log_level": 2,
    }
    tls, sasl = source.tls, source.sasl
    if tls is not None:
        where = "source.stream.kafka" if isinstance(source, KafkaSource) else "sinks.kafka"
        files = pem_files(tls, folder, f"{where}.tls")
        found |= {f"ssl.{key}.location": path for key, path in files.items()}
        if tls.key_password is not None:
            found["ssl.key.password"] = read_secret(tls.key_password, folder).strip()
    if sasl is not None:
        found["sasl.mechanism"] = sasl.mechanism
        found["sasl.username"] = resolve(sasl.username)
        found["sasl.password"] = read_secret(sasl.password, folder).strip()
    protocol = {
        (False, False): "plaintext",
        (True, False): "ssl",
        (False, True): "sasl_plaintext",
        (True, True): "sasl_ssl",
    }
    found["security.protocol"] = protocol[tls is not None, sasl is not None]
    return found


def connected(make: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> Any:
    """Make a client of brokers.

    Args:
        make: `Producer`, `Consumer` or `AdminClient`.
        settings: See `connection`.

    Raises:
        UsageError: The client takes none of these: what it says names files, no secret.
    """
    try:
        return make(settings)
    except kafka_client().KafkaException as error:
        said = error.args[0].str()
        msg = (
            f"tls and sasl must be such as Kafka's client takes; got {said}; "
            "correct them (a certificate has its own key, a key its own password)"
        )
        raise UsageError(msg) from error


def consumption(source: KafkaSource, folder: Path) -> dict[str, Any]:
    """Return the configuration of a consumer; see `connection`."""
    return {
        **connection(source, folder),
        **_FETCH,
        "group.id": source.group or "penstock",
        "isolation.level": "read_committed" if source.committed else "read_uncommitted",
    }


class UnreachableError(SourceError):
    """The brokers do not answer now; they may later."""


_SILENT: Final = ("_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT_QUEUE")


def failed(error: Any, must: str) -> SourceError:
    """Return the error for something that the client reported.

    Args:
        error: The client's KafkaError or KafkaException.
        must: What must hold.
    """
    inner = error.args[0] if getattr(error, "args", None) else error
    said = inner.str() if hasattr(inner, "str") else str(inner)
    name = inner.name() if hasattr(inner, "name") else type(error).__name__
    if name in _SILENT:
        # A broker that is spoken to in another protocol answers as one that is not there.
        hint = (
            "check brokers and network, and that tls and sasl are given if that port asks for them"
        )
        return UnreachableError(f"{must}; got {name} ({said}); {hint}, and only then")
    return SourceError(f"{must}; got {name} ({said}); check brokers, topic and access rights")
