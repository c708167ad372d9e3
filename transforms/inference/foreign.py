"""Files that no source reads, told by their first bytes, with what would make them readable."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from schemas.errors import SourceError
from transforms.sources.compression import zip_members
from transforms.sources.places import StoredFile
from transforms.sources.stored import Stored

_PARQUET: Final = "write it as Parquet"
_UNPACK: Final = "unpack it first"
_TABLE: Final = "write its table as CSV in UTF-8"
_BYTES: Final = (
    (b"SQLite format 3\0", "an SQLite database", "export a table of it as CSV or Parquet"),
    (b"ARROW1", "an Arrow file", _PARQUET),
    (b"ORC", "an ORC file", _PARQUET),
    (b"\x89HDF", "an HDF5 file", _PARQUET),
    (b"\xd0\xcf\x11\xe0", "a file of an old Office program", _TABLE),
    (b"%PDF", "a PDF document", _TABLE),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89PNG", "an image", "give records"),
    (b"\xff\xd8\xff", "an image", "give records"),
)
_WORDS: Final = (b"ARROW1", b"ORC", b"BZh")
"""Of these also what a header may begin with: `ORCID`."""
_MARKUP: Final = (
    (b"<!doctype html", "a page of HTML", "the address may be that of a page about the file"),
    (b"<html", "a page of HTML", "the address may be that of a page about the file"),
    (b"<?xml", "XML", "convert it to JSON lines or CSV"),
)
_ZIPPED: Final = (
    ("xl/workbook.xml", "an Excel workbook", "save its sheet as CSV in UTF-8"),
    ("word/document.xml", "a Word document", _TABLE),
    ("content.xml", "an OpenDocument file", "save its sheet as CSV in UTF-8"),
)
_TOLD: Final = 4
_TAR: Final = slice(257, 262)
_CONTROLS: Final = 0.01
"""Share of control bytes, as no text has them."""


def check_stored(file: StoredFile) -> None:
    """Check the bytes of a file as they are stored.

    Raises:
        SourceError: It is of a format that no source reads.
    """
    with Stored(file.path, file.identity) as stored:
        head = stored.read(16)
        names = zip_members(stored) if head.startswith(b"PK\x03\x04") else []
    is_text = head.isascii() and head.translate(None, b"\t\r\n").decode("ascii").isprintable()
    for begin, what, advice in _BYTES:
        if head.startswith(begin) and not (is_text and begin in _WORDS):
            _fail(file, what, advice)
    for name, what, advice in _ZIPPED:
        if name in names:
            _fail(file, what, advice)
    if len({Path(name).suffix.lower() for name in names}) > 1:
        some = ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
        msg = (
            f"files of one archive must be of one format; got {some} in {Path(file.path).name}; "
            "unpack it, and give those that are records"
        )
        raise SourceError(msg)


def check_text(file: StoredFile, head: bytes) -> None:
    """Check the first bytes of a text file, decompressed.

    Raises:
        SourceError: They are no text, markup, or lines of another kind.
    """
    begin = head[:64].lstrip().lower()
    for mark, what, advice in _MARKUP:
        if begin.startswith(mark):
            _fail(file, what, advice)
    if head[_TAR] == b"ustar":
        _fail(file, "a tar archive", _UNPACK)
    if b"\r" in head and b"\n" not in head:
        advice = "convert it: tr '\\r' '\\n' < FILE > NEW"
        _fail(file, "text whose lines end in CR alone", advice)
    codes = np.frombuffer(head, np.uint8)
    controls = (codes < ord("\t")) | ((codes > ord("\r")) & (codes < ord(" ")))
    if len(codes) and controls.mean() > _CONTROLS:
        _fail(file, "binary data of no format that is known here", "convert it to one of these")


def _fail(file: StoredFile, what: str, advice: str) -> None:
    name = Path(file.path).name
    msg = f"a sample must be JSON lines, CSV, Parquet or Avro; got {what} in {name}; {advice}"
    raise SourceError(msg)
