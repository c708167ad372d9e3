"""The audit log of a folder: who saw or changed personal data; lines are only ever added."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from schemas.plan import Plan

FILE: Final = Path("logs") / "audit.jsonl"
_FIRST: Final = "0" * 64


def note(plan: Plan, action: str, **facts: Any) -> None:
    """Add a line to `<out>/logs/audit.jsonl`; it is on disk when this returns.

    Each line holds the SHA-256 of the one before it (`previous`), so that one taken out or changed
    later shows. Facts say what was done, never a value.

    Args:
        plan: Whose pipeline.
        action: What was done: `dlq.show`, `preview` ...
        facts: More of it, as JSON.
    """
    path = plan.out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line = {
            "at": datetime.now(UTC).isoformat(),
            "by": who(),
            "action": action,
            "pipeline": plan.name,
            **facts,
            "previous": _last(file),
        }
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def who() -> str:
    """Return the name of the person (or account) that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without names of users
        return f"uid {os.getuid()}"


def _last(file: BinaryIO) -> str:
    lines = file.read().splitlines()
    return hashlib.sha256(lines[-1]).hexdigest() if lines else _FIRST
