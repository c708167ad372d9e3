"""The DuckDB warehouse: a follower of the lake's commits.

The lake is the one place where a row becomes real. A load takes the done commits it has not seen,
in order, reads the data files they name, and records in the same transaction the commit it ends
at, so that a load has its effect once, whenever it is killed. DuckDB is opened for one transaction
and closed again: it admits one writing process, and a person's CLI must get in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from schemas.ddl import WarehouseTable, commits_table, quote, quoted_table, warehouse_tables
from schemas.plan import Plan
from transforms.commit.follow import (
    BY_WINDOW,
    EVERYTHING,
    DoneCommit,
    FollowerTooFarError,
    Place,
    done_commit,
    everything,
    pending,
)
from transforms.commit.lake import Lake
from transforms.commit.tables import lake_tables
from transforms.sinks.duckdb_file import WarehouseError, told, transaction
from transforms.sinks.warehouse_rows import counts, take
from transforms.sinks.warehouse_shape import (
    AnewError,
    Footers,
    Loose,
    Tables,
    fit,
    misfits,
    tables_present,
)
from transforms.sinks.warehouse_state import Followed

ASKED: Final = "it was asked for"
BEGINS: Final = "it was new"
_FOLLOWED: Final = BY_WINDOW | {"rebuild", "compact", EVERYTHING}
_REPLAYED: Final = 16
"""A new warehouse takes so many commits one by one; beyond, what the lake holds at once."""

_TRIES: Final = 3


@dataclass
class Loaded:
    """What a load did.

    Attributes:
        seq: Sequence number of the last commit in the warehouse.
        commits: Commits taken by this load.
        rows: Rows per table after the load.
        added: Rows per table more (or fewer) than before.
        anew: Why the tables were made anew from the lake; empty if they were not.
        loose: (table, column) made plain text, which the contract says is a UUID or JSON.
    """

    seq: int
    commits: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    anew: str = ""
    loose: Loose = frozenset()

    @property
    def note(self) -> str:
        """What a person must know who did not ask for it."""
        said = []
        if self.anew not in ("", ASKED, BEGINS):
            said.append(f"the warehouse's tables were made anew from the lake: {self.anew}")
        if self.loose:
            names = ", ".join(sorted(f"{column} of {table}" for table, column in self.loose))
            said.append(
                f"{names} is plain text in the warehouse: old rows are not what the contract says"
            )
        return "; ".join(said)

    def tables(self) -> dict[str, dict[str, int]]:
        """Return rows and added rows per table, as `--json` prints them."""
        return {n: {"rows": rows, "added": self.added[n]} for n, rows in self.rows.items()}


class Warehouse:
    """One DuckDB file that follows one pipeline's commits (others may share the file)."""

    def __init__(self, plan: Plan, path: Path, *, patience_s: float | None = None) -> None:
        """Describe the warehouse; nothing is opened yet.

        Args:
            plan: Whose tables it holds.
            path: The DuckDB file; made on first load.
            patience_s: How long to wait for another process that has the file open; ten seconds
                by default.
        """
        self.plan = plan
        self.path = path
        self.patience_s = patience_s
        lake = lake_tables(plan)
        self.tables = warehouse_tables(plan, lake)
        self._followed = Followed(
            plan.operations("loaded"), commits_table(plan, lake), fact=self.tables[1]
        )

    def load(self, lake: Lake, *, rebuild: bool = False) -> Loaded:
        """Take the lake's done commits that are not here yet, in one transaction.

        Tables are changed to hold what arrives. Where that cannot be done without losing
        something, this pipeline's tables are made anew from the lake, as with `rebuild`.

        Args:
            lake: The lake that is followed.
            rebuild: Drop this pipeline's tables and load what the lake holds now.

        Raises:
            FollowerTooFarError: The commit that the warehouse ended at is not in the lake's
                history: too far behind, or another lake.
            WarehouseBusyError: Another process had the file open for longer than `patience_s`.
            WarehouseError: DuckDB refused something; nothing changed.
        """
        why, loose = ASKED if rebuild else "", frozenset[tuple[str, str]]()
        for left in reversed(range(_TRIES)):
            try:
                return self._load(lake, why, loose)
            except AnewError as error:
                why = str(error)
            except WarehouseError as error:
                if not left or error.kind not in ("ConversionException", "InvalidInputException"):
                    raise
                loose = loose or misfits(self.tables, everything(lake).added)
                if not loose:
                    raise
                why = why or "the contract changed"
        msg = (
            "the warehouse's tables must hold still to be made anew; run `penstock load --rebuild`"
        )
        raise WarehouseError(msg)

    def seq(self) -> int | None:
        """Return the last commit in it, 0 if there is none; None: it cannot be read now."""
        if not self.path.exists():
            return 0
        state = quoted_table(self._followed.name)
        try:
            with duckdb.connect(str(self.path), read_only=True) as c:
                found = c.execute(f"SELECT max(seq) FROM {state}").fetchall()  # noqa: S608
        except duckdb.CatalogException:
            return 0
        except duckdb.Error:
            return None
        return int(found[0][0] or 0)

    def _load(self, lake: Lake, anew: str, loose: Loose) -> Loaded:
        with transaction(self.path, self.patience_s) as c:
            present = tables_present(c)
            there = [t.name for t in self.tables if t.name in present]
            before = dict.fromkeys((t.name for t in self.tables), 0) | counts(c, there)
            if anew:
                present = self._dropped(c, present)
                place, commits = Place(), [everything(lake)]
            else:
                place = self._followed.place(c, present, self.tables)
                commits = self._new(lake, place)
            loaded = Loaded(place.seq, anew=anew, loose=loose)
            footers = Footers()
            tables = self._fitted(c, present, commits, footers, loose)
            for commit in commits:
                self._take(c, commit, tables, footers)
                loaded.seq, loaded.commits = commit.seq, loaded.commits + len(commit.entries)
            if loaded.commits:
                self._followed.book(c, commits)
            loaded.rows = counts(c, before)
            loaded.added = {n: rows - before[n] for n, rows in loaded.rows.items()}
            return loaded

    def _new(self, lake: Lake, place: Place) -> list[DoneCommit]:
        """Return the commits to be taken; raise AnewError if only all at once will do."""
        history = lake.commits()
        begins = place == Place()
        try:
            entries = pending(history, place)
        except FollowerTooFarError:
            if begins:
                raise AnewError(BEGINS) from None
            raise
        if begins and len(entries) > _REPLAYED:
            raise AnewError(BEGINS)
        if other := {e.op for e in entries} - _FOLLOWED:
            msg = f"the lake has had a commit of kind {', '.join(sorted(other))}"
            raise AnewError(msg)
        return [done_commit(history.io, e) for e in entries]

    def _dropped(self, c: duckdb.DuckDBPyConnection, present: Tables) -> Tables:
        names = [*(t.name for t in self.tables), *self._followed.names]
        for name in names:
            if name in present:
                c.execute(f"DROP TABLE {quoted_table(name)}")
        return {name: columns for name, columns in present.items() if name not in names}

    def _fitted(
        self,
        c: duckdb.DuckDBPyConnection,
        present: Tables,
        commits: Sequence[DoneCommit],
        footers: Footers,
        loose: Loose,
    ) -> list[WarehouseTable]:
        """Make or change the tables so that they hold what the commits bring."""
        schemas = {"operations", *(t.schema for t in self.tables)}
        for schema in sorted(schemas - {name.partition(".")[0] for name in present}):
            c.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
        self._followed.make(c, present)
        out = []
        for table in self.tables:
            files = (f for x in commits for f in x.added.get(table.source, []))
            shapes = list(dict.fromkeys(footers[f] for f in files))
            out.append(fit(c, table, present.get(table.name), shapes, loose))
        return out

    def _take(
        self,
        c: duckdb.DuckDBPyConnection,
        commit: DoneCommit,
        tables: Sequence[WarehouseTable],
        footers: Footers,
    ) -> None:
        if commit.op == "compact":
            return
        for table in tables:
            with told(table.name, [column.name for column in table.columns]):
                take(c, table, commit, footers)
