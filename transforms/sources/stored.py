"""A file being read: it must be the version that was planned, before, while and after."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn, Self

from schemas.errors import SourceError
from schemas.references import public
from transforms.sources.identity import ChunkHasher, Identity
from transforms.sources.places import identify, open_raw


class Stored:
    """An open file that refuses to be anything but the planned version.

    A context manager: entering and leaving compares the store's identity with the planned one,
    so that what was read in between is what both passes over a file see.

    Args:
        path: Local path or URL.
        identity: The planned version.
        hasher: Takes the stored bytes as they pass.

    Raises:
        SourceError: On entering, reading or leaving, if the file is gone or has changed.
    """

    def __init__(self, path: str, identity: Identity, hasher: ChunkHasher | None = None) -> None:
        """Keep the plan; nothing is opened yet."""
        self.path = path
        self.name = public(path)
        self.identity = identity
        self.offset = 0
        self._hasher = hasher

    def __enter__(self) -> Self:
        """Open it."""
        self._check()
        try:
            self.raw = open_raw(self.path)
        except OSError as error:
            self._fail(error.strerror or type(error).__name__, error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; a changed file is the better explanation of a failure to read it."""
        self.raw.close()
        if kind is None or not issubclass(kind, GeneratorExit):
            self._check()

    def seek(self, offset: int) -> None:
        """Go to a stored offset."""
        self.raw.seek(offset)
        self.offset = offset

    def readinto(self, view: memoryview) -> int:
        """Fill the whole view with stored bytes, fewer only at the end of the planned size."""
        want = min(len(view), self.identity.size - self.offset)
        got = 0
        try:
            while got < want:
                n = self.raw.readinto(view[got:want])
                if not n:
                    self._fail("it ended early")
                got += n
        except OSError as error:
            self._fail(error.strerror or type(error).__name__, error)
        if self._hasher:
            self._hasher.update(self.offset, view[:got])
        self.offset += got
        return got

    def read(self, size: int) -> bytes:
        """Return up to `size` stored bytes."""
        data = bytearray(min(size, self.identity.size - self.offset))
        self.readinto(memoryview(data))
        return bytes(data)

    def _check(self) -> None:
        try:
            now = identify(self.path)
        except OSError as error:
            self._fail(f"it is gone ({type(error).__name__})", error)
        if now != self.identity:
            size = self.identity.size
            self._fail(f"{size} bytes became {now.size}, or {size} others")

    def _fail(self, what: str, cause: Exception | None = None) -> NoReturn:
        msg = (
            f"a file must not change while it is read; got {self.name}, where {what}; nothing was "
            "written: run again when it is complete"
        )
        raise SourceError(msg) from cause


def hash_stored(path: str, identity: Identity, stop: int) -> bytes:
    """Return the digests of the stored bytes [0, stop), read in one pass (see `hash_of`)."""
    hasher = ChunkHasher(0, stop)
    buffer = memoryview(bytearray(min(1 << 20, max(stop, 1))))
    with Stored(path, identity, hasher) as file:
        while file.offset < stop and file.readinto(buffer[: stop - file.offset]):
            pass
    return hasher.digests()
