"""Send the records of files to a Kafka topic as a source would have: in event-time order, paced."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.errors import SourceError, UsageError
from schemas.names import POSITION
from transforms.decode.decoded import Decoded
from transforms.decode.json_texts import json_texts
from transforms.schema_registry import SchemaRegistry
from transforms.sinks.avro_texts import avro_schema, avro_texts

_TICK_S: Final = 0.05
_MOST: Final = 10_000
_WAIT_S: Final = 60.0
_KIND: Final = pa.large_binary()
_AVRO_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_UNKNOWN: Final = np.iinfo(np.int64).min


class Messages(NamedTuple):
    """What is to be sent.

    Attributes:
        payloads: pa.large_binary, one JSON object or framed Avro datum each.
        keys: pa.large_binary, or None: no keys.
        times: Event times, microseconds UTC; that of the record before it for one without.
    """

    payloads: pa.ChunkedArray
    keys: pa.ChunkedArray | None
    times: np.ndarray


class AvroValues:
    """Rows as Avro in Confluent's framing: the contract's columns that are read from records."""

    def __init__(self, contract: Contract, name: str) -> None:
        """Describe them.

        Args:
            contract: Of the rows.
            name: Of the pipeline, for the schema's names.

        Raises:
            UsageError: A key of a record is no name in Avro.
        """
        self._name, self._fields = name, [pa.field(c.key, c.type) for c in _read(contract)]
        for field in self._fields:
            if not _AVRO_NAME.fullmatch(field.name):
                msg = (
                    f"a field of Avro must have a name of letters, digits and _; got {field.name!r}"
                    " in the contract; send json"
                )
                raise UsageError(msg)
        self._frame = b""

    def register(self, registry: SchemaRegistry, topic: str) -> None:
        """Register the schema of a topic's values, with which each then begins.

        Raises:
            RegistryError: It is refused, or the registry does not answer.
        """
        schema = json.dumps(avro_schema(self._name, "penstock", self._fields))
        self._frame = b"\0" + registry.register(f"{topic}-value", "AVRO", schema).to_bytes(4, "big")

    def __call__(self, read: pa.RecordBatch) -> pa.Array:
        """Return the rows (under their keys in records) as `pa.binary()`."""
        return avro_texts(read.columns, self._fields, self._frame)


def messages_of(
    blocks: Iterable[Decoded],
    contract: Contract,
    key: str | None = None,
    avro: AvroValues | None = None,
) -> Messages:
    """Make messages of decoded records, in their order.

    As JSON, records of JSON files are sent as they are, those that decode refuses too; rows of
    other formats become JSON objects of the contract's columns that are read from records. Of them,
    and as Avro, what decode refuses is left out.

    Args:
        blocks: What decode made of the files.
        contract: What they were decoded by.
        key: Column (or path) whose values, as text, are the messages' keys.
        avro: Makes Avro of rows; None: JSON.
    """
    payloads, keys, times = [], [], []
    for decoded in blocks:
        parts = list(_parts(decoded, contract, key, avro))
        if not parts:
            continue
        # As they stood in the file: what is refused comes between its neighbours.
        order = np.argsort(np.concatenate([part.position for part in parts]), kind="stable")
        payloads.append(pa.concat_arrays([part.payload for part in parts]).take(pa.array(order)))
        keys.append(pa.concat_arrays([part.key for part in parts]).take(pa.array(order)))
        times.append(np.concatenate([part.time for part in parts])[order])
    return Messages(
        pa.chunked_array(payloads, _KIND),
        None if key is None else pa.chunked_array(keys, _KIND),
        _filled(np.concatenate(times)) if times else np.empty(0, np.int64),
    )


def sending_order(times: np.ndarray, disorder_us: int, seed: int) -> np.ndarray:
    """Return in which order to send messages so that none comes later than `disorder_us`.

    A message is sent after a younger one only if that is younger by at most the disorder, whatever
    their partitions.
    """
    late = np.random.default_rng(seed).integers(0, disorder_us + 1, len(times))
    return np.argsort(times + late, kind="stable")


def send(
    producer: Any,
    topic: str,
    messages: Messages,
    order: np.ndarray,
    *,
    rate: float,
    told: Callable[[int, float], None],
) -> float:
    """Send messages at a rate; return how many seconds it took until the brokers had all of them.

    Args:
        producer: confluent_kafka.Producer.
        topic: Where to.
        messages: What.
        order: Their numbers, in the order of sending.
        rate: Messages a second; 0: as fast as they are taken.
        told: Called about every second with how many were sent, and after how many seconds.

    Raises:
        SourceError: The brokers did not take all of them.
    """
    failed: list[str] = []
    began = time.monotonic()
    sent, said = 0, began
    while sent < len(order):
        now = time.monotonic()
        due = min(int((now - began + _TICK_S) * rate) if rate else len(order), len(order))
        upto = min(due, sent + _MOST)
        for payload, key in _taken(messages, order[sent:upto]):
            _produce(producer, topic, payload, key, failed)
        sent = max(sent, upto)
        producer.poll(0)
        if rate and sent >= due:
            time.sleep(_TICK_S)
        if now >= said + 1:
            told(sent, now - began)
            said = now
        if failed:
            break
    left = producer.flush(_WAIT_S)
    if left or failed:
        why = failed[0] if failed else f"{left} unanswered"
        msg = f"the brokers must take every message; got {why}; check brokers and topic"
        raise SourceError(msg)
    return time.monotonic() - began


def _produce(
    producer: Any, topic: str, payload: bytes, key: bytes | None, failed: list[str]
) -> None:
    def answered(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error.name())

    while True:
        try:
            producer.produce(topic, payload, key, on_delivery=answered)
        except BufferError:  # the client holds all it may: let the brokers take some
            producer.poll(0.1)
        else:
            return


def _taken(messages: Messages, rows: np.ndarray) -> Iterator[tuple[bytes, bytes | None]]:
    at = pa.array(rows)
    payloads = messages.payloads.take(at).to_pylist()
    if messages.keys is None:
        yield from ((payload, None) for payload in payloads)
    else:
        yield from zip(payloads, messages.keys.take(at).to_pylist(), strict=True)


class _Part(NamedTuple):
    position: np.ndarray
    payload: pa.Array
    key: pa.Array
    time: np.ndarray


def _parts(
    decoded: Decoded, contract: Contract, key: str | None, avro: AvroValues | None
) -> Iterator[_Part]:
    rows, refused = decoded.rows, decoded.refused
    as_they_are = decoded.format == "json" and avro is None
    if rows.num_rows:
        texts = decoded.records(rows) if as_they_are else None
        if texts is None or texts.null_count:
            names = {c.name: c.key for c in _read(contract)}
            read = rows.select(list(names)).rename_columns(list(names.values()))
            texts = json_texts(read.to_struct_array()) if avro is None else avro(read)
        named = pa.nulls(rows.num_rows, _KIND)
        if key is not None:
            named = rows[key].cast(pa.string()).cast(_KIND)
        times = _micros(rows[contract.event_time_column])
        yield _Part(rows[POSITION].to_numpy(), texts.cast(_KIND), named, times)
    if as_they_are and refused is not None:
        refused = refused.filter(refused["record"].is_valid())
        none = np.full(refused.num_rows, _UNKNOWN)
        texts = refused["record"].cast(_KIND)
        yield _Part(refused[POSITION].to_numpy(), texts, pa.nulls(len(texts), _KIND), none)


def _read(contract: Contract) -> list[Column]:
    return [column for column in contract.columns if column.read]


def _micros(times: pa.Array) -> np.ndarray:
    return times.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _filled(times: np.ndarray) -> np.ndarray:
    """Give messages without event time that of the one before, so that they come beside it."""
    known = times > _UNKNOWN
    last = np.maximum.accumulate(np.where(known, np.arange(len(times)), -1))
    first = times[known].min() if known.any() else 0
    return np.where(last < 0, first, times[np.maximum(last, 0)])
