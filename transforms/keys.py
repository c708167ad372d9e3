"""Secrets by reference: what pseudonyms and sealed records are made with."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from transforms.secrets import read_secret

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
    text = read_secret(reference, folder)
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    keys = tuple(Key(secret) for line in lines for secret in line.split())
    if not keys or any(len(key.secret) < SHORTEST for key in keys):
        msg = (
            f"{reference} must hold secrets of at least {SHORTEST} characters; "
            f"got {'a shorter one' if keys else 'none'}; make one with `openssl rand -base64 32`"
        )
        raise UsageError(msg)
    return Keyring(keys)


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
