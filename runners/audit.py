"""The audit log: what was done that a person may have to answer for, one line of JSON each.

A line holds the hash of the one before it, so that a line that was changed, taken out or put in
between shows. Whoever can write the file can write all of it anew: keep the last hash elsewhere if
that matters.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

FILE: Final = "logs/audit.jsonl"
"""From the folder that a run leaves everything in."""
FIRST: Final = "0" * 64
"""What the first line has as the hash before it."""


def append(out: Path, action: str, **fields: Any) -> None:
    """Write one line, on disk before it returns; several processes may do so at once.

    Args:
        out: Where a run leaves everything.
        action: What was done, a short stable name.
        fields: What belongs to it, JSON values; never values of the data.
    """
    path = out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "action": action,
            "user": user(),
            **fields,
            "previous": _last(file),
        }
        file.write(_line(entry | {"hash": _hash(entry)}))
        file.flush()
        os.fsync(file.fileno())


def broken(path: Path) -> int | None:
    """Return the number (from 1) of the first line that does not follow from those before it."""
    previous = FIRST
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            entry = json.loads(line)
            said = entry.pop("hash")
        except (ValueError, AttributeError, KeyError):
            return number
        if entry.get("previous") != previous or said != _hash(entry):
            return number
        previous = said
    return None


def _last(file: IO[bytes]) -> str:
    """Return the hash of the last line; of one that was cut short, that of its bytes."""
    file.seek(0)
    data = file.read()
    if not data:
        return FIRST
    if not data.endswith(b"\n"):
        file.write(b"\n")
    try:
        return str(json.loads(data.splitlines()[-1])["hash"])
    except (ValueError, TypeError, KeyError):
        return hashlib.sha256(data.splitlines()[-1]).hexdigest()


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_line(entry)).hexdigest()


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def user() -> str:
    """Return the name of the person (or account) that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id that nobody named
        return f"uid {os.getuid()}"
