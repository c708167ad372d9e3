"""The end of a batch run: what was read is balanced against what became of it, then committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.names import Destiny
from schemas.plan import Plan
from schemas.plan_json import to_json
from transforms.commit.committer import Committed, Committer
from transforms.commit.lake import Lake, open_lake
from transforms.commit.landed import Landed
from transforms.commit.ledger import count_refused, count_removed, totals
from transforms.land import Reads, UnbalancedError
from transforms.sources.identity import remember


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What the one committer of a batch run does.

    Attributes:
        started: When the run began, seconds since the epoch.
        recompute: Aggregates to compute anew over all windows.
        rebuild: Put what is landed in place of everything that was.
        result: File that the outcome is written to, as JSON, for the process that waits for it.
    """

    plan: Plan
    run_id: str
    started: float
    recompute: tuple[str, ...]
    rebuild: bool
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
        removed = _removed(lake, self.plan, landed)
        counts = _destinies(self.plan, reads, landed, removed)
        read = remember(footprints)
        committed = committer(lake, self.plan, self.run_id, self.started).commit(
            [*landed, Landed(done=reads.done)],
            panes,
            sources=pa.Table.from_batches([read]),
            recompute=self.recompute,
            rebuild=self.rebuild,
        )
        text = json.dumps(
            {
                "rows": counts,
                "destinies": removed,
                "committed": _summary(committed),
                "sources": read.select(["source", "size", "hash"]).to_pylist(),
            }
        )
        Path(self.result).write_text(text, encoding="utf-8")
        return text


def committer(lake: Lake, plan: Plan, run_id: str, started: float) -> Committer:
    """Return the committer of a run, which keeps the plan's published form in `_runs`."""
    text = json.dumps(to_json(plan))
    return Committer(lake, plan, run_id=run_id, started=started, plan_text=text)


def _summary(committed: Committed | None) -> dict[str, Any] | None:
    if committed is None:
        return None
    return {"commit_id": committed.commit_id, "seq": committed.seq, "added": committed.added}


def _removed(lake: Lake, plan: Plan, landed: Sequence[Landed]) -> list[dict[str, Any]]:
    """Count the rows that this run did not keep by destiny, step and rule; most rows first."""
    refused = plan.operations("refused")
    files = [file for one in landed for file in one.files.get(refused, ())]
    removed = [one.removed for one in landed if one.removed is not None]
    counts = totals(
        [
            count_refused(lake.table_info(refused), files),
            *(count_removed(pa.Table.from_batches([batch])) for batch in removed),
        ]
    )
    keys = ("destiny", "step", "rule", "rows")
    rows = sorted((-count, *key) for key, count in counts.items())
    return [dict(zip(keys, (*key, -count), strict=True)) for count, *key in rows]


def _destinies(
    plan: Plan, reads: Reads, landed: Sequence[Landed], removed: Sequence[dict[str, Any]]
) -> dict[str, int]:
    """Count what this run read by destiny; a record without a destiny fails the run."""
    counts = dict.fromkeys(("read", *(d.value for d in Destiny)), 0)
    counts["read"] = sum(reads.records.values())
    for one in landed:
        counts[Destiny.KEPT.value] += sum(f.record_count for f in one.files.get(plan.processed, ()))
    for entry in removed:
        counts[entry["destiny"]] += entry["rows"]
    total = sum(counts[d.value] for d in Destiny)
    if total != counts["read"]:
        msg = (
            f"every record read must have one destiny; read {counts['read']} but kept, refused and "
            f"removed {total}; a step loses or makes rows: nothing was written"
        )
        raise UnbalancedError(msg)
    return counts
