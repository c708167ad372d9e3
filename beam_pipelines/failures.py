"""Errors of ours that come back through a runner, as themselves.

A runner reports what a worker raised as text: a traceback inside a `RuntimeError`. A person gets
the message that was meant, without the traceback.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from schemas import errors
from schemas.errors import PenstockError

_OURS = re.compile(r"^(?:[\w]+\.)+(\w+): (.*?)(?: \[while running '[^']*'\])?$", re.DOTALL)
_WHERE = re.compile(r" \[while running '[^']*'\]$")
_ERRNO = re.compile(r"\[[Ee]rrno (\d+)\]")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_START = re.compile(r"^(?:[A-Za-z_]\w*\.)+(\w+): ", re.MULTILINE)


@contextmanager
def told() -> Iterator[None]:
    """Raise the PenstockError that a runner's error carries; let everything else through."""
    # Beam logs a worker's traceback at ERROR before it raises it.
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:
        where = _WHERE.search(str(error))
        if isinstance(error, PenstockError) and where is None:
            raise
        known = (
            _plain(error, where)
            if where and isinstance(error, PenstockError)
            else carried(str(error)) or _of_the_disk(str(error))
        )
        if known is None:
            raise
        raise known from None
    finally:
        logger.setLevel(level)


def _of_the_disk(text: str) -> PenstockError | None:
    """Say what a worker meant that could not write; the last such line counts."""
    found = [int(code) for code in _ERRNO.findall(text)]
    if not found or found[-1] not in _DISK:
        return None
    return PenstockError(
        f"the disk under --out must be writable and have room; got: {os.strerror(found[-1])}; "
        "nothing of this run was landed: free space or choose another --out, and run again"
    )


def _plain(error: PenstockError, where: re.Match[str]) -> PenstockError:
    made = PenstockError(str(error)[: where.start()])
    made.exit_code = error.exit_code
    return made


def carried(text: str) -> PenstockError | None:
    """Return the error of ours that a traceback's text ends with, or None."""
    starts = [m for m in _START.finditer(text) if _class(m.group(0))]
    if not starts:
        return None
    match = _OURS.match(text[starts[-1].start() :].strip())
    kind = _class(starts[-1].group(0))
    if match is None or kind is None:
        return None
    made = PenstockError(match.group(2))
    made.exit_code = kind.exit_code
    return made


def _class(qualified: str) -> type[PenstockError] | None:
    module, _, name = qualified.rstrip(": ").rpartition(".")
    for kind in _all(PenstockError):
        if kind.__name__ == name and kind.__module__ == module:
            return kind
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, PenstockError) else None


def _all(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _all(child)
