"""`penstock maintain`: the lake of a pipeline tended from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import PROCESSED, Out, assert_tables, expected, make_folder, sales


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_lake_is_tended_and_holds_what_it_held(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["maintain", str(folder)]) == 2
    assert "penstock run" in capsys.readouterr().err
    files = {f"{k}.jsonl": sales(40 * k, 40) for k in range(3)}
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content)
        assert main(["run", str(folder), "--sinks", "lake"]) == 0
    capsys.readouterr()
    assert main(["maintain", str(folder), "compact", "--dry-run", "--json"]) == 0
    would = _json(capsys)
    assert would["dry_run"] is True
    assert (would["expire"], would["orphans"]) == (None, None)
    assert main(["maintain", str(folder), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shop: what would be done; nothing was changed"
    assert [line.split()[0] for line in lines[-2:]] == ["expire", "orphans"]
    assert main(["maintain", str(folder), "--json"]) == 0
    did = _json(capsys)["compact"]
    assert did[PROCESSED]["files"] == would["compact"][PROCESSED]["files"] == 3
    assert did[PROCESSED]["into"] == 1
    assert main(["load", str(folder)]) == 0
    assert_tables(Out(folder / "out"), expected(files))
    capsys.readouterr()
    assert main(["maintain", str(folder), "compact"]) == 0
    assert capsys.readouterr().out == "shop: no files to put together\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["expires"], "a task must be one of compact, expire, orphans; got 'expires'"),
        (["--age", "soon"], "must be a whole number and a unit; got 'soon'"),
        (["--keep", "0"], "--keep: must be a whole number of at least 1; got '0'"),
    ],
)
def test_wrong_usage_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    (folder / "out" / "lake").mkdir(parents=True)
    assert main(["maintain", str(folder), *flags]) == 2
    assert message in capsys.readouterr().err
