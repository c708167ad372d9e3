"""What is kept of changes in `out/changes/`, so that `evolve` needs no other run.

It is written before the rows land: a disk that is full then fails nothing that has landed. What is
tried again is not counted again, since the positions that were counted are kept, too, until the
lake says that they are done.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas.plan import Plan
from transforms.changes.meet import SchemaChangeError
from transforms.changes.seen import MAY_LACK, Change, Kind, many, merged
from transforms.commit import ranges
from transforms.commit.ranges import Ranges

FOLDER: Final = "changes"

_PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.02


class Evidence(NamedTuple):
    """How the records at some positions differ from their contract."""

    positions: Ranges
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Kept:
    """What the file says.

    Attributes:
        changes: What was seen.
        counted: Positions whose changes are among them, and that were not done when it was written.
    """

    changes: tuple[Change, ...] = ()
    counted: Ranges = field(default_factory=dict)


def changes_file(plan: Plan) -> Path:
    """Return where the changes of a pipeline are kept: what they are, and no value."""
    return plan.out / FOLDER / f"{plan.name}.json"


def keep_changes(
    plan: Plan, evidence: Iterable[Evidence], done: Ranges, *, anew: bool = False
) -> None:
    """Add changes to those that are kept, of this contract; others are of no use any more.

    Each position counts once, however often it is handed in. Records that are cut into other
    batches when they are read again count at least as often as is certain: of a batch that was
    counted in part, as many as the new positions must hold. What the contract says may be is none
    that it could have, and what few records have (`Change.few`) is none to begin with. Several
    processes may do so at once.

    Args:
        plan: Whose changes.
        evidence: What was seen.
        done: Positions that have landed.
        anew: Forget what is kept: everything is read again.

    Raises:
        OSError: The disk is full, or not writable, or whoever writes does not let go; what was
            kept before is still there.
    """
    seen = [
        one._replace(changes=changes)
        for one in evidence
        if (changes := tuple(change for change in one.changes if change.mode != MAY_LACK))
    ]
    path = changes_file(plan)
    told = any(many(one.changes) for one in seen)
    if not (told or (seen and not anew and path.exists())):
        if anew:
            path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent / f".{path.name}.lock"):
        # What has landed is read again, too, and what was seen of it is forgotten.
        now = _with(_Kept(), seen, {}) if anew else _with(_read(plan), seen, done)
        if now is None:
            return
        text = {
            "contract": plan.contract.hash,
            "changes": [change.json() for change in now.changes],
            "counted": now.counted,
        }
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def kept_changes(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that were seen by a pipeline's contract as it is; none if none were."""
    return many(_read(plan).changes)


def since(before: Sequence[Change], now: Sequence[Change]) -> tuple[Change, ...]:
    """Return what has been seen since: changes that are new, or of more records."""
    old = {c.what: c.rows for c in before}
    rows = [(c, c.rows - old.get(c.what, 0)) for c in now]
    return tuple(replace(change, rows=more) for change, more in rows if more > 0)


@contextmanager
def noted(plan: Plan, positions: Ranges) -> Iterator[None]:
    """Keep what was found when a change ends a run, which nobody else hears of.

    Args:
        plan: Whose changes.
        positions: Of the records that the block decodes.
    """
    try:
        yield
    except SchemaChangeError as error:
        with suppress(OSError):  # of the two, the change is what ends the run
            keep_changes(plan, [Evidence(positions, error.changes)], {})
        raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes out, but wait for none for ever: it may have been stopped."""
    with path.open("a") as lock:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path)) from None
                time.sleep(_LOOK_S)
        yield


def _read(plan: Plan) -> _Kept:
    try:
        told = json.loads(changes_file(plan).read_text(encoding="utf-8"))
        if told["contract"] != plan.contract.hash:
            return _Kept()
        return _Kept(tuple(map(Change.of_json, told["changes"])), _ranges(told.get("counted", {})))
    except (OSError, ValueError, TypeError, KeyError):
        return _Kept()


def _ranges(told: dict[str, Any]) -> Ranges:
    return {source: [(start, end) for start, end in own] for source, own in told.items()}


def _with(before: _Kept, seen: Sequence[Evidence], done: Ranges) -> _Kept | None:
    """Count what is new; None if nothing is."""
    counted = ranges.missing(before.counted, done)
    known = {change.what for change in before.changes}
    more: list[Change] = []
    for one in seen:
        new = ranges.missing(one.positions, ranges.merged(done, counted))
        if new:
            old = ranges.size(one.positions) - ranges.size(new)
            more += _certain(one.changes, old, known)
            counted = ranges.merged(counted, new)
    return _Kept(merged([*before.changes, *more]), counted) if more else None


def _certain(
    changes: Sequence[Change], old: int, known: set[tuple[Kind, str, str]]
) -> Iterator[Change]:
    """Yield changes with as many rows as are certainly new, `old` positions having been counted."""
    for change in changes:
        if old and change.what in known:
            change = replace(change, rows=max(change.rows - old, 0))  # noqa: PLW2901
        yield change
