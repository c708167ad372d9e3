"""The operations tables that every pipeline has, and what each lake table is created with."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from schemas.names import POSITION, REFUSED, SEQUENCE, SOURCE, TIMESTAMP
from schemas.plan import Plan, Table
from transforms.sources.identity import SOURCES

COMMITS: Final = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("commit_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("at", TIMESTAMP, nullable=False),
        pa.field("done", pa.string(), nullable=False),
        pa.field("parts", pa.string(), nullable=False),
        pa.field("snapshots", pa.string(), nullable=False),
        pa.field("totals", pa.string(), nullable=False),
        pa.field("windows", pa.string(), nullable=False),
        pa.field("hints", pa.string(), nullable=False),
        pa.field("owed", pa.string()),
    ]
)
"""`_commits`: the fence and the outbox. Only `transforms.commit.journal` reads and writes rows.

`state` intent, done, void or base; `op` append, replay, refresh, erase, compact or rebuild. JSON
texts: `done` source -> ranges, `parts` table -> [[manifest path, spec id], ...] of data files to
add and to take out, `snapshots` table -> snapshot of the last done commit (intent) or of this one
(done), `totals` table -> rows there, `windows` aggregate -> runs of touched window starts,
`hints` (base only) event-time column -> manifest of processed_data -> span of its files, `owed`
aggregate -> runs of starts of windows with new rows whose aggregate rows come later (base: all such
windows; null: none).
"""

_RANGE: Final = pa.struct(
    [pa.field("start", pa.int64(), nullable=False), pa.field("end", pa.int64(), nullable=False)]
)

LEDGER: Final = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("commit_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("at", TIMESTAMP, nullable=False),
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field("ranges", pa.list_(pa.field("element", _RANGE, nullable=False)), nullable=False),
        pa.field("destiny", pa.string(), nullable=False),
        pa.field("step", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("moved", pa.list_(pa.field("element", _RANGE, nullable=False))),
    ]
)
"""`_ledger`: an entry is the rows of one (commit, source); all of them name the entry's ranges.

The ranges (`start` in, `end` not) are disjoint from those of every other entry. One row for each
(destiny, step, rule) with its count; `kept` has neither step nor rule. Positions that were to be
read and are gone are an entry of their own: no row, step `source`, rule `gap`.

The entry of a replay has no ranges: no position becomes done. It names in `moved` (empty in others)
the positions of the rows whose destiny changes, and its counts, `refused` below zero, sum to zero.
"""

MENDED: Final = pa.schema(
    [
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field(POSITION, pa.int64(), nullable=False),
        pa.field(SEQUENCE, pa.int32(), nullable=False),
        pa.field("at", TIMESTAMP, nullable=False),
        pa.field("by", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("before", pa.string()),
        pa.field("after", pa.string(), nullable=False),
    ]
)
"""`_mended`: one row for each record of a dead letter that a person put another in place of; made
with the first of them.

`before` and `after` are SHA-256 of the records (null: there was none), keyed if the contract has
personal data (`key id:digest`).
"""

RUNS: Final = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("started", TIMESTAMP, nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("plan_hash", pa.string(), nullable=False),
        pa.field("parts", pa.string(), nullable=False),
        pa.field("plan", pa.string(), nullable=False),
        pa.field("keys", pa.string()),
    ]
)
"""`_runs`: one row for each run that changed the lake, written inside its first commit.

`seconds` from the run's start to that commit; `parts` and `plan` are JSON texts; `keys` the ids of
all keys that the pipeline's rows may be protected with, by spaces (null: not known).
"""

REMOVED: Final = pa.schema(
    [
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("commit_id", pa.string(), nullable=False),
        pa.field("at", TIMESTAMP, nullable=False),
    ]
)
"""`_removed`: position ranges whose rows were erased and must not come back."""

PROPERTIES: Final = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    # A merge decodes and writes every entry in Python: about 1,500 data files at a time.
    "commit.manifest.target-size-bytes": "524288",
    # Bounds of strings are cut at 16 characters otherwise, and every URI starts alike.
    f"write.metadata.metrics.column.{SOURCE}": "full",
}


def lake_tables(plan: Plan) -> dict[str, Table]:
    """Return all tables of the pipeline by full name, operations tables included."""
    refused = pa.schema([_plain(f) for f in REFUSED])
    operations = {
        "refused": refused,
        "ledger": LEDGER,
        "runs": RUNS,
        "sources": SOURCES,
        "removed": REMOVED,
        "commits": COMMITS,
    }
    extra = {
        plan.operations(n): Table(name=plan.operations(n), schema=s) for n, s in operations.items()
    }
    return extra | plan.tables


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
