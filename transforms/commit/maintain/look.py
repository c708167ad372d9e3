"""The lake as of its last ended commit, looked at without changing it."""

from __future__ import annotations

from schemas.plan import Plan
from transforms.commit.journal import is_open, tail
from transforms.commit.lake import Lake
from transforms.commit.state import State
from transforms.commit.tables import lake_tables


def look(lake: Lake) -> State:
    """Return what is done; an open intent is left alone (a committer would finish it)."""
    commits = lake.commits()
    rows = tail(commits)
    if rows and is_open(commits, rows[-1].commit_id):
        rows.pop()
    return State(commits).after(lake, commits, rows)


def tables_of(lake: Lake, plan: Plan, state: State) -> list[str]:
    """Return the tables that hold the pipeline's rows; those that the plan dropped, too."""
    names = {*lake_tables(plan), *state.snapshots} - {lake.operations("commits")}
    return sorted(name for name in names if lake.catalog.table_exists(name))
