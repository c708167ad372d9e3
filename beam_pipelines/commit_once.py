"""The end of a batch run: what was read is balanced against what became of it, then committed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.names import Destiny
from schemas.plan import Plan
from schemas.plan_json import to_json
from transforms.changes.kept import Evidence, keep_changes
from transforms.changes.seen import many, merged
from transforms.commit.committer import Committed, Committer
from transforms.commit.lake import Lake, open_lake
from transforms.commit.landed import Landed
from transforms.commit.ledger import Counts, by_source, count_removed, totals
from transforms.commit.near import Asked
from transforms.land import Reads, UnbalancedError
from transforms.sources.files import Discovery
from transforms.sources.identity import remember


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What the one committer of a batch run does.

    Attributes:
        started: When the run began, seconds since the epoch.
        recompute: Aggregates to compute anew over all windows.
        rebuild: Put what is landed in place of everything that was.
        asked: The state of the lake that the run began from.
        found: The files that were read; they must still be what was planned.
        keys: Ids of the keys that rows may be protected with, by spaces.
        result: File that the outcome is written to, as JSON, for the process that waits for it.
    """

    plan: Plan
    run_id: str
    started: float
    recompute: tuple[str, ...]
    rebuild: bool
    asked: Asked
    found: Discovery
    keys: str | None = ""
    result: str = ""

    def __call__(
        self,
        reads: Reads,
        footprints: Sequence[pa.RecordBatch],
        landed: Sequence[Landed],
        panes: dict[str, pa.Table],
    ) -> str:
        """Balance what was read against what became of it, then commit."""
        lake = open_lake(self.plan)
        one = committer(lake, self.plan, self.run_id, self.started, self.keys)
        counts, removed = _destinies(self.plan, reads, landed, lake, one)
        self.found.verify()
        changes = merged(change for some in landed for change in some.changes)
        if changes or self.rebuild:
            seen = [Evidence(reads.done, changes)]
            keep_changes(self.plan, seen, one.ask().done, anew=self.rebuild)
        read = remember(footprints)
        committed = one.commit(
            [*landed, Landed(done=reads.done)],
            panes,
            sources=pa.Table.from_batches([read]),
            recompute=self.recompute,
            rebuild=self.rebuild,
            asked=self.asked,
        )
        if committed is not None and committed.copies and self.plan.deduplicate is not None:
            counts[Destiny.KEPT] -= committed.copies
            counts[Destiny.DUPLICATE] += committed.copies
            copy = (Destiny.DUPLICATE.value, self.plan.deduplicate.id, "duplicate")
            removed[copy] = removed.get(copy, 0) + committed.copies
        text = json.dumps(
            {
                "rows": counts,
                "destinies": _most_first(removed),
                "committed": _summary(committed),
                "changes": [change.json() for change in many(changes)],
                "sources": read.select(["source", "size", "hash"]).to_pylist(),
            }
        )
        Path(self.result).write_text(text, encoding="utf-8")
        return text


def committer(
    lake: Lake,
    plan: Plan,
    run_id: str,
    started: float,
    keys: str | None = "",
    **options: Any,
) -> Committer:
    """Return the committer of a run, which keeps the plan's published form in `_runs`.

    Args:
        lake: See Committer.
        plan: See Committer.
        run_id: See Committer.
        started: See Committer.
        keys: See Committer.
        options: Others of Committer's arguments.
    """
    return Committer(
        lake,
        plan,
        run_id=run_id,
        started=started,
        plan_text=json.dumps(to_json(plan)),
        keys=keys,
        **options,
    )


def _summary(committed: Committed | None) -> dict[str, Any] | None:
    if committed is None:
        return None
    return {
        "commit_id": committed.commit_id,
        "seq": committed.seq,
        "added": committed.added,
        "notes": committed.notes,
    }


def _destinies(
    plan: Plan, reads: Reads, landed: Sequence[Landed], lake: Lake, one: Committer
) -> tuple[dict[str, int], Counts]:
    """Count what this run read by destiny; a record without a destiny fails the run.

    Returns:
        Rows by destiny, and those that were not kept by destiny, step and rule.
    """
    refused = plan.operations("refused")
    files = [files for some in landed for files in some.files.items()]
    removed: Counter[tuple[str, str, str, str]] = Counter()
    for rows in (rows for some in landed for rows in some.removed):
        removed[rows.key] += rows.rows
    kept, dead = (
        count(lake.table_info(table), [f for name, own in files for f in own if name == table])
        for table, count in (
            (plan.processed, one.file_counts.kept),
            (refused, one.file_counts.refused),
        )
    )
    taken = [dead, count_removed(removed)]
    by = by_source([kept, *taken])
    ended = {source: own.total() for source, own in by.items()}
    wrong = [
        s for s in sorted({*ended, *reads.records}) if ended.get(s, 0) != reads.records.get(s, 0)
    ]
    if wrong:
        first = wrong[0]
        msg = (
            "every record read must have one destiny; of "
            f"{first}{f' and {len(wrong) - 1} more' if wrong[1:] else ''} "
            f"{reads.records.get(first, 0)} were read, but kept, refused and removed "
            f"{ended.get(first, 0)}; a step loses or makes rows: nothing was landed"
        )
        raise UnbalancedError(msg)
    counts = sum(by.values(), Counter[str]())
    balance = {"read": sum(reads.records.values())} | {d.value: counts[d] for d in Destiny}
    return balance, totals(taken)


def _most_first(removed: Counts) -> list[dict[str, Any]]:
    keys = ("destiny", "step", "rule", "rows")
    rows = sorted((-count, *key) for key, count in removed.items())
    return [dict(zip(keys, (*key, -count), strict=True)) for count, *key in rows]
