"""What a warehouse knows of itself: the commits its tables hold, and the one it ends at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from schemas.ddl import WarehouseTable, quote, quoted_table
from transforms.commit.follow import DoneCommit, Place
from transforms.sinks.warehouse_shape import AnewError, Tables, fit

_COLUMNS: Final = ("seq", "commit_id", "fact")
_TAKEN: Final = ("seq", "commit_id", "run_id", "op", "at")


@dataclass(frozen=True)
class Followed:
    """Two tables written in each load's transaction.

    Attributes:
        name: Full name of the state: one row with the commit that the tables end at.
        commits: `_commits`: one row for each done commit that was taken.
        fact: The table whose rows depend on the contract's key.
    """

    name: str
    commits: WarehouseTable
    fact: WarehouseTable

    @property
    def names(self) -> tuple[str, str]:
        """Full names of both."""
        return self.name, self.commits.name

    def make(self, c: duckdb.DuckDBPyConnection, present: Tables) -> None:
        """Make what is not there."""
        fit(c, self.commits, present.get(self.commits.name), ())
        if self.name not in present:
            columns = "(seq BIGINT, commit_id VARCHAR, fact VARCHAR)"
            c.execute(f"CREATE TABLE {quoted_table(self.name)} {columns}")

    def place(
        self, c: duckdb.DuckDBPyConnection, present: Tables, tables: Sequence[WarehouseTable]
    ) -> Place:
        """Return the commit that the tables are of.

        Raises:
            AnewError: They are not (all) of one.
        """
        state = present.get(self.name)
        rows = c.execute(f"FROM {quoted_table(self.name)}").fetchall() if state else []
        if state is None or not rows:
            if any(t.name in present and _holds(c, t.name) for t in (*tables, self.commits)):
                msg = "its own record of what it holds was gone"
                raise AnewError(msg)
            return Place()
        if set(state) != set(_COLUMNS) or self.commits.name not in present:
            msg = "its own record of what it holds was changed"
            raise AnewError(msg)
        ((seq, commit_id, fact),) = rows
        if fact != self.fact.about:
            msg = f"{self.fact.name} was {fact}"
            raise AnewError(msg)
        if missing := [t for t in tables if t.name not in present]:
            query = f"SELECT max_by(totals, seq) FROM {quoted_table(self.commits.name)}"  # noqa: S608
            ((totals,),) = c.execute(query).fetchall()
            held = json.loads(totals or "{}")
            if gone := [t.name for t in missing if held.get(t.source)]:
                msg = f"{', '.join(gone)} was gone"
                raise AnewError(msg)
        return Place(seq, commit_id)

    def book(self, c: duckdb.DuckDBPyConnection, commits: Sequence[DoneCommit]) -> None:
        """Record that the tables now hold these commits, in order."""
        rows = [
            {n: getattr(e, n) for n in _TAKEN}
            | {"totals": json.dumps(e.totals, separators=(",", ":"))}
            for commit in commits
            for e in commit.entries
        ]
        names = ", ".join(quote(x.name) for x in self.commits.columns)
        schema = pa.schema([(x.name, x.arrow) for x in self.commits.columns])
        c.register("booked", pa.Table.from_pylist(rows, schema=schema))
        c.execute(f"INSERT INTO {quoted_table(self.commits.name)} ({names}) FROM booked")
        c.unregister("booked")
        c.execute(f"DELETE FROM {quoted_table(self.name)}")  # noqa: S608
        last = [*commits[-1].place, self.fact.about]
        c.execute(f"INSERT INTO {quoted_table(self.name)} VALUES (?, ?, ?)", last)  # noqa: S608


def _holds(c: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(c.execute(f"SELECT 1 FROM {quoted_table(table)} LIMIT 1").fetchall())  # noqa: S608
