"""Proposals over samples that a test writes down as text."""

from __future__ import annotations

import tempfile
from pathlib import Path

from transforms.inference.infer import Proposal, infer
from transforms.inference.reading import read_sample


def csv_proposal(text: str, **chosen: str) -> Proposal:
    """Return what init would propose of a CSV file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "s.csv").write_text(text, encoding="utf-8")
        return infer("s", read_sample("s.csv", Path(folder)), **chosen)
