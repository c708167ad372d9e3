"""Secrets by reference: what pseudonyms and sealed records are made with."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.errors import UsageError

DEFAULT_REFERENCE: Final = "file:.penstock-key"
SHORTEST: Final = 16
"""Characters a secret must have at least; ours have 44 (32 random bytes in base64)."""


@dataclass(frozen=True)
class Key:
    """One secret text; its UTF-8 bytes are the HMAC key. Printing it shows the id only."""

    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        """First 8 hex digits of the secret's SHA-256: names the key, says nothing about it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()[:8]

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled, so that no key travels inside a pipeline."""
        msg = "a key must stay in its process; got a request to pickle it; pass its reference"
        raise TypeError(msg)


@dataclass(frozen=True)
class Keyring:
    """Keys of one reference, oldest first; the newest one (the last) is used for new values.

    Never part of a pickled pipeline: DoFns hold the reference and resolve it in `setup`.
    """

    keys: tuple[Key, ...]

    @property
    def newest(self) -> Key:
        """The key that new pseudonyms and sealed records are made with."""
        return self.keys[-1]

    def by_id(self, key_id: str) -> Key | None:
        """Find the key that an older pseudonym or sealed record was made with."""
        return next((key for key in self.keys if key.id == key_id), None)


def resolve(reference: str, folder: Path) -> Keyring:
    """Read the keys that a reference names.

    Args:
        reference: `env:NAME` or `file:path` (relative to the pipeline folder). Both hold one or
            more secrets separated by white space, oldest first; in files, lines that begin with
            `#` are comments.
        folder: The pipeline folder.

    Raises:
        UsageError: When the reference cannot be read, names no key or too short a one, or the file
            can be read by others than its owner. The message names the reference, never a key.
    """
    scheme, _, name = reference.partition(":")
    if scheme == "env" and name:
        text = os.environ.get(name)
        if text is None:
            msg = f"{reference} must be set; got no such environment variable; export {name}"
            raise UsageError(msg)
    elif scheme == "file" and name:
        text = _read(folder / name, reference)
    else:
        msg = f"a key reference must be env:NAME or file:path; got {reference!r}; change it"
        raise UsageError(msg)
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    keys = tuple(Key(secret) for line in lines for secret in line.split())
    if not keys or any(len(key.secret) < SHORTEST for key in keys):
        msg = (
            f"{reference} must hold secrets of at least {SHORTEST} characters; "
            f"got {'a shorter one' if keys else 'none'}; make one with `openssl rand -base64 32`"
        )
        raise UsageError(msg)
    return Keyring(keys)


def _read(path: Path, reference: str) -> str:
    try:
        if path.is_dir():  # which can be opened, but not read
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        msg = (
            f"{reference} must be a readable file; got {error.strerror} for {path}; "
            "restore it (without it old pseudonyms cannot be made again) or change the reference"
        )
        raise UsageError(msg) from error
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & 0o077:
            msg = (
                f"{reference} must be readable by its owner only; got mode {mode:04o}; "
                f"run: chmod 600 {path}"
            )
            raise UsageError(msg)
        return file.read()


def make_default_key(folder: Path) -> bool:
    """Make the key file of DEFAULT_REFERENCE unless it is there; return whether it was made.

    Mode 0600; whole or not there at all, and of several processes one makes it.
    """
    path = folder / DEFAULT_REFERENCE.removeprefix("file:")
    if path.exists():
        return False
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails if another process was first
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
