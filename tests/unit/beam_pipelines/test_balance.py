"""The ledger is checked, not printed: each way in which it can be wrong is found and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pipelines.balance import LedgerError, balance
from tests.pipelines.shop import make_folder, sales
from tests.streams import Middle, commit, spread, stream_plan
from transforms.continuous.committer import Memory

LINES = sales(0, 200, broken=4, copies=20).splitlines()
LEDGER = "operations.shop_ledger"


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    middle = Middle(stream_plan(make_folder(tmp_path)))
    one, memory = middle.committer(), Memory()
    batches = spread(LINES, partitions=2, size=30)
    for at in range(0, len(batches), 3):
        memory = commit(one, memory, middle.ship(*batches[at : at + 3]))
    return middle


Rows = list[dict[str, Any]]


def changed(middle: Middle, monkeypatch: pytest.MonkeyPatch, change: Callable[[Rows], Any]) -> None:
    """Let the ledger read as if it held something else."""
    read = middle.lake.read

    def other(name: str, *rest: Any) -> pa.Table:
        table = read(name, *rest)
        if name != LEDGER:
            return table
        rows = table.to_pylist()
        change(rows)
        return pa.Table.from_pylist(rows, schema=table.schema)

    monkeypatch.setattr(middle.lake, "read", other)


def test_a_ledger_that_balances_says_what_became_of_all_rows(middle: Middle) -> None:
    found = balance(middle.lake, middle.plan, "run")
    rows = found.rows
    assert found.faults == ()
    assert found.positions == len(LINES)
    assert found.line() == (
        f"ledger balanced: read {len(LINES)} = kept {rows['kept']} + refused 4 + duplicate "
        f"{rows['duplicate']} + filtered {rows['filtered']} + late 0"
    )
    assert rows["kept"] > 100
    assert rows["duplicate"] > 0
    assert rows["filtered"] > 0


def test_a_run_that_landed_nothing_balances_too(middle: Middle) -> None:
    assert balance(middle.lake, middle.plan, "another").line().startswith("ledger balanced: read 0")


def first(rows: Rows, destiny: str) -> dict[str, Any]:
    return next(row for row in rows if row["destiny"] == destiny)


def lost_entry(rows: Rows) -> None:
    seq = rows[0]["seq"]
    rows[:] = [row for row in rows if row["seq"] != seq]


def counted_twice(rows: Rows) -> None:
    last = max(row["seq"] for row in rows)
    rows += [{**row, "seq": last - 1, "rows": 0} for row in rows if row["seq"] == last]


def longer(rows: Rows) -> None:
    for row in rows:
        row["ranges"] = [{"start": r["start"], "end": r["end"] + 1000} for r in row["ranges"]]


def one_row_more(rows: Rows) -> None:
    first(rows, "kept")["rows"] += 1


def moved_from_nowhere(rows: Rows) -> None:
    rows.append(first(rows, "kept") | {"seq": 1, "ranges": [], "rows": 3})


def a_refusal_less(rows: Rows) -> None:
    first(rows, "refused")["rows"] -= 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lost_entry, "done that no entry counts"),
        (counted_twice, "counted more than once"),
        (moved_from_nowhere, r"\+3 rows of no position in commit 1"),
        (longer, "counted that are not done"),
        (one_row_more, "rows counted for processed_data.shop, which holds"),
        (a_refusal_less, "rows counted for operations.shop_refused, which holds"),
    ],
)
def test_what_does_not_balance_is_an_error_that_says_what(
    middle: Middle, monkeypatch: pytest.MonkeyPatch, change: Callable[[Rows], Any], says: str
) -> None:
    changed(middle, monkeypatch, change)
    with pytest.raises(LedgerError, match=says):
        balance(middle.lake, middle.plan, "run").line()


def test_more_rows_than_positions_are_an_error(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(rows: Rows) -> None:
        first(rows, "duplicate")["rows"] += 500

    changed(middle, monkeypatch, more)
    with pytest.raises(LedgerError, match=r"rows of \d+ positions in commit"):
        balance(middle.lake, middle.plan, "run").line()
