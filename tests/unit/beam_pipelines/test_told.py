"""What a person is told at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from beam_pipelines.batch import Result
from beam_pipelines.columns import aligned
from beam_pipelines.noticed import landed_before, none_kept, shortened
from beam_pipelines.progress_screen import summary
from schemas.planning import load_plan
from tests.pipelines.shop import make_folder

ROWS = {"read": 20, "kept": 2, "refused": 17, "duplicate": 0, "filtered": 1, "late": 0}


def _refused(number: int) -> dict[str, object]:
    return {"destiny": "refused", "step": "python-1", "rule": f"rule{number}", "rows": 1}


def test_what_was_not_kept_is_told_by_step_and_rule_and_long_lists_are_cut(tmp_path: Path) -> None:
    plan = load_plan(make_folder(tmp_path), out=tmp_path / "an out")
    result = Result(run_id="r", plan=plan, rows=ROWS, destinies=[_refused(n) for n in range(17)])
    lines = list(summary(result))
    assert lines[0].startswith("shop: read 20 = 2 kept + 17 refused + 1 filtered")
    assert [line.split() for line in lines[1:4]] == [
        ["not", "kept", "step", "rule", "rows"],
        ["refused", "python-1", "rule0", "1"],
        ["refused", "python-1", "rule1", "1"],
    ]
    assert "... and 5 more: penstock run --json has all" in lines
    assert any(line.endswith("an out'") and "penstock dlq" in line for line in lines)


def test_a_run_that_kept_all_says_nothing_of_other_destinies(tmp_path: Path) -> None:
    rows = dict.fromkeys(ROWS, 0) | {"read": 2, "kept": 2}
    result = Result(run_id="r", plan=load_plan(make_folder(tmp_path)), rows=rows)
    assert not [line for line in summary(result) if "not kept" in line or "dlq" in line]


def test_a_run_that_kept_nothing_says_all_that_took_the_rows() -> None:
    rows = ROWS | {"kept": 0}
    assert none_kept(rows, [_refused(1)]) == (
        "no row was kept of 20 read: 1 refused by python-1 (rule1)"
    )
    both = [
        {"destiny": "refused", "step": "decode", "rule": "undeclared", "rows": 1200},
        {"destiny": "filtered", "step": "filter-1", "rule": "keep", "rows": 3},
    ]
    assert none_kept(rows | {"read": 1203}, both) == (
        "no row was kept of 1,203 read: 1,200 refused by decode (undeclared), "
        "3 filtered by filter-1 (keep)"
    )
    assert none_kept(rows, [_refused(n) for n in range(9)]).endswith("(rule4) ... and 4 more")


@pytest.mark.parametrize(
    ("source", "size", "hashed", "warns"),
    [
        ("file:///new/a.jsonl", 9, "h", True),
        ("file:///old/a.jsonl", 9, "h", False),  # the same source
        ("file:///old/b.jsonl", 9, "h", True),  # renamed, or a copy
        ("file:///old/b.jsonl", 8, "h", False),
        ("file:///new/a.jsonl", 9, "other", False),
        ("file:///new/empty.jsonl", 0, "e", False),
    ],
)
def test_the_same_bytes_under_another_place_are_told(
    source: str, size: int, hashed: str, *, warns: bool
) -> None:
    known = pa.table(
        {
            "source": ["file:///old/a.jsonl", "file:///old/empty.jsonl"],
            "size": [9, 0],
            "hash": ["h", "e"],
        }
    )
    said = landed_before(known, [{"source": source, "size": size, "hash": hashed}])
    assert bool(said) == warns
    assert all(f"{source} (as file:///old/a.jsonl)" in text for text in said)
    assert landed_before(None, [{"source": source, "size": size, "hash": hashed}]) == []


def test_files_of_the_same_bytes_in_one_run_are_told() -> None:
    read = [{"source": f"file:///new/{n}", "size": 9, "hash": "h"} for n in ("a", "b")]
    (said,) = landed_before(None, read)
    assert "file:///new/b (as file:///new/a)" in said
    assert landed_before(None, [{**one, "size": 0} for one in read]) == []


def test_many_names_are_cut() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened([str(n) for n in range(1_007)]) == "0, 1, 2, 3, 4 ... and 1,002 more"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned(("a", "n"), [("wide", "7"), ("b", "1,000")], numbers=1) == [
        "a         n",
        "wide      7",
        "b     1,000",
    ]
