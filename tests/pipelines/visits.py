"""The shop with an aggregate of sessions, and what its rows make of them, worked out apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from tests.pipelines.shop import PIPELINE

VISITS = "analytics.visits"
GAP = timedelta(minutes=2)
SESSIONS = """\
  - name: visits
    windowing: {type: sessions, gap: 2m}
    group_by: [country, pieces]
    measures:
      sales: "count(*)"
      total: "sum(properties.amount)"
      high: "approx_quantile(properties.amount, 0.9)"
sinks:
"""
WITH_SESSIONS = PIPELINE.replace("sinks:\n", SESSIONS)


def visits(rows: Iterable[dict[str, Any]]) -> dict[Any, Any]:
    """Return (start, country, pieces) -> (end, sales, total, value of the 0.9 quantile)."""
    groups: dict[Any, list[list[dict[str, Any]]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["sold_at"]):
        found = groups[row["country"], row["pieces"]]
        if not found or row["sold_at"] - found[-1][-1]["sold_at"] >= GAP:
            found.append([])
        found[-1].append(row)
    return {
        (session[0]["sold_at"], *key): _measured(session)
        for key, sessions in groups.items()
        for session in sessions
    }


def _measured(session: list[dict[str, Any]]) -> tuple[Any, ...]:
    amounts = sorted(row["amount"] for row in session)
    high = amounts[math.ceil(0.9 * len(amounts)) - 1]
    return session[-1]["sold_at"] + GAP, len(session), sum(amounts), high


def assert_visits(stored: list[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> None:
    """The stored sessions are those of the rows, no more and no less."""
    found = {
        (r["window_start"], r["country"], r["pieces"]): (
            r["window_end"],
            r["sales"],
            r["total"],
            r["high"],
        )
        for r in stored
    }
    assert len(found) == len(stored)
    want = visits(rows)
    assert found.keys() == want.keys()
    for key, (*exact, high) in want.items():
        *got, about = found[key]
        assert got == exact, key
        assert math.isclose(about, high, rel_tol=0.01), key
    assert all(r["_rows"] == r["sales"] for r in stored)
