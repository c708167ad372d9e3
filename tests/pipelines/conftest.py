"""The small shop as a folder, what its runs leave, and `penstock run` over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import Out, make_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture
def out(folder: Path) -> Out:
    return Out(folder / "out")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the folder with more flags; return what it says as JSON."""

    def once(*flags: str) -> dict[str, Any]:
        code = main(["run", str(folder), "--json", *flags])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return once
