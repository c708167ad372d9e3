"""What a sample shows of ranges and lengths stands in comments, of persons nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.init_contract import contract_text
from transforms.inference.infer import Proposal, infer
from transforms.inference.observed import Observed, observed
from transforms.inference.reading import read_sample

ROWS = [
    {
        "n": i % 30 - 5, "x": i / 4 if i % 2 else None, "on": f"2026-01-{1 + i % 28:02d}",
        "at": f"2026-02-03T04:{i % 60:02d}:00Z", "word": "ab" * (1 + i % 3),
        "email": f"someone{i}@mail.test", "date_of_birth": f"19{50 + i % 40}-03-04",
    }
    for i in range(120)
]  # fmt: skip


def proposed(path: Path) -> Proposal:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif path.suffix == ".csv":
        lines = [",".join("" if v is None else str(v) for v in row.values()) for row in ROWS]
        path.write_text("\n".join([",".join(ROWS[0]), *lines]) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return infer("seen", read_sample(str(path), path.parent))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_ranges_lengths_nulls_and_different_values_are_told(tmp_path: Path, suffix: str) -> None:
    found = {path: observed(prop) for path, prop in proposed(tmp_path / f"a.{suffix}").walk()}
    assert found["n"] == Observed(rows=120, nulls=0, distinct=30, range=("-5", "24"))
    assert found["x"] == Observed(rows=120, nulls=60, distinct=60, range=("0.25", "29.75"))
    assert found["on"] == Observed(
        rows=120, nulls=0, distinct=28, range=("2026-01-01", "2026-01-28")
    )
    assert found["at"] == Observed(
        rows=120, nulls=0, distinct=60, range=("2026-02-03T04:00:00Z", "2026-02-03T04:59:00Z")
    )
    assert found["word"] == Observed(rows=120, nulls=0, distinct=3, lengths=(2, 6))
    assert found["email"] is None
    assert found["date_of_birth"] is None


def test_comments_of_the_contract_tell_what_was_seen_but_of_persons(tmp_path: Path) -> None:
    proposal = proposed(tmp_path / "a.jsonl")
    text = contract_text(proposal, tmp_path)
    assert "# -5 to 24; 30 different values\n" in text
    assert "# null in 60 of 120; 0.25 to 29.75; 60 different values\n" in text
    assert "# 2 to 6 characters; 3 different values\n" in text
    assert "1950" not in text
    # The control: a column that is not known to be about persons is told of.
    bare = [replace(p, classification=None, protect=None) for p in proposal.properties]
    text = contract_text(replace(proposal, properties=tuple(bare)), tmp_path)
    assert "# 1950-03-04 to 1989-03-04; 40 different values\n" in text
