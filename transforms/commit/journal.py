"""Rows of `_commits`: what they say, and how they are read without opening older files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import And, EqualTo, GreaterThan, Or
from pyiceberg.table import Table

from transforms.commit.iceberg import Stored
from transforms.commit.ranges import Ranges
from transforms.commit.tables import COMMITS
from transforms.commit.times import Hints

ID: Final = "penstock.commit"
OP: Final = "penstock.op"
STATE: Final = "penstock.state"
BASE: Final = "penstock.base"
"""Snapshot summary keys; BASE (on `_commits`) is the sequence number of the newest base row."""

KEPT_DAYS: Final = 7
"""How long rows are kept for followers."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of `_commits`.

    Attributes:
        seq: Sequence number; an intent and its done or void share it.
        commit_id: Made new for each attempt.
        state: intent, done, void or base.
        done: Positions that this commit makes done (base: all that are).
        parts: Table -> manifests of the data files to add and to take out.
        snapshots: Table -> snapshot of the last done commit (intent) or after this one.
        totals: Table -> rows there.
        windows: Aggregate -> touched window starts, microseconds, sorted; or, of sessions, which
            begin anywhere, rows [first, last] of stretches in which starts are touched.
        hints: Spans of manifests (base only).
        owed: Aggregate -> starts of windows that got rows here, but whose own rows a later commit
            writes (base: all that are owed).
    """

    seq: int
    commit_id: str
    run_id: str
    state: str
    op: str
    at: datetime
    done: Ranges
    parts: dict[str, Stored]
    snapshots: dict[str, int]
    totals: dict[str, int]
    windows: dict[str, np.ndarray] = field(default_factory=dict)
    hints: Hints = field(default_factory=dict)
    owed: dict[str, np.ndarray] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the row as it is stored."""
        texts = {
            "done": self.done,
            "parts": self.parts,
            "snapshots": self.snapshots,
            "totals": self.totals,
            "windows": {name: _runs(starts) for name, starts in self.windows.items()},
            "hints": self.hints,
            "owed": {name: _runs(starts) for name, starts in self.owed.items()},
        }
        plain = {n: getattr(self, n) for n in COMMITS.names if n not in texts}
        return plain | {n: json.dumps(v, separators=(",", ":")) for n, v in texts.items()}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Entry:
        """Read a stored row."""
        windows, owed = json.loads(row["windows"]), json.loads(row.get("owed") or "{}")
        return cls(
            **{n: row[n] for n in ("seq", "commit_id", "run_id", "state", "op", "at")},
            done={s: [(a, b) for a, b in rs] for s, rs in json.loads(row["done"]).items()},
            parts={t: [(p, s) for p, s in ms] for t, ms in json.loads(row["parts"]).items()},
            snapshots=json.loads(row["snapshots"]),
            totals=json.loads(row["totals"]),
            windows={name: _starts(runs) for name, runs in windows.items()},
            hints=json.loads(row["hints"]),
            owed={name: _starts(runs) for name, runs in owed.items()},
        )


def entries_table(entries: list[Entry]) -> pa.Table:
    """Return entries as rows of `_commits`."""
    return pa.Table.from_pylist([e.row() for e in entries], schema=COMMITS)


def base_of(commits: Table) -> int:
    """Return the sequence number of the newest base row, 0 if there is none."""
    head = commits.current_snapshot()
    return int(_said(head, BASE) or 0)


def tail(commits: Table, known: int = 0) -> list[Entry]:
    """Return the rows after `known`, or the newest base row and those after it, in order.

    File bounds skip everything older.
    """
    if commits.current_snapshot() is None:
        return []
    base = base_of(commits)
    newer = GreaterThan("seq", max(base, known))
    wanted = (
        newer if known >= base else Or(And(EqualTo("state", "base"), EqualTo("seq", base)), newer)
    )
    return _read(commits, wanted)


def after(commits: Table, seq: int) -> list[Entry]:
    """Return all kept rows after `seq` but base rows, archives included, in order."""
    if commits.current_snapshot() is None:
        return []
    return [e for e in _read(commits, GreaterThan("seq", seq)) if e.state != "base"]


def is_open(commits: Table, commit_id: str) -> bool:
    """Whether the intent is open: it is exactly while it is the head. No file is read."""
    head = commits.current_snapshot()
    return _said(head, STATE) == "intent" and _said(head, ID) == commit_id


def is_head(commits: Table, entry: Entry) -> bool:
    """Whether this row is the newest one. No file is read."""
    head = commits.current_snapshot()
    return _said(head, STATE) == entry.state and _said(head, ID) == entry.commit_id


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def _read(commits: Table, wanted: Any) -> list[Entry]:
    rows = commits.scan(wanted).to_arrow().to_pylist()
    return sorted((Entry.of(r) for r in rows), key=lambda e: (e.seq, e.state != "intent"))


def _said(snapshot: Any, key: str) -> str | None:
    return None if snapshot is None or snapshot.summary is None else snapshot.summary.get(key)


def _runs(starts: np.ndarray) -> list[list[int]]:
    """Write sorted numbers as [first, step, count]: windows that lie side by side take one run.

    Stretches stay [first, last].
    """
    if starts.ndim == 2:
        return starts.tolist()
    steps = np.diff(starts)
    cuts = np.flatnonzero(np.diff(steps)) + 1 if len(steps) > 1 else np.array([], int)
    out: list[list[int]] = []
    at = 0
    for end in [*cuts.tolist(), len(starts) - 1]:
        if end > at:
            out.append([int(starts[at]), int(steps[at]), end - at + 1])
            at = end + 1
        elif end == at:
            out.append([int(starts[at]), 0, 1])
            at = end + 1
    return out


def _starts(runs: list[list[int]]) -> np.ndarray:
    if runs and len(runs[0]) == 2:
        return np.array(runs, np.int64)
    parts = [first + step * np.arange(count, dtype=np.int64) for first, step, count in runs]
    return np.concatenate(parts) if parts else np.array([], np.int64)
