"""The committer: what was landed becomes real, in all tables at once, and once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
from pyiceberg.manifest import DataFile

from schemas.errors import CommitError
from schemas.plan import Plan
from transforms.commit import ledger
from transforms.commit.fold import fold
from transforms.commit.iceberg import Files, store
from transforms.commit.intent import VOID, Hand, declare, finish
from transforms.commit.journal import Entry, is_open, now, tail
from transforms.commit.lake import Lake, files_at, read_at
from transforms.commit.landed import Landed
from transforms.commit.patience import patience
from transforms.commit.ranges import Ranges
from transforms.commit.state import State
from transforms.commit.tables import SOURCES
from transforms.commit.trim import trim
from transforms.sinks.lake import FileWriter

KEEP: Final = 100
FOLD_AT: Final = 32


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What one commit changed.

    Attributes:
        seq: Its sequence number.
        commit_id: Its id.
        op: append, refresh or rebuild.
        added: Table -> rows more (or fewer) than before; tables that did not change are absent.
        total: Table -> rows of every table of the pipeline that holds any.
        counts: (destiny, step, rule) -> rows that are new in this commit.
        windows: Aggregate -> windows touched.
    """

    seq: int
    commit_id: str
    op: str
    added: dict[str, int]
    total: dict[str, int]
    counts: ledger.Counts
    windows: dict[str, int]


@dataclass
class _Draft:
    """A commit being planned."""

    op: str
    done: Ranges
    parts: dict[str, Files] = field(default_factory=dict)
    counts: ledger.Counts = field(default_factory=dict)


class Committer:
    """Changes the lake of one pipeline. Any number may work beside each other, or be killed."""

    def __init__(
        self,
        lake: Lake,
        plan: Plan,
        *,
        run_id: str,
        point: Callable[[str], None] = lambda _: None,
        started: float | None = None,
        plan_text: str = "",
        keep: int = KEEP,
        fold_at: int = FOLD_AT,
    ) -> None:
        """Describe the committer; nothing is read yet.

        Args:
            lake: Where; `lake.prepare(plan)` must have run.
            plan: What runs.
            run_id: Names the run in `_commits`, `_ledger` and `_runs`.
            point: Called with the name of each step (tests kill there).
            started: When the run began, seconds since the epoch; now if not given.
            plan_text: The plan's JSON form, kept in `_runs`.
            keep: Snapshots kept for each table.
            fold_at: Commits after which the small files of `_commits` become one.
        """
        self.lake, self.plan, self.run_id = lake, plan, run_id
        self._hand = Hand(lake, keep, point)
        self._point, self._fold_at = point, fold_at
        self._started = time.time() if started is None else started
        self._plan_text = plan_text
        self._known: State | None = None

    def ask(self) -> State:
        """Return what is done. An open intent, whoever declared it, is finished first."""
        for _ in patience():
            commits = self.lake.commits()
            known = self._known or State(commits)
            rows = tail(commits, known.seq)
            if rows and is_open(commits, rows[-1].commit_id):
                finish(self._hand, rows[-1], found=True)
                continue
            self._known = self._remembered(known, known.after(commits, rows))
            return self._known
        msg = "an open commit must be finished before the next; it was not; run again"
        raise CommitError(msg)

    def commit(
        self,
        landed: Sequence[Landed],
        panes: Mapping[str, pa.Table],
        *,
        sources: pa.Table | None = None,
        recompute: Collection[str] = (),
        rebuild: bool = False,
    ) -> Committed | None:
        """Land what is not done yet, once.

        Args:
            landed: Files and positions of all workers.
            panes: Aggregate -> the run's finished rows, over all rows that the run read.
            sources: Rows of `_sources` as read by this run; they replace those of their sources.
            recompute: Aggregates to be computed anew over all windows.
            rebuild: Put the landed rows in place of everything this pipeline has landed so far.

        Returns:
            What changed, or None if nothing is new.

        Raises:
            CommitError: The lake could not be changed; nothing of this commit is visible.
        """
        drafts: dict[str, tuple[Entry, _Draft, State]] = {}
        for _ in patience():
            state = self.ask()
            for commit_id, (intent, draft, before) in drafts.items():
                # One of ours that was thought lost has landed late.
                if state.ended.get(commit_id) == "done":
                    return self._committed(intent, draft, before, state)
            self._point("asked")
            draft = self._draft(state, landed, panes, sources, recompute, rebuild=rebuild)
            if draft is None:
                return None
            intent = self._intent(state, draft)
            drafts[intent.commit_id] = (intent, draft, state)
            self._point("before intent")
            if not declare(self._hand, state.commits, intent):
                continue
            self._point("after intent")
            finish(self._hand, intent, found=False)
            after = self.ask()
            if after.ended.get(intent.commit_id) == VOID:
                msg = "files that a run wrote must stay until it ends; some are gone; run again"
                raise CommitError(msg)
            fold(self._hand, after, self._fold_at)
            return self._committed(intent, draft, state, after)
        msg = "a commit must be declared between those of others; it could not; run again"
        raise CommitError(msg)

    def _remembered(self, old: State, new: State) -> State:
        name = self.lake.operations("sources")
        at = new.snapshots.get(name)
        if new.sources is not None and at == old.snapshots.get(name):
            return new
        return replace(new, sources=read_at(self.lake.load(name), at, SOURCES.names))

    def _draft(
        self,
        state: State,
        landed: Sequence[Landed],
        panes: Mapping[str, pa.Table],  # noqa: ARG002
        sources: pa.Table | None,
        recompute: Collection[str],  # noqa: ARG002
        *,
        rebuild: bool,  # noqa: ARG002
    ) -> _Draft | None:
        """Trim what is done and write the remaining files. Nothing is visible yet."""
        processed, refused = self.plan.processed, self.plan.operations("refused")
        infos = {n: self.lake.table_info(n) for n in (processed, refused)}
        fresh = trim(landed, state.done, infos)
        new_sources = _changed(state.sources, sources)
        if not fresh.done and new_sources is None:
            return None
        draft = _Draft("append", fresh.done)
        for name in (processed, refused):
            if fresh.files.get(name):
                draft.parts[name] = Files(fresh.files[name], [])
        counts = [
            ledger.count_kept(infos[processed], fresh.files.get(processed, [])),
            ledger.count_refused(infos[refused], fresh.files.get(refused, [])),
            ledger.count_removed(fresh.removed),
        ]
        draft.counts = ledger.totals(counts)
        self._book(state, draft, counts, new_sources)
        return draft

    def _book(
        self, state: State, draft: _Draft, counts: list[pa.Table], sources: pa.Table | None
    ) -> None:
        """Add the rows of the operations tables."""
        lake = self.lake
        if draft.done:
            rows = ledger.ledger_rows(
                counts,
                draft.done,
                seq=state.seq + 1,
                commit_id="",
                run_id=self.run_id,
                at=now(),
            )
            draft.parts[lake.operations("ledger")] = Files(self._write("ledger", rows), [])
        if sources is not None:
            name = lake.operations("sources")
            old = files_at(lake.load(name), state.snapshots.get(name))
            draft.parts[name] = Files(self._write("sources", sources), old)

    def _intent(self, state: State, draft: _Draft) -> Entry:
        parts = {}
        for name, files in draft.parts.items():
            parts[name] = store(self.lake.load(name), state.commits, files)
        return Entry(
            seq=state.seq + 1,
            commit_id=uuid.uuid4().hex,
            run_id=self.run_id,
            state="intent",
            op=draft.op,
            at=now(),
            done=draft.done,
            parts=parts,
            snapshots=state.snapshots,
            totals=state.totals,
        )

    def _write(self, operations: str, rows: pa.Table) -> list[DataFile]:
        writer = FileWriter(self.lake.table_info(self.lake.operations(operations)))
        writer.write(rows)
        return writer.close()

    def _committed(self, intent: Entry, draft: _Draft, before: State, after: State) -> Committed:
        return Committed(
            seq=intent.seq,
            commit_id=intent.commit_id,
            op=intent.op,
            added={n: after.totals[n] - before.totals.get(n, 0) for n in draft.parts},
            total=dict(after.totals),
            counts=draft.counts,
            windows={n: len(starts) for n, starts in intent.windows.items()},
        )


def _changed(known: pa.Table | None, read: pa.Table | None) -> pa.Table | None:
    """Return all rows of `_sources` as they must be, None if they are."""
    if read is None or not read.num_rows:
        return None
    newest = {r["source"]: r for r in read.select(SOURCES.names).to_pylist()}
    old = {} if known is None else {r["source"]: r for r in known.to_pylist()}
    if all(old.get(source) == row for source, row in newest.items()):
        return None
    rows = [*(r for s, r in old.items() if s not in newest), *newest.values()]
    return pa.Table.from_pylist(sorted(rows, key=lambda r: str(r["source"])), schema=SOURCES)
