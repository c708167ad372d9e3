"""The small files of `_commits` since the last base row become one archive and one base row.

The base row answers what is done; the archive keeps the rows for followers, for seven days.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import EqualTo, GreaterThan, LessThan, Or
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from transforms.commit.bounds import bounds
from transforms.commit.files import read_file, write_files
from transforms.commit.iceberg import Files, send
from transforms.commit.intent import Hand
from transforms.commit.journal import (
    BASE,
    ID,
    KEPT_DAYS,
    OP,
    STATE,
    Entry,
    base_of,
    entries_table,
    now,
)
from transforms.commit.lake import files_at
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo


def fold(hand: Hand, state: State, at: int, processed: str) -> str:
    """Fold when `at` commits have come since the last base row; skipped if somebody moved on.

    The commit before it has landed whatever happens here, so nothing is raised.

    Args:
        hand: Where.
        state: Just asked: no intent is open, and the fold is staged on what was asked.
        at: Commits.
        processed: Full name of the table of kept rows.

    Returns:
        What failed, for a person; empty if nothing did.
    """
    try:
        _fold(hand, state, at, processed)
    except CommitFailedException:  # Somebody moved on, and folds when it is due.
        return ""
    except Exception as error:  # noqa: BLE001 - reported
        refused = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else None
        return (
            f"old commits could not be put together ({refused or type(error).__name__}); the next "
            "commit tries again, and each takes a little longer until one succeeds"
        )
    return ""


def _fold(hand: Hand, state: State, at: int, processed: str) -> None:
    commits = state.commits
    head = commits.current_snapshot()
    base = base_of(commits)
    if head is None or state.seq - base < at:
        return
    info = TableInfo.of(commits)
    small = files_at(
        commits, head.snapshot_id, Or(EqualTo("state", "base"), GreaterThan("seq", base))
    )
    # Files that are older than a column lack it.
    rows = pa.concat_tables([read_file(info, f) for f in small], promote_options="default")
    archive = rows.filter(pc.not_equal(rows["state"], "base")).sort_by("seq")
    entry = Entry(
        seq=state.seq,
        commit_id="",
        run_id="",
        state="base",
        op="base",
        at=now(),
        done=state.done,
        parts={},
        snapshots=state.snapshots,
        totals=state.totals,
        owed=state.owed,
        hints=state.times.hints(hand.lake.load(processed), state.snapshots.get(processed)),
    )
    add = [f for t in (archive, entries_table([entry])) for f in write_files(info, t)]
    summary = {ID: "", STATE: "base", OP: "base", BASE: str(state.seq)}
    gone = Files(add, [*small, *too_old(commits, state.seq)])
    send(hand.lake.catalog, commits, gone, summary, keep=hand.keep)


def too_old(commits: Table, newest: int) -> list[DataFile]:
    """Return the archives that no follower may still ask for; the next fold takes them out.

    Args:
        commits: `_commits` as loaded.
        newest: Sequence number of the last commit: its rows stay whatever their age, as a follower
            may stand there.
    """
    head, info = commits.current_snapshot(), TableInfo.of(commits)
    cutoff = now() - timedelta(days=KEPT_DAYS)
    old = files_at(commits, head and head.snapshot_id, LessThan("at", cutoff.isoformat()))
    limit = int(cutoff.timestamp() * 1_000_000)

    def past(file: DataFile) -> bool:
        kind, seq, end = (bounds(file, info.schema, name) for name in ("state", "seq", "at"))
        if kind is None or seq is None or end is None or kind[0] == "base":
            return False
        return bool(end[1] < limit and seq[1] < newest)

    return [file for file in old if past(file)]
