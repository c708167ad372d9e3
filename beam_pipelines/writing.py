"""Files that are written for a person: a place that cannot be written is said in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import PenstockError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence that a file, or a folder of files, cannot be written.

    Raises:
        PenstockError: That.
    """
    try:
        yield
    except OSError as error:
        got = os.strerror(error.errno) if error.errno else type(error).__name__
        msg = f"{path} must be a place that can be written; got: {got}; free space or name another"
        raise PenstockError(msg) from None
