"""Upkeep of a pipeline's lake, beside whatever runs: compact, expire, orphans."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from schemas.errors import UsageError
from schemas.plan import Plan
from transforms.commit.committer import KEEP, Committer
from transforms.commit.lake import Lake, open_lake
from transforms.commit.maintain.compact import Compacted, Compaction
from transforms.commit.maintain.expire import Forgotten, forget
from transforms.commit.maintain.look import look, tables_of
from transforms.commit.maintain.named import Named
from transforms.commit.maintain.sweep import AGE_S, UNLANDED_S, Sweep, Swept

TASKS: Final = ("compact", "expire", "orphans")


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """What was done, or would be.

    Attributes:
        compacted: Table -> files put together.
        forgotten: Snapshots and commits that the lake does not keep any more.
        expired: Files that only those named.
        orphans: Files that nothing named.
        notes: What a person should know.
    """

    compacted: dict[str, Compacted] = field(default_factory=dict)
    forgotten: Forgotten | None = None
    expired: Swept | None = None
    orphans: Swept | None = None
    notes: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """Return it as `--json` prints it; a task that was not asked for is null."""
        return {
            "compact": {name: asdict(one) for name, one in self.compacted.items()},
            "expire": None
            if self.forgotten is None or self.expired is None
            else {"snapshots": len(self.forgotten.snapshots), "commits": self.forgotten.commits}
            | _swept(self.expired),
            "orphans": None
            if self.orphans is None
            else _swept(self.orphans)
            | {"waiting": self.orphans.waiting, "waiting_bytes": self.orphans.waiting_bytes},
            "warnings": list(self.notes),
        }


def maintain(
    plan: Plan,
    tasks: Collection[str] = TASKS,
    *,
    dry_run: bool = False,
    keep: int = KEEP,
    age_s: float = AGE_S,
    unlanded_s: float = UNLANDED_S,
) -> Maintained:
    """Tend the lake of a plan; runs, streams and followers may go on beside it.

    Args:
        plan: Whose lake.
        tasks: Of TASKS; they are done in that order.
        dry_run: Only find out what would be done.
        keep: Snapshots kept for each table.
        age_s: Files younger than this are not deleted.
        unlanded_s: The same for files with rows that have not landed.

    Raises:
        UsageError: There is no lake.
        CommitError: The lake could not be changed.
    """
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be tended; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    lake = open_lake(plan)
    committer = Committer(lake, plan, run_id=f"maintain-{uuid.uuid4().hex[:12]}", keep=keep)
    compaction = Compaction(committer, plan)
    if "compact" in tasks:
        (compaction.dry_run if dry_run else compaction.run)()
    tables = tables_of(lake, plan, look(lake))
    sweep = Sweep(lake=lake, tables=tables, age_s=age_s, unlanded_s=unlanded_s, dry_run=dry_run)
    forgotten, expired, orphans = None, None, None
    if "expire" in tasks:
        before = Named()
        before.learn(lake, tables)
        forgotten = forget(committer, tables, keep=keep, dry_run=dry_run)
        sweep = replace(sweep, forgotten=forgotten)
        expired = sweep.run(before.paths)
    if "orphans" in tasks:
        orphans = sweep.run()
        if dry_run and expired is not None:
            orphans = orphans.without(expired)
    return Maintained(
        compacted=compaction.told,
        forgotten=forgotten,
        expired=expired,
        orphans=orphans,
        notes=tuple(_unsorted(lake, plan, tables)) if "compact" in tasks else (),
    )


def _unsorted(lake: Lake, plan: Plan, tables: Collection[str]) -> list[str]:
    """Say which tables do not have the sort order of the pipeline file yet: a run gives it them."""
    out = []
    for name in tables:
        table = lake.load(name)
        have = [table.schema().find_column_name(f.source_id) for f in table.sort_order().fields]
        if name in plan.tables and have != list(plan.tables[name].sort_by):
            out.append(f"{name} is sorted as the pipeline file says from the next run on")
    return out


def _swept(swept: Swept) -> dict[str, Any]:
    return {"files": swept.files, "bytes": swept.bytes, "tables": dict(swept.tables)}
