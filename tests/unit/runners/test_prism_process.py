"""Prism's process: which binary, and what is said when it does not start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runners.prism import process
from schemas.errors import UsageError


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_binary_is_the_named_one_else_the_built_one_else_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, on_path = script(tmp_path / "other", ""), script(tmp_path / "prism", "")
    built = tmp_path / "built" / "prism-1"
    built.mkdir(parents=True)
    monkeypatch.setattr(process, "_BUILT", tmp_path / "built")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_PRISM", raising=False)
    assert process.find_binary() == on_path
    mine = script(built / "prism", "")
    assert process.find_binary() == mine
    monkeypatch.setenv("PENSTOCK_PRISM", str(named))
    assert process.find_binary() == named


@pytest.mark.parametrize(("named", "said"), [(None, "build it with make up"), ("/no", "got /no")])
def test_where_there_is_no_binary_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, said: str
) -> None:
    monkeypatch.setattr(process, "_BUILT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_PRISM", raising=False)
    if named is not None:
        monkeypatch.setenv("PENSTOCK_PRISM", named)
    with pytest.raises(UsageError, match=said):
        process.find_binary()


def test_a_prism_that_ends_at_once_is_told_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        pytest.raises(process.PrismError, match="its end with code 3"),
        process.started(script(tmp_path / "prism", "exit 3")),
    ):
        pass
    assert time.monotonic() - began < 10
