"""A commit planned: what is new, which files go in and out of which table; nothing is visible."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from schemas.errors import CommitError
from schemas.plan import Plan
from transforms.commit import closing, ledger
from transforms.commit.closing import Closed, Closing
from transforms.commit.copies import Settled, without_copies
from transforms.commit.files import write_files
from transforms.commit.iceberg import Files, store
from transforms.commit.ids import Known, Unique
from transforms.commit.journal import Entry, after, now
from transforms.commit.lake import Lake, files_at
from transforms.commit.landed import Landed
from transforms.commit.near import Asked
from transforms.commit.ranges import Ranges, merged
from transforms.commit.refresh import FromLake, Kept
from transforms.commit.sessions import Stored
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo
from transforms.commit.tables import RUNS
from transforms.commit.trim import Fresh, trim
from transforms.sources.identity import SOURCES, forgotten
from transforms.sources.memory import base_of


@dataclass(frozen=True)
class Request:
    """What a caller wants landed; see `Committer.commit`."""

    landed: Sequence[Landed]
    panes: Mapping[str, pa.Table]
    sources: pa.Table | None = None
    recompute: Collection[str] = ()
    rebuild: bool = False
    asked: Asked = field(default_factory=Asked)
    rollup: FromLake = field(default_factory=FromLake)
    closing: Closing | None = None


class _Loaded(dict[str, Table]):
    """Tables, each loaded once for a draft."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def __missing__(self, name: str) -> Table:
        self[name] = self.lake.load(name)
        return self[name]


@dataclass
class Draft:
    """A commit that could be declared on the state it was planned on.

    Attributes:
        parts: Table -> files to put in and take out, in the order of carrying out.
        windows: Aggregate -> touched window starts.
        owed: Aggregate -> starts of windows whose rows a later commit writes.
        tables: As loaded for planning.
        counts: What is new, by destiny, step and rule.
        copies: Rows of those that a dedupe kept, but whose copy had landed meanwhile.
        astray_us: See `copies.Settled`.
    """

    commit_id: str
    seq: int
    op: str
    done: Ranges
    tables: dict[str, Table]
    parts: dict[str, Files] = field(default_factory=dict)
    windows: dict[str, np.ndarray] = field(default_factory=dict)
    owed: dict[str, np.ndarray] = field(default_factory=dict)
    counts: ledger.Counts = field(default_factory=dict)
    copies: int = 0
    astray_us: int | None = None

    def put(self, table: str, files: Files) -> None:
        """Add a table's part if there is anything in it."""
        if files.add or files.remove:
            self.parts[table] = files


@dataclass(frozen=True, kw_only=True)
class Drafter:
    """Plans the commits of one run.

    Attributes:
        started: When the run began, seconds since the epoch.
        plan_text: The plan's JSON form.
        keys: Ids of the keys that rows may be protected with, by spaces.
        file_counts: What is known of the rows in data files.
        known_ids: What is known of their ids.
    """

    lake: Lake
    plan: Plan
    run_id: str
    started: float
    plan_text: str
    keys: str | None = ""
    file_counts: ledger.FileCounts = field(default_factory=ledger.FileCounts)
    known_ids: Known = field(default_factory=Known)

    def draft(self, state: State, request: Request, *, book_run: bool) -> Draft | None:
        """Trim what is done, compute touched windows, write the files that workers did not.

        Args:
            state: What was asked.
            request: What is to land.
            book_run: Whether the run has no row in `_runs` yet.

        Returns:
            The draft, or None if nothing would change.

        Raises:
            CommitError: A rebuild began from another state: what landed since would vanish. Or the
                tables were rebuilt since the run asked.
            OvertakenError: A row that is to be closed is no dead letter any more.
        """
        if request.closing is not None:
            return self._closing(state, request, request.closing, book_run=book_run)
        rebuild = request.rebuild
        if rebuild and _landed_since(state, request.asked.seq):
            msg = (
                "a rebuild must replace the lake that it began from; got commits of other runs "
                f"since ({request.asked.seq + 1} to {state.seq}), whose rows would be lost; "
                "nothing was changed: run --rebuild again, with no other run beside it"
            )
            raise CommitError(msg)
        began = max(request.asked.seq, request.asked.began)
        if request.landed and not rebuild and state.seq > began:
            _refuse_rebuilt(state, began)
        done = state.removed if rebuild else merged(state.done, state.removed)
        always = (self.plan.processed, self.plan.operations("refused"))
        others = {n for one in request.landed for n in one.files}.difference(always)
        tables = _Loaded(self.lake)
        infos = {n: TableInfo.of(tables[n]) for n in (*always, *sorted(others))}
        settled = Settled(trim(request.landed, done, infos))
        unique = Unique.of(self.plan)
        if unique is not None and not rebuild and state.seq > request.asked.seq:
            processed = tables[self.plan.processed]
            settled = without_copies(
                settled.fresh, processed, state, request.asked, unique, self.known_ids
            )
        fresh = settled.fresh
        sources = _sources(state.sources, request.sources, rebuild=rebuild)
        anew = rebuild and bool(fresh.done or state.done)
        windowed = [a.name for a in self.plan.aggregates if not a.sessions]
        owed = {name: state.owed[name] for name in windowed if name in state.owed}
        due = request.rollup.due(owed)
        if not (fresh.done or sources is not None or request.recompute or anew or due):
            return None
        op = "rebuild" if rebuild else "append" if fresh.done else "refresh"
        draft = Draft(uuid.uuid4().hex, state.seq + 1, op, fresh.done, tables)
        draft.copies, draft.astray_us = settled.copies, settled.astray_us
        for name in infos:
            at = state.snapshots.get(name) if rebuild else None
            draft.put(name, Files(fresh.files.get(name, []), files_at(tables[name], at)))
        self._aggregates(draft, state, fresh, request, {} if rebuild else owed)
        self._ledger(draft, state, fresh, infos, request)
        if sources is not None:
            self._operations(draft, state, "sources", sources, replace=True)
        if not draft.parts:
            return None
        if book_run:
            self._operations(draft, state, "runs", self._run_row(draft))
        return draft

    def _closing(
        self, state: State, request: Request, wanted: Closing, *, book_run: bool
    ) -> Draft | None:
        """Plan a commit that changes dead letters, and lands those that get another destiny.

        Their positions are done: what is new is told by the refused table alone, row by row.
        """
        _refuse_rebuilt(state, request.asked.seq)
        processed, refused = self.plan.processed, self.plan.operations("refused")
        tables = _Loaded(self.lake)
        infos = {n: TableInfo.of(tables[n]) for n in (processed, refused)}
        closed = closing.closed(wanted, tables[refused], state.snapshots.get(refused))
        settled = Settled(trim(request.landed, {}, infos))
        unique = Unique.of(self.plan)
        if unique is not None and state.seq > request.asked.seq:
            settled = without_copies(
                settled.fresh, tables[processed], state, request.asked, unique, self.known_ids
            )
        fresh = settled.fresh
        draft = Draft(uuid.uuid4().hex, state.seq + 1, closing.OP, {}, tables)
        draft.copies = settled.copies
        draft.put(processed, Files(fresh.files.get(processed, []), []))
        draft.put(refused, closed.files)
        self._aggregates(draft, state, fresh, request, {})
        self._ledger(draft, state, fresh, infos, request, closed)
        if wanted.mended is not None:
            self._operations(draft, state, "mended", wanted.mended)
        if not draft.parts:
            return None
        if book_run:
            self._operations(draft, state, "runs", self._run_row(draft))
        return draft

    def intent(self, state: State, draft: Draft) -> Entry:
        """Return the row that declares the draft; its data files are stored as manifests."""
        return Entry(
            seq=draft.seq,
            commit_id=draft.commit_id,
            run_id=self.run_id,
            state="intent",
            op=draft.op,
            at=now(),
            done=draft.done,
            parts={n: store(draft.tables[n], state.commits, f) for n, f in draft.parts.items()},
            snapshots=state.snapshots,
            totals=state.totals,
            windows=draft.windows,
            owed=draft.owed,
        )

    def _aggregates(
        self,
        draft: Draft,
        state: State,
        fresh: Fresh,
        request: Request,
        owed: Mapping[str, np.ndarray],
    ) -> None:
        processed = draft.tables[self.plan.processed]
        info = TableInfo.of(processed)
        kept = Kept(
            table=processed,
            info=info,
            at=None if request.rebuild else state.snapshots.get(info.name),
            times=state.times,
            new=fresh.files.get(info.name, []),
            trimmed=fresh.trimmed.get(info.name, []),
            owed=owed,
        )
        for aggregate in self.plan.aggregates:
            name = f"analytics.{aggregate.name}"
            whole = request.rebuild or aggregate.name in request.recompute
            stored = Stored(draft.tables, name, state.snapshots.get(name))
            made = request.rollup.refreshed(
                aggregate,
                kept,
                stored,
                request.panes.get(aggregate.name),
                epoch=draft.seq,
                everything=aggregate.name in request.recompute and not request.rebuild,
            )
            if made is None and not whole:
                continue
            if made is not None and len(made.owed):
                draft.owed[aggregate.name] = made.owed
            if made is not None and not len(made.starts) and not whole:
                continue
            files, windows = request.rollup.replaced(stored, aggregate, made, whole=whole)
            draft.put(name, files)
            draft.windows[aggregate.name] = windows

    def _ledger(
        self,
        draft: Draft,
        state: State,
        fresh: Fresh,
        infos: dict[str, TableInfo],
        request: Request,
        closed: Closed | None = None,
    ) -> None:
        processed, refused = self.plan.processed, self.plan.operations("refused")
        landed = fresh.files.get(processed, [])
        kept = self.file_counts.kept(infos[processed], landed)
        counts = [
            request.rollup.counted(infos[processed], landed, kept),
            self.file_counts.refused(infos[refused], fresh.files.get(refused, [])),
            ledger.count_removed(fresh.removed),
            *([] if closed is None else [closed.counts]),
        ]
        draft.counts = ledger.totals(counts)
        rows = ledger.ledger_rows(
            counts,
            draft.done,
            seq=draft.seq,
            commit_id=draft.commit_id,
            run_id=self.run_id,
            at=now(),
            lost=fresh.lost,
            moved=None if closed is None else closed.positions,
        )
        self._operations(draft, state, "ledger", rows, replace=request.rebuild)

    def _operations(
        self, draft: Draft, state: State, name: str, rows: pa.Table, *, replace: bool = False
    ) -> None:
        full = self.lake.operations(name)
        table = draft.tables[full]
        old = files_at(table, state.snapshots.get(full)) if replace else []
        draft.put(full, Files(write_files(TableInfo.of(table), rows), old))

    def _run_row(self, draft: Draft) -> pa.Table:
        row = {
            "run_id": self.run_id,
            "seq": draft.seq,
            "started": datetime.fromtimestamp(self.started, UTC),
            "seconds": time.time() - self.started,
            "mode": self.plan.mode,
            "op": draft.op,
            "state": "landed",
            "plan_hash": self.plan.hash,
            "parts": json.dumps(self.plan.parts, sort_keys=True),
            "plan": self.plan_text,
            "keys": self.keys,
        }
        return pa.Table.from_pylist([row], schema=RUNS)


def _landed_since(state: State, seq: int) -> bool:
    """Whether others changed what the tables hold; a compaction only moves rows."""
    return state.seq != seq and any(
        e.op != "compact" and e.state == "done" for e in after(state.commits, seq)
    )


def _refuse_rebuilt(state: State, seq: int) -> None:
    """Refuse to add to tables that were rebuilt since a run asked what they hold."""
    if any(e.op == "rebuild" and e.state == "done" for e in after(state.commits, seq)):
        msg = (
            "a run must add to the tables that it began from; got a rebuild since; nothing of this "
            "run was landed: run again"
        )
        raise CommitError(msg)


def _sources(known: pa.Table, read: pa.Table | None, *, rebuild: bool) -> pa.Table | None:
    """Return all rows of `_sources` as they must be, None if they are."""
    if read is None or not read.num_rows:
        return None
    newest = {r["source"]: r for r in read.select(SOURCES.names).to_pylist()}
    old = {r["source"]: r for r in known.to_pylist()}
    if all(old.get(source) == row for source, row in newest.items()) and not rebuild:
        return None
    here = {base_of(source) for source in newest}
    stay = [
        # Its rows are gone, its name is not free: positions of one name mean one content.
        forgotten(row) if rebuild else row
        for source, row in old.items()
        if (base_of(source) not in here if rebuild else source not in newest)
    ]
    rows = sorted([*stay, *newest.values()], key=lambda r: str(r["source"]))
    return pa.Table.from_pylist(rows, schema=SOURCES)
