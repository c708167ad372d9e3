"""The first test of a new pipeline, as text."""

from __future__ import annotations

from string import Template
from typing import Final

from transforms.inference.fields import Sample
from transforms.inference.infer import Proposal

_TEXT: Final = Template(
    '''"""$name: run it on the sample, and count. `pytest tests` in the pipeline folder."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb

FOLDER = Path(__file__).resolve().parents[1]


def penstock(*arguments: object) -> str:
    """Return what the command prints."""
    command = [sys.executable, "-m", "beam_pipelines", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_contract_and_pipeline_are_valid() -> None:
    assert "are valid" in penstock("validate", FOLDER)


def test_every_record_has_one_destiny_and_lands(tmp_path: Path) -> None:
    said = json.loads(penstock("run", FOLDER, "--out", tmp_path, "--json").splitlines()[-1])
    rows = said["rows"]
    assert rows["read"] == sum(rows[d] for d in rows if d != "read")
    assert rows["read"] $read
    assert rows["refused"] $refused
    assert rows["kept"] > 0
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        landed = warehouse.execute("SELECT count(*) FROM processed_data.$name").fetchall()
    assert landed == [(rows["kept"],)]
'''
)


def check_text(proposal: Proposal) -> str:
    """Return `tests/test_pipeline.py`: counts of the sample, where all of it was looked at."""
    sample = proposal.sample
    whole = sample.whole
    return _TEXT.substitute(
        name=proposal.name,
        read=f"== {sample.rows + sample.broken}" if whole else f">= {sample.rows}",
        refused=_refused(sample),
    )


def _refused(sample: Sample) -> str:
    if sample.whole:
        return f"== {sample.broken}"
    if sample.broken:
        return f">= {sample.broken}  # in the part that was looked at"
    return "== 0  # none in the part that was looked at"
