"""Where files are: local paths, globs and directories, and URLs of any pyarrow or fsspec store."""

from __future__ import annotations

import glob
import io
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from schemas.errors import MissingError, SourceError
from schemas.references import is_url, public, resolve
from transforms.sources.identity import Identity

_ARROW_SCHEMES: Final = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "hdfs"})
_MAGIC: Final = frozenset("*?[")
_OPTION: Final = "--input or source.batch.files.path"
_CORRECT: Final = f"correct {_OPTION}"


class Raw(Protocol):
    """An open file: unbuffered reads from anywhere."""

    def readinto(self, view: memoryview, /) -> int | None:
        """Fill the view as far as one read goes; 0 at the end."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to an offset."""
        ...

    def read(self, size: int = -1, /) -> bytes | None:
        """Return up to `size` bytes."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that was found.

    Attributes:
        uri: Its stable name: `file:///...` or the URL; `!`, `@` and `%` of names are escaped,
            user, password and query are left out.
        path: What opens it: a local path, or the URL as given.
        identity: Its version when it was found.
    """

    uri: str
    path: str
    identity: Identity


def expand(path: str, folder: Path) -> list[StoredFile]:
    """Return the files that a path, glob, directory or URL names, sorted by URI.

    A directory stands for all files below it but hidden ones (`.x`, `_x`), as in Spark and Arrow.
    Links are followed, so a file has one URI however it is reached.

    References (`${NAME}`) take their values here, and messages show them as they are written.

    Raises:
        MissingError: If nothing is there.
        SourceError: It may not be read.
        MissingReferenceError: A reference has no value.
    """
    place = resolve(path)
    if place.startswith("file://"):
        place = url2pathname(urlsplit(place).path)
    try:
        found = _remote(place) if is_url(place) else _local(folder / place)
    except PermissionError:
        raise SourceError(_unreadable(path)) from None
    except (OSError, ImportError, ValueError) as error:
        msg = (
            "the source must be a readable path, glob, directory or URL; "
            f"got {_shown(path)}, {_why(error, place)}; {_CORRECT}"
        )
        kind = MissingError if isinstance(error, FileNotFoundError) else SourceError
        raise kind(msg) from None  # a store's error repeats its URL
    if not found:
        msg = f"the source must name at least one file; got none at {_shown(path)}; {_CORRECT}"
        raise MissingError(msg)
    by_uri = {file.uri: file for file in found}
    return [by_uri[uri] for uri in sorted(by_uri)]


def corrected(error: SourceError, option: str) -> SourceError:
    """Return an error of files that no pipeline names, with what a person has to correct.

    It is no `MissingError`: of such files the contract does not say how to get them.
    """
    return SourceError(str(error).replace(_OPTION, option))


def _shown(path: str) -> str:
    """Return a path for a message: a URL also when its password breaks it."""
    return public(path) if "@" not in path else f"...@{public(path).rpartition('@')[2]}"


def _why(error: Exception, place: str) -> str:
    """Say what a store said, without the file name and class that its error repeats."""
    if isinstance(error, FileNotFoundError):
        return "which is not there"
    if isinstance(error, OSError) and error.strerror:
        return f"where the store says: {error.strerror}"
    if is_url(place):  # what a library says of a URL may hold all of it, with its password
        if isinstance(error, ImportError):
            return f"whose store needs a library that is not installed{_library(place)}"
        return "which is no URL of a store that is known here"
    return f"where the store says: {error}"


def _library(place: str) -> str:
    """Name the library that the store of a URL needs, as far as that is known."""
    from importlib.metadata import metadata  # noqa: PLC0415  # not needed for local files

    from fsspec.registry import known_implementations  # noqa: PLC0415

    scheme = urlsplit(place).scheme
    known = known_implementations.get(scheme, {}).get("err", "")
    extra = "http" if scheme == "https" else scheme
    extras = metadata("fsspec").get_all("Provides-Extra") or ()
    way = f"pip install 'fsspec[{extra}]'" if extra in extras else ""
    return "".join(f": {part}" for part in (known, way) if part)


def _unreadable(path: str) -> str:
    shown = _shown(path)
    return f"every file of the source must be readable; got permission denied at {shown}; grant it"


def identify(path: str) -> Identity:
    """Return the version of a file as its store has it now.

    Raises:
        FileNotFoundError: If it is gone.
    """
    if not is_url(path):
        return _identity_of(Path(path).stat())
    fs, inner = filesystem(path)
    fs.invalidate_cache()
    return _identity_in(fs.info(inner))


def open_raw(path: str) -> Raw:
    """Open a file for unbuffered reads."""
    if not is_url(path):
        return cast("Raw", io.FileIO(path))
    fs, inner = filesystem(path)
    return cast("Raw", fs.open(inner, "rb"))


def filesystem(url: str) -> tuple[Any, str]:
    """Return an fsspec filesystem and the path in it: pyarrow's own where it has one."""
    import fsspec  # noqa: PLC0415  # not needed for local files

    if urlsplit(url).scheme in _ARROW_SCHEMES:
        from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415
        from pyarrow import fs  # noqa: PLC0415

        arrow, inner = fs.FileSystem.from_uri(url)
        return ArrowFSWrapper(arrow), inner
    found, inner = fsspec.core.url_to_fs(url)
    return found, inner


def _local(path: Path) -> list[StoredFile]:
    if path.is_dir():
        walk = (Path(top) / name for top, _, names in os.walk(path) for name in names)
        paths = [p for p in walk if not _hidden(p.relative_to(path).parts)]
    elif _MAGIC & set(str(path)) and not path.exists():
        paths = [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207  # absolute
        paths = [p for p in paths if not p.is_dir()]
    else:
        paths = [path]
        path.stat()
    # Not `Path.resolve`, to which a link that leads to itself is no error of the system.
    return [_local_file(Path(os.path.realpath(p))) for p in paths]


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _local_file(path: Path) -> StoredFile:
    try:
        status = path.stat()
    except PermissionError:
        raise SourceError(_unreadable(str(path))) from None
    except OSError as error:
        msg = f"every file of the source must be there; got {path}: {error.strerror}; {_CORRECT}"
        raise SourceError(msg) from None
    if not stat.S_ISREG(status.st_mode):
        msg = f"every file of the source must be a regular file; got {path}; {_CORRECT}"
        raise SourceError(msg)
    if not os.access(path, os.R_OK):
        raise SourceError(_unreadable(str(path)))
    return StoredFile(uri=path.as_uri(), path=str(path), identity=_identity_of(status))


def _identity_of(status: os.stat_result) -> Identity:
    return Identity(
        size=status.st_size,
        modified_us=status.st_mtime_ns // 1000,
        changed_ns=status.st_ctime_ns,
    )


def _remote(url: str) -> list[StoredFile]:
    fs, inner = filesystem(url)
    if _MAGIC & set(inner) and not fs.exists(inner):
        infos = list(fs.glob(inner, detail=True).values())
    elif fs.isdir(inner):
        root = inner.rstrip("/") + "/"
        found = fs.find(inner, detail=True)
        infos = [
            info
            for name, info in found.items()
            if not _hidden(tuple(name.removeprefix(root).split("/")))
        ]
    else:
        infos = [fs.info(inner)]
    infos = [info for info in infos if info["type"] == "file"]
    return [_remote_file(url, inner, info) for info in infos]


def _remote_file(url: str, inner: str, info: dict[str, Any]) -> StoredFile:
    """Return a file that a store found under `inner`, which is the store's name for `url`."""
    name = str(info["name"])
    if not is_url(name):
        base, _, rest = url.rpartition(inner.strip("/"))
        query = urlsplit(url).query if rest.lstrip("/").startswith("?") else ""
        name = f"{base}{name.lstrip('/')}" + (f"?{query}" if query else "")
    scheme, host, path, *_ = urlsplit(public(name))
    uri = urlunsplit((scheme, host, quote(unquote(path)), "", ""))
    return StoredFile(uri=uri, path=name, identity=_identity_in(info))


def _identity_in(info: dict[str, Any]) -> Identity:
    when = next(
        (info[k] for k in ("mtime", "LastModified", "created", "updated") if info.get(k)), 0
    )
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    if info.get("size") is None:
        msg = f"a store must tell the size of a file; got none for {info['name']}"
        raise OSError(msg)
    return Identity(
        size=int(info["size"]),
        modified_us=round(seconds * 1e6),
        etag=None if tag is None else str(tag).strip('"'),
    )
