"""The file source: which files there are, what is new in them, and the slices to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from schemas.errors import SourceError
from schemas.plan import FileSource
from schemas.references import is_url
from transforms.sources.columnar_files import parquet_cuts
from transforms.sources.compression import compression_of, member_uri, zip_members
from transforms.sources.csv_records import delimiter_byte, header_line
from transforms.sources.identity import CHUNK, Remembered
from transforms.sources.memory import Memory, next_generation
from transforms.sources.places import StoredFile, expand
from transforms.sources.slices import COLUMNAR, Slice, read_blocks, scan
from transforms.sources.stored import Stored, hash_stored

__all__ = ["Discovery", "Slice", "discover", "read_blocks", "scan"]

_MOST_SLICES: Final = 4096
_BEGINS: Final = {"parquet": b"PAR1", "avro": b"Obj\x01"}


@dataclass(frozen=True)
class Discovery:
    """What a run has to read.

    Attributes:
        slices: In source order.
        unchanged: Sources that are as they were when they landed: not read.
    """

    slices: tuple[Slice, ...]
    unchanged: tuple[str, ...]

    @property
    def stored_bytes(self) -> int:
        """Stored bytes that will be read, about."""
        sizes = {s.path: s.identity.size - s.stored_start for s in reversed(self.slices)}
        return sum(sizes.values())

    def verify(self) -> None:
        """Check once more that every file is the version that was planned.

        Raises:
            SourceError: If one changed or is gone.
        """
        for path, piece in {s.path: s for s in self.slices}.items():
            with Stored(path, piece.identity):
                pass


def discover(
    source: FileSource,
    folder: Path,
    remembered: Mapping[str, Remembered],
    *,
    anew: bool = False,
) -> Discovery:
    """Find the files of a source and cut what is new in them into slices.

    A file that landed before is left out if size and ETag (or time) are the same, or its stored
    bytes are; read from where it ended if it grew (JSON lines and CSV, plain or by whole gzip
    members or zstd frames) and its last record was terminated; anything else is *rewritten*.

    Args:
        source: The batch face.
        folder: Relative paths start here.
        remembered: What earlier runs landed, by `_source`.
        anew: Read everything, whatever landed; a rewritten file is the next generation.

    Raises:
        SourceError: Nothing is found, a file cannot be read, is not in the format and compression
            it claims, or was rewritten while `rewritten` is `fail`; names all rewritten files.
    """
    if source.format == "csv":
        delimiter_byte(source.delimiter)
    slices: list[Slice] = []
    unchanged: list[str] = []
    rewritten: list[str] = []
    memory = Memory(remembered)
    for file in expand(source.path, folder):
        if not anew and (known := memory.landed(file)):
            unchanged += known
            continue
        for whole in _sources_of(file, source):
            before = memory.latest(whole.source)
            if before is None or anew or before.forgotten:
                slices += _cut(replace(whole, source=memory.name(whole)))
            elif memory.is_same(whole, before):
                unchanged.append(before.source)
            elif memory.has_grown(whole, before):
                slices.append(_growth(whole, before))
            elif source.rewritten == "append":
                slices += _cut(replace(whole, source=next_generation(before.source)))
            else:
                rewritten.append(whole.source)
    if rewritten:
        msg = (
            "a file that landed must stay as it was, or grow by whole records; got rewritten: "
            f"{', '.join(rewritten)}; restore it, or set source.batch.files.rewritten: append to "
            "read it as a new source"
        )
        raise SourceError(msg)
    return Discovery(tuple(slices), tuple(unchanged))


def _growth(whole: Slice, before: Remembered) -> Slice:
    """Return the slice of what was added to a source."""
    return replace(
        whole,
        source=before.source,
        start=before.end,
        stored_start=before.size,
        hashes="all",
    )


def _sources_of(file: StoredFile, source: FileSource) -> Iterator[Slice]:
    """Yield each source in a file as one slice: the file itself, or the members of an archive."""
    with Stored(file.path, file.identity) as stored:
        magic = stored.read(4)
        compression = compression_of(stored.name, magic, source.compression)
        if compression == "none":
            _check_magic(magic, source.format, stored.name)
        columnar = source.format in COLUMNAR
        if columnar and compression != "none":
            msg = (
                f"{source.format} files compress inside; got {compression} in {stored.name}; unpack"
            )
            raise SourceError(msg + " it, or set source.batch.files.compression: none")
        stored.seek(0)
        members = zip_members(stored) if compression == "zip" else [None]
    # Members are slices of their own, and each is remembered with the hash of the archive.
    digests = _archive_digests(file) if compression == "zip" else b""
    for member in members:
        yield Slice(
            source=file.uri if member is None else member_uri(file.uri, member),
            path=file.path,
            identity=file.identity,
            format=source.format,
            compression=compression,
            member=member,
            hashes=_hashes(columnar, member),
            digests=digests,
            delimiter=source.delimiter,
            header=header_line(source.names, source.delimiter),
            skip=source.skip,
            block_bytes=source.block_bytes,
            max_record_bytes=source.max_record_bytes,
            max_expansion=source.max_expansion,
        )


def _check_magic(magic: bytes, form: str, name: str) -> None:
    """Compare the first bytes of a file with what those of its format are, or are never."""
    found = next((one for one, begins in _BEGINS.items() if magic == begins), "text or other bytes")
    if magic and (form in _BEGINS or found in _BEGINS) and found != form:
        must = f"{name} must be a {form} file, as the pipeline says; got {found}"
        msg = f"{must}; set source.batch.files.format, or read another file"
        raise SourceError(msg)


def _archive_digests(file: StoredFile) -> bytes:
    return hash_stored(file.path, file.identity, file.identity.size)


def _hashes(columnar: bool, member: str | None) -> str:  # noqa: FBT001
    if member is not None:
        return "none"
    return "all" if columnar else "own"


def _cut(whole: Slice) -> list[Slice]:
    """Cut a source into slices that can be read side by side."""
    if whole.format == "parquet":
        with Stored(whole.path, whole.identity) as file:
            cuts = parquet_cuts(file)
    elif whole.compression != "none" or whole.format == "avro" or not _splits(whole):
        return [whole]
    else:
        step = CHUNK * max(1, -(-whole.identity.size // (CHUNK * _MOST_SLICES)))
        cuts = list(range(0, max(whole.identity.size, 1), step))
    text = whole.format != "parquet"
    return [
        replace(
            whole,
            start=start,
            stop=stop,
            stored_start=start if text else 0,
            aligned=start == 0 or not text,
            hashes="own" if text else ("all" if start == 0 else "none"),
            quotes=False,
        )
        for start, stop in zip(cuts, [*cuts[1:], None], strict=True)
    ]


def _splits(whole: Slice) -> bool:
    """Return whether each newline ends a record, so that slices can start anywhere.

    A CSV file is looked through for a quote (10 GB/s in memory); with one in it, it is read in one
    go. A remote file would have to be fetched for that, so it is not split.
    """
    if whole.format != "csv":
        return True
    if is_url(whole.path) or whole.identity.size <= CHUNK:
        return False
    with Stored(whole.path, whole.identity) as file:
        while piece := file.read(1 << 20):
            if b'"' in piece:
                return False
    return True
