"""Messages of the client to columns of a raw batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.names import TIMESTAMP
from transforms.sources.streams.raw import Span, raw_schema, with_spans

Partition = tuple[str, int]
"""Topic and partition number."""


def raw_batch(
    messages: Sequence[Any],
    sources: Mapping[Partition, str],
    positions: Mapping[str, int],
    *,
    now_us: int,
    key: bool = False,
    headers: bool = False,
) -> pa.RecordBatch:
    """Make a raw batch of messages without errors, in their order.

    Args:
        messages: confluent_kafka.Message; those of a partition in the order of their offsets.
        sources: `_source` of each partition.
        positions: Where reading stood in each source before.
        now_us: `_arrived` of messages that have no timestamp (of brokers before 0.10).
        key: Whether to add `_key`.
        headers: Whether to add `_headers`.
    """
    n = len(messages)
    partition, offset, stamp, values = _taken(messages)
    names, codes = _sources(messages, partition, sources)
    arrived = np.where(stamp < 0, now_us, stamp * 1000)
    columns = [pa.array(values, pa.binary())]
    schema = raw_schema(key=key, headers=headers)
    if key:
        columns.append(pa.array([m.key() for m in messages], pa.binary()))
    if headers:
        columns.append(_headers(messages, schema.field("_headers").type))
    columns += [
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())),
        pa.array(offset),
        pa.array(np.zeros(n, np.int32)),
        pa.array(arrived).cast(TIMESTAMP),
        pa.nulls(n, TIMESTAMP),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    last = np.full(len(names), -1, np.int64)
    np.maximum.at(last, codes, offset)
    rows = np.bincount(codes, minlength=len(names))
    return with_spans(
        batch,
        [
            Span(name, positions[name], int(last[i]) + 1, int(rows[i]))
            for i, name in enumerate(names)
            if rows[i]
        ],
    )


def _taken(messages: Sequence[Any]) -> tuple[Any, Any, Any, list[bytes | None]]:
    """Take partition, offset, timestamp (ms) and payload: the one loop over messages.

    `map` over the type's own methods is half again as fast as a comprehension.
    """
    kind, n = type(messages[0]), len(messages)
    partition = np.fromiter(map(kind.partition, messages), np.int64, n)
    offset = np.fromiter(map(kind.offset, messages), np.int64, n)
    stamp = np.fromiter((pair[1] for pair in map(kind.timestamp, messages)), np.int64, n)
    return partition, offset, stamp, list(map(kind.value, messages))


def _sources(
    messages: Sequence[Any], partition: Any, sources: Mapping[Partition, str]
) -> tuple[list[str], Any]:
    """Names of sources, and for each message the index of its own."""
    topics = {topic for topic, _ in sources}
    if len(topics) == 1:
        (topic,) = topics
        numbers, codes = np.unique(partition, return_inverse=True)
        return [sources[topic, number] for number in numbers.tolist()], codes
    kind = type(messages[0])
    found = list(map(kind.topic, messages))
    code = {topic: i for i, topic in enumerate(sorted(set(found)))}
    which = np.fromiter((code[topic] for topic in found), np.int64, len(found))
    pairs, codes = np.unique(np.stack([which, partition]), axis=1, return_inverse=True)
    names = {i: topic for topic, i in code.items()}
    return [sources[names[t], p] for t, p in pairs.T.tolist()], codes.ravel()


def _headers(messages: Sequence[Any], kind: pa.DataType) -> pa.Array:
    found = [
        [{"name": name, "value": value} for name, value in (m.headers() or ())] for m in messages
    ]
    return pa.array(found, kind)
