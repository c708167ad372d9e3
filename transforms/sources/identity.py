"""What a stored file was when it was looked at, and what is remembered of it between runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa
import xxhash

from schemas.names import TIMESTAMP

CHUNK: Final = 8 << 20
"""Stored bytes are hashed by chunks of this size, so that slices can hash their own parts."""

SOURCES: Final = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified", TIMESTAMP, nullable=False),
        pa.field("etag", pa.string()),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("terminated", pa.bool_(), nullable=False),
    ]
)
"""Rows of `operations.<pipeline>_sources`: one for each source, as it was when last read."""

FOOTPRINTS: Final = pa.schema(
    [
        *(SOURCES.field(name) for name in ("source", "size", "modified", "etag", "end")),
        pa.field("terminated", pa.bool_(), nullable=False),
        pa.field("last", pa.bool_(), nullable=False),
        pa.field("first_chunk", pa.int64(), nullable=False),
        pa.field("digests", pa.binary(), nullable=False),
    ]
)
"""What reading one slice says of its file: one row a slice; `remember` folds them to SOURCES."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which version of a file this is, as far as its store says.

    Attributes:
        size: Stored bytes.
        modified_us: Modification time, microseconds since the epoch; 0 if the store has none.
        etag: The store's version tag, if it has one.
        changed_ns: Local files: inode change time, which no program can set back. It guards one
            run only, and is not remembered.
    """

    size: int
    modified_us: int
    etag: str | None = None
    changed_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What an earlier run landed of a source (one row of SOURCES).

    Attributes:
        source: As in `_source`: the URI, with `!member` and `@n`.
        size: Stored bytes read.
        modified_us: Modification time then.
        etag: Version tag then.
        hash: `hash_of` the stored bytes [0, size).
        end: Position after the last record.
        terminated: Whether the last record had its newline, so that growth cannot change it.
    """

    source: str
    size: int
    modified_us: int
    etag: str | None
    hash: str
    end: int
    terminated: bool

    @property
    def forgotten(self) -> bool:
        """Whether a rebuild went on without it: whatever bears its name now is another source."""
        return self.size < 0

    def is_version(self, identity: Identity) -> bool:
        """Return whether size and ETag, or size and time, say that nothing changed."""
        if self.size != identity.size:
            return False
        if self.etag is not None and identity.etag is not None:
            return self.etag == identity.etag
        return self.modified_us == identity.modified_us != 0


class Footprint(NamedTuple):
    """What reading a slice tells of its file; see FOOTPRINTS.

    Attributes:
        digests: Concatenated digests of the chunks `first_chunk`, `first_chunk + 1` ...
        last: Whether this slice reached the end of the source; `end` and `terminated` of the
            other slices say nothing.
    """

    source: str
    identity: Identity
    end: int
    terminated: bool
    last: bool
    first_chunk: int
    digests: bytes

    def to_batch(self) -> pa.RecordBatch:
        """Return one row of FOOTPRINTS."""
        source, identity, end, terminated, last, first, digests = self
        values = (source, identity.size, identity.modified_us, identity.etag, end)
        row = (*values, terminated, last, first, digests)
        arrays = [pa.array([v], f.type) for v, f in zip(row, FOOTPRINTS, strict=True)]
        return pa.record_batch(arrays, schema=FOOTPRINTS)


class ChunkHasher:
    """Hashes the stored bytes [start, stop) by chunks, whatever pieces they come in.

    xxh3-128: 0.06 CPU s for 500 MB (sha256 0.34 with SHA extensions, blake3 0.24, same machine).
    It tells growth from rewriting, and guards against nobody who wants to deceive.
    """

    def __init__(self, start: int, stop: int) -> None:
        """Begin at `start`, a multiple of CHUNK."""
        self.first_chunk = start // CHUNK
        self._at = start
        self._stop = stop
        self._chunk = xxhash.xxh3_128()
        self._done: list[bytes] = []

    def update(self, offset: int, data: memoryview) -> None:
        """Take the bytes that stand at `offset`; those taken already or out of range do not count.

        Raises:
            ValueError: If bytes were left out.
        """
        if offset > self._at and self._at < self._stop:
            msg = f"chunks must be hashed without gaps; got {offset} after {self._at}"
            raise ValueError(msg)
        data = data[self._at - offset : max(self._stop - offset, 0)]
        while len(data):
            room = CHUNK - self._at % CHUNK
            part = data[:room]
            self._chunk.update(part)
            self._at += len(part)
            data = data[room:]
            if self._at % CHUNK == 0:
                self._flush()

    def _flush(self) -> None:
        self._done.append(self._chunk.digest())
        self._chunk = xxhash.xxh3_128()

    def digests(self) -> bytes:
        """Return the digests of all chunks, concatenated."""
        if self._at % CHUNK and self._at == self._stop:
            self._flush()
            self._at = self._stop = -(-self._at // CHUNK) * CHUNK
        return b"".join(self._done)


def forgotten(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of SOURCES that keeps nothing but the source's name from being used again."""
    return dict(row) | {"size": -1, "etag": None, "hash": "", "end": 0, "terminated": False}


def hash_of(digests: bytes) -> str:
    """Return the hash of stored bytes from the digests of all their chunks, in order."""
    return "xxh3-8MiB:" + xxhash.xxh3_128(digests).hexdigest()


def remember(footprints: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Fold the footprints of all slices of a run into rows of SOURCES, sorted by source.

    Raises:
        ValueError: If footprints of a source are missing: the run did not read all of it.
    """
    rows = pa.Table.from_batches(list(footprints), FOOTPRINTS).to_pylist()
    by_source: dict[str, list[dict]] = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row)
    return pa.RecordBatch.from_pylist(
        [_fold(by_source[source]) for source in sorted(by_source)], schema=SOURCES
    )


def _fold(rows: list[dict]) -> dict:
    last = next((row for row in rows if row["last"]), None)
    digests = b""
    for row in sorted(rows, key=lambda row: row["first_chunk"]):
        if row["digests"] and row["first_chunk"] * 16 == len(digests):
            digests += row["digests"]
    if last is None or len(digests) != -(-last["size"] // CHUNK) * 16:
        msg = f"a source must be read whole to be remembered; got parts of {rows[0]['source']}"
        raise ValueError(msg)
    return {**{f.name: last[f.name] for f in SOURCES if f.name != "hash"}, "hash": hash_of(digests)}


def remembered(sources: pa.Table) -> Mapping[str, Remembered]:
    """Return the newest row of each source from rows of SOURCES in commit order."""
    columns = sources.select(SOURCES.names)
    modified = columns.schema.get_field_index("modified")
    us = columns.column("modified").cast(pa.int64())
    rows = columns.set_column(modified, "modified_us", us).to_pylist()
    return {row["source"]: Remembered(**row) for row in rows}
