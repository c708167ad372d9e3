"""Raw batches and a streaming source in memory, for tests without a broker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.names import TIMESTAMP
from tests import contracts
from transforms.sources.streams.raw import Span, raw_schema, with_spans
from transforms.sources.streams.vector import Place, Vector

CONTRACT = contracts.contract(
    contracts.column("at", "timestamp", TIMESTAMP, required=True),
    contracts.column("n", "integer", pa.int64()),
    event_time="at",
)


def raw(*messages: tuple[str, int, bytes | None], arrived: int = 0) -> pa.RecordBatch:
    """A raw batch of (source, position, payload)."""
    names = list(dict.fromkeys(source for source, _, _ in messages))
    codes = [names.index(source) for source, _, _ in messages]
    n = len(messages)
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([payload for _, _, payload in messages], pa.binary()),
            pa.DictionaryArray.from_arrays(
                pa.array(codes, pa.int32()), pa.array(names, pa.string())
            ),
            pa.array([position for _, position, _ in messages], pa.int64()),
            pa.array(np.zeros(n, np.int32)),
            pa.array(np.full(n, arrived, np.int64)).cast(TIMESTAMP),
            pa.nulls(n, TIMESTAMP),
        ],
        schema=raw_schema(),
    )
    spans = []
    for name in names:
        at = [p for s, p, _ in messages if s == name]
        spans.append(Span(name, min(at), max(at) + 1, len(at)))
    return with_spans(batch, spans)


def beat(seconds: float, n: int = 0) -> bytes:
    """A message of CONTRACT whose event time is so many seconds after the epoch's hour."""
    whole, part = divmod(seconds, 1)
    minutes, s = divmod(int(whole), 60)
    text = f"1970-01-01T{minutes // 60:02}:{minutes % 60:02}:{s:02}.{round(part * 1000):03}Z"
    return b'{"at":"%s","n":%d}' % (text.encode(), n)


LOGS: dict[str, dict[str, list[bytes]]] = {}
ACKED: dict[str, dict[str, int]] = {}
LOCK = threading.Lock()


@dataclass(frozen=True)
class MemoryStream:
    """A `StreamSource` over lists of this process, by source; `at_once` messages a poll."""

    name: str
    at_once: int = 2
    bounded: bool = True
    fail_at: int | None = None
    arrived_us: int = 3_600_000_000
    opened: list[Vector] = field(default_factory=list)

    def begin(self, known: Mapping[str, int], share: int, shares: int) -> Vector:
        logs = LOGS[self.name]
        mine = [s for i, s in enumerate(sorted(logs)) if i % shares == share]
        return Vector(
            {
                s: Place(position=known.get(s, 0), end=len(logs[s]) if self.bounded else None)
                for s in mine
            }
        )

    def open(self, vector: Vector, share: int, shares: int) -> MemoryReader:
        with LOCK:
            self.opened.append(vector)
        return MemoryReader(self, vector)


class MemoryReader:
    def __init__(self, stream: MemoryStream, vector: Vector) -> None:
        self.stream, self.at = stream, dict(vector.positions)

    def poll(self, max_ms: int, max_bytes: int) -> pa.RecordBatch | None:
        found = []
        for source, position in self.at.items():
            log = LOGS[self.stream.name][source]
            for p in range(position, min(position + self.stream.at_once, len(log))):
                found.append((source, p, log[p]))
                self.at[source] = p + 1
        return raw(*found, arrived=self.stream.arrived_us) if found else None

    def positions(self) -> Mapping[str, int]:
        return dict(self.at)

    def labels(self) -> Mapping[str, str]:
        return {source: f"label of {source}" for source in self.at}

    def caught_up(self) -> frozenset[str]:
        logs = LOGS[self.stream.name]
        return frozenset(s for s, p in self.at.items() if p == len(logs[s]))

    def ack(self, positions: Mapping[str, int]) -> None:
        ACKED.setdefault(self.stream.name, {}).update(positions)

    def close(self) -> None:
        pass
