"""An intent declared, carried out and ended: safe to repeat, from any process, at any time.

`_commits` is the only fence. Its history reads intent(1) done(1) intent(2) done(2) ...:

- an intent is appended on the very snapshot that was asked, so of two committers one conflicts;
- nothing but its own done or void may follow, so an intent is open exactly while it is the head;
- every change of every table happens under an open intent, so a table that carries the id of an
  open intent carries it at its head or just below.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from schemas.errors import CommitError
from transforms.commit.iceberg import Files, send, stored
from transforms.commit.journal import (
    BASE,
    ID,
    OP,
    STATE,
    Entry,
    base_of,
    entries_table,
    is_open,
    now,
)
from transforms.commit.lake import Lake
from transforms.commit.patience import patience
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

VOID: Final = "void"
_LAND_TRIES: Final = 60


class OvertakenError(Exception):
    """Somebody else has ended this intent; never leaves this room."""


@dataclass(frozen=True)
class Hand:
    """What carrying out needs.

    Attributes:
        lake: Where.
        keep: Snapshots kept for each table.
        point: Called with the name of each step (tests kill there).
    """

    lake: Lake
    keep: int
    point: Callable[[str], None]


def declare(hand: Hand, commits: Table, intent: Entry) -> bool:
    """Append the intent on the snapshot of `_commits` that was asked: the fence.

    Returns:
        Whether it landed; otherwise the answer must be asked for again.
    """
    try:
        _append(hand, commits, intent)
    except Exception:  # noqa: BLE001 - any exception means unknown; the table knows
        return is_open(hand.lake.commits(), intent.commit_id)
    return True


def finish(hand: Hand, intent: Entry) -> Entry | None:
    """Carry out an intent and write its done row; return when it has ended, whoever ended it.

    If a file of it is gone, it is voided: one's own, too, whose files may have waited for days in
    the savepoint of a stream, where no maintenance sees that they are still wanted.

    Args:
        hand: Where and how.
        intent: A row in state intent.

    Returns:
        The row that ended it, if this call wrote it.

    Raises:
        CommitError: Part of it has landed and files are gone, or the catalog does not take it.
    """
    try:
        return _finish(hand, intent)
    except OvertakenError:
        return None


def _finish(hand: Hand, intent: Entry) -> Entry | None:
    lake = hand.lake
    io = lake.commits().io
    parts = {name: stored(io, manifests) for name, manifests in intent.parts.items()}
    lost = _lost(io, list(parts.values()))
    snapshots, totals = dict(intent.snapshots), dict(intent.totals)
    for name, files in parts.items():
        landed = _land(hand, name, intent, Files([], []) if lost else files, lost=lost)
        snapshots[name] = landed.snapshot_id
        totals[name] = int((landed.summary or {}).get("total-records") or 0)
        hand.point("between tables")
    hand.point("before done")
    ended = replace(
        intent, state=VOID if lost else "done", at=now(), snapshots=snapshots, totals=totals
    )
    for _ in patience():
        commits = lake.commits()
        if not is_open(commits, intent.commit_id):
            return None
        try:
            _append(hand, commits, ended)
        except Exception:  # noqa: BLE001, S112 - conflict or unknown: look again
            continue
        return ended
    msg = f"the end of commit {intent.commit_id} must land; the catalog did not take it; run again"
    raise CommitError(msg)


def _land(hand: Hand, name: str, intent: Entry, files: Files, *, lost: bool) -> Snapshot:
    """Put one table's part in place, once."""
    op = VOID if lost else intent.op
    before = intent.snapshots.get(name)
    last: Exception | None = None
    for _ in patience(_LAND_TRIES):
        # First the table, then whether the intent is open: ids expire with snapshots, and without
        # this second look a sleeper lands an intent twice.
        table = hand.lake.load(name)
        there = _landed(table, intent.commit_id, before)
        if there is not None and _op(there) == op:
            return there
        if not is_open(hand.lake.commits(), intent.commit_id):
            raise OvertakenError
        if there is not None:
            raise _other_op(op, name, intent)
        hand.point("before send")
        try:
            return send(
                hand.lake.catalog,
                table,
                files,
                {ID: intent.commit_id, OP: op},
                keep=hand.keep,
                pinned=() if before is None else (before,),
            )
        except Exception as error:  # noqa: BLE001 - conflict or unknown: look again
            last = error
    msg = (
        f"commit {intent.commit_id} must land in {name}; the catalog did not take it "
        f"({type(last).__name__}); see that nothing else writes to this table, and run again"
    )
    raise CommitError(msg) from last


def _op(snapshot: Snapshot) -> str | None:
    return None if snapshot.summary is None else snapshot.summary.get(OP)


def _other_op(op: str, name: str, intent: Entry) -> Exception:
    if op != VOID:
        return OvertakenError()
    msg = (
        f"commit {intent.commit_id} must be finished from its files; {name} has landed, but "
        "files of other tables are gone; restore the files its manifests name, and run again"
    )
    return CommitError(msg)


def _landed(table: Table, commit_id: str, before: int | None) -> Snapshot | None:
    """Return the snapshot that carries the id, from the head down to the last done one."""
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        if snapshot.snapshot_id == before:
            return None
        if snapshot.summary is not None and snapshot.summary.get(ID) == commit_id:
            return snapshot
    return None


def _lost(io: FileIO, parts: list[Files]) -> bool:
    paths = [file.file_path for files in parts for file in files.add]
    with ThreadPoolExecutor(8) as pool:
        return not all(pool.map(lambda path: io.new_input(path).exists(), paths))


def _append(hand: Hand, commits: Table, entry: Entry) -> None:
    writer = FileWriter(TableInfo.of(commits))
    writer.write(entries_table([entry]))
    summary = {
        ID: entry.commit_id,
        STATE: entry.state,
        OP: entry.op,
        BASE: str(base_of(commits)),
    }
    send(hand.lake.catalog, commits, Files(writer.close(), []), summary, keep=hand.keep)
