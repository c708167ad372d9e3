"""Decompress streams as they are read: every member, every checksum, and no bombs."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast
from urllib.parse import quote

import pyarrow as pa
from isal import isal_zlib

from schemas.errors import SourceError
from transforms.sources.stored import Stored

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"
_ZIPS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_SUFFIXES: Final = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd", ".zip": "zip"}
_FREE_BYTES: Final = 1 << 30
_PIECE: Final = 1 << 18


class Stream(Protocol):
    """Decompressed bytes, in order."""

    def readinto(self, view: memoryview, /) -> int:
        """Fill the view from its start; fewer bytes than asked do not mean the end, 0 does."""
        ...


def compression_of(name: str, head: bytes, declared: str = "auto") -> str:
    """Return none, gzip, zstd or zip for a file, from its first bytes and its name.

    Args:
        name: Path or URL; its suffix must agree with the bytes.
        head: The first four stored bytes, fewer if the file is shorter.
        declared: What the pipeline file says; `none` takes the bytes as they are.

    Raises:
        SourceError: If suffix or declaration say another compression than the bytes.
    """
    if declared == "none" or not head:
        return "none"
    actual = "none"
    if head.startswith(_GZIP):
        actual = "gzip"
    elif head.startswith(_ZSTD) or head[1:4] == _SKIPPABLE:
        actual = "zstd"
    elif head.startswith(_ZIPS):
        actual = "zip"
    suffix = next((kind for end, kind in _SUFFIXES.items() if name.lower().endswith(end)), actual)
    expected = suffix if declared == "auto" else declared
    if expected != actual:
        found = "plain bytes" if actual == "none" else actual
        msg = f"a file must be what its name or `compression` says ({expected}); got {found} in "
        raise SourceError(msg + f"{name}; rename it or set source.batch.files.compression")
    return actual


@contextmanager
def decompressed(
    file: Stored, compression: str, member: str | None, max_expansion: int
) -> Iterator[Stream]:
    """Open the decompressed bytes of a file from its current stored offset on.

    gzip: all members, zero padding after them. zstd: all frames. zip: one member.

    Raises:
        SourceError: While reading, if the data is damaged, truncated, has something else after
            its end, or decompresses to more than 1 GiB and `max_expansion` times its stored size.
    """
    if compression == "none":
        yield file
    elif compression == "gzip":
        yield _Guard(file, _Gzip(file), max_expansion, file.identity.size)
    elif compression == "zstd":
        raw = pa.PythonFile(cast("Any", file_like(file)), mode="r")
        with pa.CompressedInputStream(raw, "zstd") as stream:
            yield _Guard(file, stream, max_expansion, file.identity.size)
    else:
        assert member is not None  # noqa: S101  # discovery makes a slice a member
        with open_zip(file) as archive:
            info = archive.getinfo(member)
            try:
                opened = archive.open(info)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
                raise _damaged(file, 0, error) from error
            with opened:
                stream = cast("Stream", opened)
                yield _Guard(file, stream, max_expansion, info.compress_size)


def zip_members(file: Stored) -> list[str]:
    """Return the names of the files in a zip archive, sorted.

    Names are only names: nothing is written to disk under them. Directories and the resource
    forks that macOS adds (`__MACOSX/`) are left out.

    Raises:
        SourceError: If it is no whole zip archive, a member is encrypted, or a name is not unique.
    """
    with open_zip(file) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir()]
        infos = [i for i in infos if not i.filename.startswith("__MACOSX/")]
    names = sorted(i.filename for i in infos)
    if any(i.flag_bits & 1 for i in infos):
        msg = f"zip members must not be encrypted; got one in {file.name}; decrypt it first"
        raise SourceError(msg)
    if len(set(names)) < len(names):
        msg = f"names in a zip archive must be unique; got one twice in {file.name}; repack it"
        raise SourceError(msg)
    return names


def member_uri(uri: str, member: str) -> str:
    """Return the source name of an archive member; `!`, `@` and `%` in its name are escaped."""
    return f"{uri}!{quote(member, errors='surrogatepass')}"


@contextmanager
def open_zip(file: Stored) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Raises:
        SourceError: If its directory cannot be read.
    """
    try:
        archive = zipfile.ZipFile(cast("Any", file_like(file)))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(file, 0, error) from error
    with archive:
        yield archive


class _Gzip:
    """gzip members through ISA-L (0.46 CPU s for 500 MB of JSON, zlib 1.1)."""

    def __init__(self, file: Stored) -> None:
        self._file = file
        self._member: Any = None
        self._input = b""
        self._members = 0

    def readinto(self, view: memoryview) -> int:
        while True:
            if not self._input:
                self._input = self._file.read(_PIECE)
            if self._member is None and not self._begin():
                return 0
            out = self._member.decompress(self._input, len(view))
            if self._member.eof:
                self._input = self._member.unused_data
                self._member = None
            else:
                if not out and not self._input:
                    msg = "the last member is cut off"
                    raise EOFError(msg)
                self._input = self._member.unconsumed_tail
            if out:
                view[: len(out)] = out
                return len(out)

    def _begin(self) -> bool:
        """Start the next member, after zero padding if one came before; False at the end."""
        while self._members and self._input:
            self._input = self._input.lstrip(b"\0") or self._file.read(_PIECE)
            if not self._input.startswith(b"\0"):
                break
        if len(self._input) < len(_GZIP):
            self._input += self._file.read(_PIECE)
        if not self._input:
            return False
        if not self._input.startswith(_GZIP):
            msg = "bytes that are no gzip member follow the last one"
            raise ValueError(msg)
        self._member = isal_zlib.decompressobj(31)
        self._members += 1
        return True


class _Guard:
    """Counts what comes out, names the place of damage, and stops bombs."""

    def __init__(self, file: Stored, stream: Stream, max_expansion: int, stored: int) -> None:
        self._file = file
        self._stream = stream
        self._out = 0
        self._limit = max(_FREE_BYTES, max_expansion * stored)
        self._stored = stored

    def readinto(self, view: memoryview) -> int:
        try:
            n = self._stream.readinto(view)
        except SourceError:
            raise
        except (  # type: ignore[misc]  # its stub says it is a value
            EOFError,
            OSError,
            ValueError,
            zlib.error,
            isal_zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise _damaged(self._file, self._out, error) from error
        self._out += n
        if self._out > self._limit:
            msg = (
                f"a compressed file may expand to 1 GiB and {self._limit // max(self._stored, 1)} "
                f"times its size; got more from {self._stored} bytes of {self._file.name}; if it "
                "is no bomb, raise source.batch.files.max_expansion"
            )
            raise SourceError(msg)
        return n


def _damaged(file: Stored, position: int, error: Exception) -> SourceError:
    return SourceError(
        f"compressed files must be whole; got damage in {file.name} after {position} decompressed "
        f"bytes ({type(error).__name__}: {error}); nothing was written: get a whole copy"
    )


def file_like(file: Stored) -> Any:
    """Return the file as readers of seekable formats (zip, Parquet, Avro) want it."""
    return _FileLike(file)


class _FileLike:
    closed = False

    def __init__(self, file: Stored) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        rest = self._file.identity.size - self._file.offset
        return self._file.read(rest if size is None or size < 0 else max(min(size, rest), 0))

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._file.offset, self._file.identity.size)[whence]
        if base + offset < 0:
            msg = "negative seek"
            raise ValueError(msg)
        self._file.seek(base + offset)
        return base + offset

    def tell(self) -> int:
        return self._file.offset

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None: ...

    def close(self) -> None: ...
