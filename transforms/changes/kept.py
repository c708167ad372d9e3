"""What is kept of changes in `out/changes/`, so that `evolve` needs no other run."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from schemas.plan import Plan
from transforms.changes.meet import SchemaChangeError
from transforms.changes.seen import MAY_LACK, Change, merged

FOLDER: Final = "changes"


def changes_file(plan: Plan) -> Path:
    """Return where the changes of a pipeline are kept: what they are, and no value."""
    return plan.out / FOLDER / f"{plan.name}.json"


def keep_changes(plan: Plan, changes: Sequence[Change]) -> None:
    """Add changes to those that are kept, of this contract; others are of no use any more.

    What the contract says may be is none that it could have. Several processes may do so at once.
    """
    changes = [change for change in changes if change.mode != MAY_LACK]
    if not changes:
        return
    path = changes_file(plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        every = merged([*kept_changes(plan), *changes])
        told = {"contract": plan.contract.hash, "changes": [change.json() for change in every]}
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def kept_changes(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that were seen by a pipeline's contract as it is; none if none were."""
    try:
        told = json.loads(changes_file(plan).read_text(encoding="utf-8"))
        if told["contract"] != plan.contract.hash:
            return ()
        return tuple(map(Change.of_json, told["changes"]))
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def since(before: Sequence[Change], now: Sequence[Change]) -> tuple[Change, ...]:
    """Return what has been seen since: changes that are new, or of more records."""
    old = {c.what: c.rows for c in before}
    rows = [(c, c.rows - old.get(c.what, 0)) for c in now]
    return tuple(replace(change, rows=more) for change, more in rows if more > 0)


@contextmanager
def noted(plan: Plan) -> Iterator[None]:
    """Keep what was found when a change ends a run, which nobody else hears of."""
    try:
        yield
    except SchemaChangeError as error:
        keep_changes(plan, error.changes)
        raise
