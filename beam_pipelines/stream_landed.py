"""What a run of a stream landed, as the ledger has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from pyiceberg.expressions import And, EqualTo, LessThanOrEqual

from beam_pipelines.balance import Balance
from beam_pipelines.batch import Result
from beam_pipelines.noticed import none_kept
from schemas.names import Destiny
from transforms.commit.lake import Lake

_LATE: Final = (
    "{:,} rows were late: they are in the lake, and in no window that was final before they came. "
    "If the source paused while it sent rows older than the clock (a replay), set "
    "source.stream.idle higher, or to never"
)


def count_landed(lake: Lake, before: Mapping[str, int], result: Result, now: Balance) -> None:
    """Fill in what this run landed, from the ledger as of a balance: a worker may still commit."""
    plan = result.plan
    columns = ["destiny", "step", "rule", "rows"]
    rows = lake.read(
        plan.operations("ledger"),
        [*columns, "run_id", "seq"],
        And(EqualTo("run_id", result.run_id), LessThanOrEqual("seq", now.seq)),
    )
    counts: Counter[str] = Counter()
    taken: Counter[tuple[str, str, str]] = Counter()
    for row in rows.select(columns).to_pylist():
        counts[row["destiny"]] += row["rows"]
        if row["destiny"] != Destiny.KEPT and row["rows"]:
            taken[row["destiny"], row["step"] or "", row["rule"] or ""] += row["rows"]
    result.rows = {"read": counts.total()} | {d.value: counts[d.value] for d in Destiny}
    result.destinies = [
        dict(zip(columns, (*key, n), strict=True))
        for key, n in sorted(taken.items(), key=lambda one: (-one[1], one[0]))
    ]
    result.tables = {
        name: {"rows": count, "added": count - before.get(name, 0)}
        for name, count in now.totals.items()
    }
    if late := counts[Destiny.LATE.value]:
        result.warnings.append(_LATE.format(late))
    if not counts.total():
        result.warnings.append("nothing new: no message landed")
    elif not counts[Destiny.KEPT.value]:
        result.warnings.append(none_kept(result.rows, result.destinies))
