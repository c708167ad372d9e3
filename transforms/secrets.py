"""Secret texts by reference: `env:NAME` or `file:path`; messages name references, never values."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from schemas.errors import UsageError


def read_secret(reference: str, folder: Path) -> str:
    """Read the text that a reference names.

    Args:
        reference: `env:NAME` or `file:path` (relative to the pipeline folder).
        folder: The pipeline folder.

    Raises:
        UsageError: It cannot be read, or is a file that others than its owner can read.
    """
    scheme, _, name = reference.partition(":")
    if scheme == "env" and name:
        text = os.environ.get(name)
        if text is None:
            msg = f"{reference} must be set; got no such environment variable; export {name}"
            raise UsageError(msg)
        return text
    if scheme == "file" and name:
        return _read(folder / name, reference)
    msg = f"a secret's reference must be env:NAME or file:path; got {reference!r}; change it"
    raise UsageError(msg)


def _read(path: Path, reference: str) -> str:
    try:
        if path.is_dir():  # which can be opened, but not read
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        msg = (
            f"{reference} must be a readable file; got {error.strerror} for {path}; "
            "restore it (without a key old pseudonyms cannot be made again) or change the reference"
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
