"""Samples as files, and what init proposes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.samples import Infer, csv_proposal
from transforms.inference.infer import Proposal, infer
from transforms.inference.reading import read_sample


@pytest.fixture
def csv() -> Infer:
    return csv_proposal


@pytest.fixture
def json_lines(tmp_path: Path) -> Infer:
    def of(*records: dict[str, object]) -> Proposal:
        (tmp_path / "s.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        return infer("s", read_sample("s.jsonl", tmp_path))

    return of
