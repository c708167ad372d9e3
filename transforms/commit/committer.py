"""The committer: what was landed becomes real, in all tables at once, and once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
from pyiceberg.table import Table

from schemas.errors import CommitError
from schemas.plan import Plan
from transforms.commit.closing import Closing
from transforms.commit.draft import Draft, Drafter, Request
from transforms.commit.fold import fold
from transforms.commit.iceberg import Files
from transforms.commit.intent import VOID, Hand, declare, finish
from transforms.commit.journal import Entry, is_head, is_open, tail
from transforms.commit.lake import Lake
from transforms.commit.landed import Landed
from transforms.commit.ledger import Counts, FileCounts
from transforms.commit.near import Asked
from transforms.commit.patience import patience
from transforms.commit.refresh import FromLake
from transforms.commit.state import State

KEEP: Final = 100
FOLD_AT: Final = 32
_GONE: Final = (
    "files that a run wrote must stay until it ends; some are gone; nothing of it was landed; "
    "run again (a stream: without its checkpoint or savepoint)"
)


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What one commit changed.

    Attributes:
        seq: Its sequence number.
        commit_id: Its id.
        op: append, refresh, rebuild or compact.
        added: Table -> rows more (or fewer) than before; tables that did not change are absent.
        total: Table -> rows of every table of the pipeline that holds any.
        counts: (destiny, step, rule) -> rows that are new in this commit.
        windows: Aggregate -> number of windows touched; of stretches of time that touched sessions
            begin in.
        copies: Rows that are duplicates of rows landed since the run's dedupe asked.
        astray_us: Greatest event time of a row that this dedupe takes for kept and that is not, or
            the other way round (but for rows of one time); None if there is none.
        notes: What a person should know that went wrong after it.
    """

    seq: int
    commit_id: str
    op: str
    added: dict[str, int]
    total: dict[str, int]
    counts: Counts
    windows: dict[str, int]
    copies: int = 0
    astray_us: int | None = None
    notes: tuple[str, ...] = ()


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
        keys: str | None = "",
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
            keys: Ids of the keys that rows may be protected with, by spaces, kept in `_runs`.
            keep: Snapshots kept for each table.
            fold_at: Commits after which the small files of `_commits` become one.
        """
        self.lake = lake
        began = time.time() if started is None else started
        self.file_counts = FileCounts()
        self._drafter = Drafter(
            lake=lake,
            plan=plan,
            run_id=run_id,
            started=began,
            plan_text=plan_text,
            keys=keys,
            file_counts=self.file_counts,
        )
        self._hand = Hand(lake, keep, point)
        self._point, self._fold_at = point, fold_at
        self._known: State | None = None
        self._booked = False

    def ask(self) -> State:
        """Return what is done. An open intent, whoever declared it, is finished first.

        Raises:
            CommitError: An open intent cannot be finished.
        """
        return self._ask([])

    def _ask(self, wrote: list[Entry]) -> State:
        """Ask; `wrote` are the rows this committer has just written, if it did write the last."""
        for _ in patience():
            commits = self.lake.commits()
            known = self._known or State(commits)
            if self._known is not None and _head(commits) == _head(known.commits):
                return replace(known, commits=commits)
            rows = wrote if wrote and is_head(commits, wrote[-1]) else tail(commits, known.seq)
            if rows and is_open(commits, rows[-1].commit_id):
                finish(self._hand, rows[-1])
                continue
            self._known = known.after(self.lake, commits, rows)
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
        asked: Asked = Asked(),  # noqa: B008 - frozen
        rollup: FromLake | None = None,
        book: bool = True,
        closing: Closing | None = None,
    ) -> Committed | None:
        """Land what is not done yet, once.

        Args:
            landed: Files and positions of all workers.
            panes: Aggregate -> the run's finished rows, over all rows that the run read.
            sources: Rows of `_sources` as read by this run; they replace those of their sources.
            recompute: Aggregates to be computed anew over all windows.
            rebuild: Put the landed rows in place of everything this pipeline has landed so far.
            asked: The state of the lake that the run's dedupe read, or its rebuild began from; an
                empty lake if not given. Rows whose copy landed since become `duplicate`.
            rollup: Makes aggregate rows, also of windows that a stream owes; by default from
                `panes` and the lake.
            book: Write the run into `_runs`, unless this committer did.
            closing: Dead letters that the commit changes: `landed` is then what becomes of those
                that it closes, at positions that are done.

        Returns:
            What changed, or None if nothing would.

        Raises:
            CommitError: The lake could not be changed, or others landed since a rebuild began;
                nothing of this commit is visible.
            OvertakenError: A dead letter was closed by another; nothing of this commit is visible.
        """
        request = Request(
            landed, panes, sources, recompute, rebuild, asked, rollup or FromLake(), closing
        )

        def draft(state: State) -> Draft | None:
            return self._drafter.draft(state, request, book_run=book and not self._booked)

        committed = self._land(draft)
        self._booked = self._booked or committed is not None
        return committed

    def change(self, op: str, parts_of: Callable[[State], Mapping[str, Files]]) -> Committed | None:
        """Put files in place of others without landing rows: a commit like any other.

        Args:
            op: compact.
            parts_of: State asked -> table -> files to put in and take out, as of that state; asked
                again when others commit first. Nothing to change ends it.

        Returns:
            What changed, or None if nothing would.

        Raises:
            CommitError: The lake could not be changed; nothing of this commit is visible.
        """

        def draft(state: State) -> Draft | None:
            parts = dict(parts_of(state))
            tables = {name: self.lake.load(name) for name in parts}
            return Draft(uuid.uuid4().hex, state.seq + 1, op, {}, tables, parts) if parts else None

        return self._land(draft)

    def fold(self, at: int) -> str:
        """Put the rows of `_commits` since the last base row together if `at` commits have come.

        Returns:
            What failed, for a person; empty if nothing did.
        """
        return fold(self._hand, self.ask(), at, self._drafter.plan.processed)

    def _land(self, draft_of: Callable[[State], Draft | None]) -> Committed | None:
        tried: list[tuple[Draft, State]] = []
        for _ in patience():
            state = self.ask()
            for draft, before in tried:
                if state.ended.get(draft.commit_id) == "done":  # Thought lost, it landed late.
                    return self._committed(draft, before, state)
            self._point("asked")
            try:
                drafted = draft_of(state)
            except FileNotFoundError as error:
                raise CommitError(_GONE) from error
            if drafted is None:
                return None
            intent = self._drafter.intent(state, drafted)
            tried.append((drafted, state))
            self._point("before intent")
            if not declare(self._hand, state.commits, intent):
                continue
            self._point("after intent")
            ended = finish(self._hand, intent)
            after = self._ask([] if ended is None else [intent, ended])
            if after.ended.get(drafted.commit_id) == VOID:
                raise CommitError(_GONE)
            note = fold(self._hand, after, self._fold_at, self._drafter.plan.processed)
            committed = self._committed(drafted, state, after)
            return replace(committed, notes=(note,)) if note else committed
        msg = "a commit must be declared between those of others; it could not; run again"
        raise CommitError(msg)

    def _committed(self, draft: Draft, before: State, after: State) -> Committed:
        return Committed(
            seq=draft.seq,
            commit_id=draft.commit_id,
            op=draft.op,
            added={n: after.totals[n] - before.totals.get(n, 0) for n in draft.parts},
            total=dict(after.totals),
            counts=draft.counts,
            windows={n: len(starts) for n, starts in draft.windows.items()},
            copies=draft.copies,
            astray_us=draft.astray_us,
        )


def _head(commits: Table) -> int | None:
    head = commits.current_snapshot()
    return None if head is None else head.snapshot_id
