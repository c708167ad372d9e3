"""Proposals over samples that a test writes down as text."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from transforms.inference.infer import Proposal, infer
from transforms.inference.properties import Property
from transforms.inference.reading import read_sample

Infer = Callable[..., Proposal]


def csv_proposal(text: str, **chosen: str) -> Proposal:
    """Return what init would propose of a CSV file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "s.csv").write_text(text, encoding="utf-8")
        return infer("s", read_sample("s.csv", Path(folder)), **chosen)


def column(proposal: Proposal, path: str) -> Property:
    """Return the property at a path."""
    return dict(proposal.walk())[path]


def of_column(values: list[str], name: str = "x") -> str:
    """Return a CSV file with these values in its first column."""
    return f"{name},other\n" + "".join(f"{v},1\n" for v in values)
