"""Secrets by reference: what pseudonyms and sealed records are made with."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Collection
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

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all of them, oldest first."""
        return tuple(key.id for key in self.keys)

    def by_id(self, key_id: str) -> Key | None:
        """Find the key that an older pseudonym or sealed record was made with."""
        return next((key for key in self.keys if key.id == key_id), None)


def keep_key(reference: str, folder: Path, used: Collection[str] | None, *, anew: bool) -> Keyring:
    """Read the keys of a run and check that those of the rows that landed are among them.

    The key of `DEFAULT_REFERENCE` is made if there is none and nothing has been made with it.

    Args:
        reference: See `resolve`.
        folder: The pipeline folder.
        used: Ids of keys that landed rows may be protected with; None: not known.
        anew: Go on without them.

    Raises:
        UsageError: See `resolve`; or a key is lost: values made with another one would not join
            with those that landed, and what it sealed could not be opened.
    """
    path = folder / DEFAULT_REFERENCE.removeprefix("file:")
    own = reference == DEFAULT_REFERENCE
    if own and not path.exists():
        if (used is None or used) and not anew:
            raise UsageError(_lost(reference, f"no file {path}", used))
        make_default_key(folder)
    ring = resolve(reference, folder)
    lost = [key_id for key_id in used or () if ring.by_id(key_id) is None]
    if lost and not anew:
        raise UsageError(_lost(reference, f"only {', '.join(ring.ids)}", lost))
    return ring


def _lost(reference: str, found: str, lost: Collection[str] | None) -> str:
    ids = f" (id {', '.join(sorted(lost))})" if lost else ""
    return (
        f"{reference} must hold the key that landed rows were protected with{ids}; got {found}; "
        "restore it (a newer key may stand after it), or go on with --new-key: pseudonyms of "
        "earlier rows will not join with new ones, and sealed records of theirs cannot be opened; "
        "nothing was written"
    )


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
