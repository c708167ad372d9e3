"""Read a bounded part of files, spread over them, through the readers that a run uses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.errors import SourceError, UsageError
from schemas.plan import FileSource, Written
from schemas.references import public
from transforms.decode.headers import CONVERT
from transforms.inference.columnar_fields import columnar_fields
from transforms.inference.csv_fields import csv_fields
from transforms.inference.fields import Field, Sample
from transforms.inference.foreign import check_stored, check_text
from transforms.inference.json_fields import json_fields
from transforms.inference.json_records import taken
from transforms.inference.layout import Layout, layout_of
from transforms.sources.blocks import Block
from transforms.sources.columnar_files import parquet_rows
from transforms.sources.files import discover
from transforms.sources.places import StoredFile, expand
from transforms.sources.slices import COLUMNAR, Slice, read_blocks
from transforms.sources.stored import Stored

_ENDINGS: Final = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv",
    ".tab": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".avro": "avro",
}  # fmt: skip
_BLOCK: Final = 1 << 20
_BYTES: Final = 8 << 20
_PLACES: Final = 8
_ROWS: Final = 200_000
_HEAD: Final = 1 << 16
_CHECKED: Final = 20
"""Files whose first bytes are looked at."""
_RECORDS: Final = re.compile(rb'"([A-Za-z_]+)"\s*:\s*\[\s*\{')


@dataclass
class _Taken:
    """What has been read so far."""

    blocks: list[Block]
    bytes: int = 0
    whole: bool = True
    spread: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A part of some files, as a source reads them.

    Attributes:
        source: How they are read.
        files: Those that there are.
        slices: All that a run would read.
        blocks: What was read.
        bytes: Of `blocks`.
        whole: Whether that was all.
        spread: Whether it is from all over; else it is the beginning.
    """

    source: FileSource
    files: list[StoredFile]
    slices: Sequence[Slice]
    blocks: list[Block]
    bytes: int
    whole: bool
    spread: bool


def read_part(path: str, folder: Path, *, max_bytes: int, known: FileSource | None = None) -> Part:
    """Read about `max_bytes` of the records of some files; of columnar ones at most 200,000 rows.

    Args:
        path: File, directory, glob or URL.
        folder: Relative paths start here.
        max_bytes: Of records, decompressed.
        known: A source whose way of reading holds for files of its format.

    Raises:
        SourceError: Nothing is there, or it is not what a run could read.
    """
    files = expand(path, folder)
    for file in files[:_CHECKED]:
        check_stored(file)
    form = format_of(files)
    if form not in COLUMNAR:
        check_text(files[0], _head(files[0])[:_HEAD])
    if known is not None and known.format == form:
        source = replace(known, path=path, compression="auto", block_bytes=_BLOCK)
    else:
        layout = _layout(files[0]) if form == "csv" else Layout()
        source = FileSource(path=path, format=form, block_bytes=_BLOCK, **layout._asdict())
    if form == "json":
        _check_lines(files[0])
    slices = discover(source, folder, {}).slices
    read = _take(slices, max_bytes)
    if not read.blocks:
        header = _head(files[0]).strip() if form == "csv" else b""
        got = "a header alone" if header else "none"
        msg = f"a sample must have records; got {got} in {public(path)}; give another"
        raise SourceError(msg)
    if form not in COLUMNAR:
        _check_text([_bytes(block) for block in read.blocks], path)
    return Part(
        source=source,
        files=files,
        slices=slices,
        blocks=read.blocks,
        bytes=read.bytes,
        whole=read.whole,
        spread=read.spread,
    )


def read_sample(
    path: str, folder: Path, *, max_bytes: int = _BYTES, known: FileSource | None = None
) -> Sample:
    """Read about `max_bytes` of the records of some files; of columnar ones at most 200,000 rows.

    Args:
        path: File, directory, glob or URL.
        folder: Relative paths start here.
        max_bytes: Of records, decompressed.
        known: A source whose way of reading holds for files of its format.

    Raises:
        SourceError: Nothing is there, or it is not what a run could read.
    """
    part = read_part(path, folder, max_bytes=max_bytes, known=known)
    form, delimiter = part.source.format, part.source.delimiter
    nulls: tuple[str, ...] = ("",)
    written = Written()
    fields: tuple[Field, ...]
    reasons: Counter[str] = Counter()
    if form in COLUMNAR:
        fields, rows, _ = columnar_fields(part.blocks)
    elif form == "csv":
        own = known if known is not None and known.format == form else None
        fields, rows, reasons, nulls, written = csv_fields(part.blocks, delimiter, known=own)
    else:
        lines, reasons = taken(part.blocks)
        fields, rows, _ = json_fields(lines)
    broken = sum(reasons.values())
    if not rows or not fields:
        what = "whose records all differ from its header" if form == "csv" else "without any"
        msg = f"a sample must have records of its format; got {form} {what} in {public(path)}"
        msg += "; remove lines before the header" if form == "csv" else "; correct it"
        msg += ", or name it by what it is"
        raise SourceError(msg)
    if broken > rows:
        why, count = reasons.most_common(1)[0]
        msg = (
            f"most records of a sample must be such as a run takes; got {broken:,} of "
            f"{rows + broken:,} in {public(path)} that it refuses, {count:,} of them as {form} "
            f"since {why.replace('; ', ', ')}; correct the file, and remove lines before its header"
        )
        raise SourceError(msg)
    return Sample(
        path=path,
        format=form,
        delimiter=delimiter,
        names=part.source.names,
        skip=part.source.skip,
        nulls=nulls,
        written=written,
        files=len(part.files),
        stored_bytes=sum(file.identity.size for file in part.files),
        read_bytes=part.bytes,
        rows=rows,
        reasons=reasons,
        whole=part.whole,
        fields=fields,
        spread=part.spread,
        about_rows=rows if part.whole else _about(part.slices, rows, part.bytes),
    )


def _check_text(blocks: Sequence[bytes], path: str) -> None:
    """Check that bytes that are no UTF-8 are faults of some records, and not another encoding."""
    try:
        for block in blocks:
            block.decode()
    except UnicodeDecodeError:
        lines = [line for block in blocks for line in block.split(b"\n") if not line.isascii()]
        wrong = sum(1 for line in lines if not _is_utf8(line))
        if wrong > len(lines) // 2:
            msg = (
                f"a sample must be UTF-8 text; got other bytes in {wrong:,} lines of "
                f"{public(path)}; {CONVERT}"
            )
            raise SourceError(msg) from None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _about(slices: Sequence[Slice], rows: int, read: int) -> int | None:
    """Return how many records there are: as Parquet says, or by the size of those read."""
    files = {piece.path: piece for piece in slices}
    if slices[0].format == "parquet":
        return sum(_parquet_rows(piece) for piece in files.values())
    if slices[0].format == "avro" or any(piece.compression != "none" for piece in slices):
        return None
    size = sum(piece.identity.size for piece in files.values())
    return max(rows, round(rows * size / max(read, 1)))


def _parquet_rows(piece: Slice) -> int:
    with Stored(piece.path, piece.identity) as file:
        return parquet_rows(file)


def format_of(files: Sequence[StoredFile]) -> str:
    """Return the one format of some files, by their names, else by their first bytes.

    Raises:
        SourceError: They have several.
    """
    forms = Counter(_format(file) for file in files)
    if len(forms) > 1:
        got = ", ".join(f"{n} {form}" for form, n in forms.most_common())
        msg = f"files of one sample must be of one format; got {got}; name them by a glob each"
        raise SourceError(msg)
    return next(iter(forms))


def _format(file: StoredFile) -> str:
    for ending in reversed(Path(file.path).suffixes):
        if form := _ENDINGS.get(ending.lower()):
            return form
    head = _head(file)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"Obj\x01"):
        return "avro"
    return "json" if head.lstrip()[:1] in (b"{", b"[") else "csv"


def _head(file: StoredFile) -> bytes:
    """Return the first bytes of a file, or of the first member of an archive, decompressed."""
    with Stored(file.path, file.identity) as stored:
        magic = stored.read(4)
    if magic in (b"PAR1", b"Obj\x01"):
        return magic
    lines = FileSource(path=file.path, format="json", block_bytes=_HEAD)
    for piece in discover(lines, Path(), {}).slices:
        with closing(_opened(piece)) as blocks:
            for block in blocks:
                return _bytes(block)
    return b""


def _opened(piece: Slice) -> Generator[Block]:
    for block in read_blocks(piece):
        if isinstance(block, Block):
            yield block


def _bytes(block: Block) -> bytes:
    assert isinstance(block.data, np.ndarray)  # noqa: S101  # of a text format
    return block.data.tobytes()


def _check_lines(file: StoredFile) -> None:
    head = _head(file).removeprefix(b"\xef\xbb\xbf").lstrip()
    first = head.split(b"\n", 1)[0].strip()
    if head[:1] == b"[":
        got, advice = "one array", "write its items to lines: jq -c '.[]' FILE > FILE.jsonl"
    elif first == b"{" or (head[:1] == b"{" and not first.endswith(b"}")):
        got, advice = "an object over several lines", "write it to one: jq -c . FILE > FILE.jsonl"
        if inside := _RECORDS.search(head):  # GeoJSON, and what services answer
            what = inside[1].decode("ascii")
            advice = f"write its items to lines: jq -c '.{what}[]' FILE > FILE.jsonl"
    else:
        return
    name = Path(file.path).name
    msg = f"JSON must be one object a line; got {got} in {name}; {advice}"
    raise UsageError(msg)


def _layout(file: StoredFile) -> Layout:
    head = _head(file)
    text = head[:_HEAD].decode("utf-8", errors="replace").removeprefix("\ufeff")
    whole = text[: text.rfind("\n") + 1] if len(head) > _HEAD else text
    return layout_of(whole or text)


def _take(slices: Sequence[Slice], max_bytes: int) -> _Taken:
    """Read the first blocks of slices that are spread evenly over all of them."""
    want = max(_PLACES, max_bytes // _BLOCK)
    taken = _Taken([], whole=len(slices) <= want)
    chosen = list(slices)
    if len(slices) > want:
        at = np.unique(np.linspace(0, len(slices) - 1, want).astype(np.int64))
        chosen = [slices[i] for i in at.tolist()]
    taken.spread = len(chosen) > 1
    share = max(1, max_bytes // len(chosen))
    rows = max(1, _ROWS // len(chosen))
    for piece in chosen:
        _take_from(piece, share, rows, taken)
    return taken


def _take_from(piece: Slice, max_bytes: int, max_rows: int, taken: _Taken) -> None:
    piece = replace(piece, block_bytes=min(_BLOCK, max(max_bytes, 1 << 16)))
    size, rows = 0, 0
    ended = True
    with closing(_opened(piece)) as blocks:
        for block in blocks:
            if size >= max_bytes or rows >= max_rows:
                ended = False
                break
            data = block.data
            if isinstance(data, pa.RecordBatch):
                if rows + data.num_rows > max_rows:
                    data, ended = data.slice(0, max_rows - rows), False
                block = replace(block, data=data, end=-1)  # noqa: PLW2901
                rows += data.num_rows
                size += data.nbytes
            else:
                size += len(data)
            taken.blocks.append(block)
            if not ended:
                break
    taken.bytes += size
    taken.whole &= ended
