"""Whether the ledger accounts for every position that is done, once, and for every row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from schemas.errors import PenstockError
from schemas.names import SOURCE, Destiny
from schemas.plan import Plan
from transforms.commit.journal import tail
from transforms.commit.lake import Lake
from transforms.commit.ranges import Range, Ranges, merged, missing, size


class LedgerError(PenstockError):
    """Positions or rows that the ledger does not account for, or accounts for twice."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a look into the ledger gave.

    Attributes:
        seq: The lake's last commit then.
        totals: Table -> rows.
        rows: What the run read, by destiny.
        positions: Positions that the run made done.
        faults: What does not balance; empty if all does.
    """

    seq: int
    totals: dict[str, int]
    rows: Counter[str]
    positions: int
    faults: tuple[str, ...]

    def line(self) -> str:
        """Say what was read and what became of it.

        Raises:
            LedgerError: It does not balance.
        """
        if self.faults:
            msg = (
                f"the ledger must account for every row once; got {'; '.join(self.faults)}; keep "
                "the lake as it is, and report this"
            )
            raise LedgerError(msg)
        parts = " + ".join(f"{d.value} {self.rows[d.value]:,}" for d in Destiny)
        text = f"ledger balanced: read {self.rows.total():,} = {parts}"
        empty = self.positions - self.rows.total()
        return text + (f"; {empty:,} positions hold no message" if empty else "")


def balance(lake: Lake, plan: Plan, run_id: str) -> Balance:
    """Compare the ledger with itself, with the positions done, and with the tables' rows.

    All entries' ranges must be disjoint, together they must be the positions that `_commits` calls
    done, no entry of a message stream may count more rows than positions, and the tables must hold
    as many rows as are kept, late and refused. An entry without positions is a replay's: it moves
    rows from one destiny to another, so its counts sum to nothing.
    """
    entries = [e for e in tail(lake.commits()) if e.state != "intent"]
    seq = entries[-1].seq if entries else 0
    columns = ["seq", "run_id", SOURCE, "ranges", "destiny", "rows"]
    ledger = [
        row
        for row in lake.read(plan.operations("ledger"), columns).to_pylist()
        if row["seq"] <= seq
    ]
    accounts = _accounts(ledger)
    done = merged(*(e.done for e in entries))
    faults = [*_once(accounts), *_moved(accounts), *_done(accounts, done)]
    own = {key: one for key, one in accounts.items() if one.run_id == run_id}
    for (at, source, _), one in own.items():
        if one.rows > one.size:
            faults.append(f"{one.rows:,} rows of {one.size:,} positions in commit {at}, {source}")
    total: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for row in ledger:
        total[row["destiny"]] += row["rows"]
        if row["run_id"] == run_id:
            counts[row["destiny"]] += row["rows"]
    totals = entries[-1].totals if entries else {}
    faults += _tables(plan, total, totals)
    return Balance(
        seq=seq,
        totals=totals,
        rows=counts,
        positions=sum(one.size for one in own.values()),
        faults=tuple(faults),
    )


@dataclass
class _Account:
    run_id: str
    ranges: list[Range]
    rows: int = 0

    @property
    def size(self) -> int:
        return sum(end - start for start, end in self.ranges)


_Accounts = dict[tuple[int, str, tuple[Range, ...]], _Account]


def _accounts(ledger: list[dict[str, Any]]) -> _Accounts:
    """Return one account for each commit and source: all its rows name the same ranges."""
    out: _Accounts = {}
    for row in ledger:
        ranges = [(r["start"], r["end"]) for r in row["ranges"]]
        one = out.setdefault(
            (row["seq"], row[SOURCE], tuple(ranges)), _Account(row["run_id"], ranges)
        )
        one.rows += row["rows"]
    return out


def _once(accounts: _Accounts) -> list[str]:
    """Say which sources have positions in more than one entry."""
    every: Ranges = {}
    for (_, source, _), one in accounts.items():
        every.setdefault(source, []).extend(one.ranges)
    union = merged(every)
    return [
        f"{twice:,} positions of {source} counted more than once"
        for source, ranges in every.items()
        if (twice := size({source: ranges}) - size({source: union.get(source, [])}))
    ]


def _moved(accounts: _Accounts) -> list[str]:
    """Say which entries without positions make rows, or lose some."""
    return [
        f"{one.rows:+,} rows of no position in commit {seq}, {source}"
        for (seq, source, ranges), one in accounts.items()
        if not ranges and one.rows
    ]


def _done(accounts: _Accounts, done: Ranges) -> list[str]:
    counted = merged(*({source: one.ranges} for (_, source, _), one in accounts.items()))
    sides = (
        (missing(done, counted), "done that no entry counts"),
        (missing(counted, done), "counted that are not done"),
    )
    return [
        f"{size({source: ranges}):,} positions of {source} {what}"
        for found, what in sides
        for source, ranges in found.items()
    ]


def _tables(plan: Plan, counts: Counter[str], totals: dict[str, int]) -> list[str]:
    wanted = {
        plan.processed: counts[Destiny.KEPT.value] + counts[Destiny.LATE.value],
        plan.operations("refused"): counts[Destiny.REFUSED.value],
    }
    return [
        f"{rows:,} rows counted for {name}, which holds {totals.get(name, 0):,}"
        for name, rows in wanted.items()
        if rows != totals.get(name, 0)
    ]
