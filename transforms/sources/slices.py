"""A slice of a file, the unit of reading: small to send, pure to read, the same each time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from schemas.errors import SourceError
from transforms.sources.blocks import Block, LongRecord
from transforms.sources.columnar_files import columnar_blocks
from transforms.sources.compression import decompressed
from transforms.sources.csv_records import CsvGrammar, delimiter_byte
from transforms.sources.identity import ChunkHasher, Footprint, Identity
from transforms.sources.lines import Framer, Lines, Run, TooLong
from transforms.sources.stored import Stored, hash_stored

COLUMNAR = frozenset({"parquet", "avro"})
"""Formats that hold no lines."""

_BOM = b"\xef\xbb\xbf"
_ANYWHERE = 1 << 62
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a source that one worker reads; pickles in a few hundred bytes.

    Attributes:
        source: As in `_source`.
        path: Local path or URL of the file.
        identity: The version of the file that was planned.
        format: json, csv, parquet or avro.
        compression: none, gzip, zstd or zip.
        member: Name in the zip archive.
        start: Its first position.
        stop: Records that start here or later belong to another slice; None: all that come.
        aligned: Whether a record starts at `start`; otherwise the next newline is looked for.
        stored_start: Where the stored bytes of `start` are.
        hashes: Which stored bytes its footprint hashes: `own` (those from `stored_start` to
            `stop`), `all` of the file, or `none`.
        digests: Archives: of the chunks of the whole file, taken when it was found.
        delimiter: CSV.
        quotes: CSV: whether there may be quotes in it.
        header: CSV: stands for the header of a file without one.
        skip: CSV: lines before the header, or the first record.
    """

    source: str
    path: str
    identity: Identity
    format: str = "json"
    compression: str = "none"
    member: str | None = None
    start: int = 0
    stop: int | None = None
    aligned: bool = True
    stored_start: int = 0
    hashes: str = "own"
    digests: bytes = b""
    delimiter: str = ","
    quotes: bool = True
    header: bytes = b""
    skip: int = 0
    block_bytes: int = 4 << 20
    max_record_bytes: int = 64 << 20
    max_expansion: int = 250


def read_blocks(piece: Slice) -> Iterator[Block | LongRecord]:
    """Yield the records of a slice in order, in blocks of about `block_bytes`.

    Two readings give the same records at the same positions, or a SourceError.

    Raises:
        SourceError: If the file is not the planned version before, while or after it is read, is
            damaged or truncated, is not UTF-8 text by its byte order mark, or expands too much.
    """
    yield from scan(piece)


def scan(piece: Slice) -> Generator[Block | LongRecord, None, Footprint]:
    """Do as `read_blocks`, and return what was seen of the file (see `identity.remember`)."""
    end, terminated, hasher = piece.start, True, None
    if piece.format in COLUMNAR:
        with Stored(piece.path, piece.identity) as file:
            for block in columnar_blocks(file, piece.format, piece.start, piece.stop):
                end = block.end
                yield replace(block, source=piece.source, arrived_us=piece.identity.modified_us)
    else:
        if piece.hashes == "own":
            stop = piece.stop or piece.identity.size
            hasher = ChunkHasher(piece.stored_start, stop)
        with _framed(piece, hasher) as framer:
            header = _begin(piece, framer)
            for run in framer.runs():
                yield _in_source(piece, run, header)
            end, terminated = framer.position, framer.terminated
    return Footprint(
        source=piece.source,
        identity=piece.identity,
        end=end,
        terminated=terminated,
        last=piece.stop is None,
        first_chunk=hasher.first_chunk if hasher else 0,
        digests=_digests(piece, hasher),
    )


def _digests(piece: Slice, hasher: ChunkHasher | None) -> bytes:
    if hasher:
        return hasher.digests()
    if piece.hashes == "all":
        return hash_stored(piece.path, piece.identity, piece.identity.size)
    return piece.digests


def read_header(piece: Slice) -> bytes:
    """Return the header of the CSV source that a slice is of; empty if the source is.

    Raises:
        SourceError: As `read_blocks`, or if the header is longer than a record may be.
    """
    if piece.header:
        return piece.header
    whole = replace(piece, start=0, stored_start=0, stop=None, aligned=True)
    with _framed(whole, None) as framer:
        return _begin(whole, framer)


@contextmanager
def _framed(piece: Slice, hasher: ChunkHasher | None) -> Iterator[Framer]:
    quoted = piece.format == "csv" and piece.quotes
    grammar = CsvGrammar(delimiter_byte(piece.delimiter)) if quoted else Lines()
    ahead = 0 if piece.aligned else 1  # the byte before tells whether a record starts at `start`
    with Stored(piece.path, piece.identity, hasher) as file:
        file.seek(piece.stored_start - ahead)
        with decompressed(file, piece.compression, piece.member, piece.max_expansion) as stream:
            yield Framer(
                stream=stream,
                grammar=grammar,
                position=piece.start - ahead,
                stop=piece.stop,
                block_bytes=piece.block_bytes,
                max_record=piece.max_record_bytes,
            )


def _begin(piece: Slice, framer: Framer) -> bytes:
    """Go to the first record of the slice; return the header if there is one."""
    if piece.start == 0:
        head = framer.peek(len(_BOM))
        if head.startswith(_WIDE):
            msg = f"text must be UTF-8; got UTF-16 (by its byte order mark) in {piece.source}; "
            raise SourceError(msg + "convert it")
        if head == _BOM:
            framer.skip(len(_BOM))
        for _ in range(piece.skip):
            framer.skip_line(_ANYWHERE)
        return _header(piece, framer) if piece.format == "csv" else b""
    if not piece.aligned:
        framer.skip_line(piece.stop or piece.identity.size)
    return read_header(piece) if piece.format == "csv" else b""


def _header(piece: Slice, framer: Framer) -> bytes:
    if piece.header:
        return piece.header
    while (record := framer.record()) is not None:
        if header := record.tobytes().rstrip(b"\r\n"):
            return header
    if framer.at_end and not framer.peek(1):
        return b""
    msg = (
        f"a CSV file must begin with a header of at most {piece.max_record_bytes} bytes; got more "
        f"in {piece.source}; check source.batch.files.format and that its quotes close"
    )
    raise SourceError(msg)


def _in_source(piece: Slice, run: Run | TooLong, header: bytes) -> Block | LongRecord:
    if isinstance(run, Run):
        return Block(piece.source, run.start, run.data, piece.identity.modified_us, header)
    if run.open:
        msg = (
            f"a quote that opens a CSV field must close; got one after position {run.start} of "
            f"{piece.source} that does not close in {run.length} bytes; fix the file"
        )
        raise SourceError(msg)
    return LongRecord(
        source=piece.source,
        start=run.start,
        end=run.start + run.length,
        sha256=run.sha256,
        limit=run.limit,
        arrived_us=piece.identity.modified_us,
    )
