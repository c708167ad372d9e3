"""A place that cannot be written is said in one sentence by every command, and nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_pipelines.cli import main
from tests.faults.disk import BALLAST, fill, small_disk
from tests.pipelines.shop import make_folder, sales

MUST = " must be a place that can be read and written; got: "
DENIED = f"{MUST}Permission denied; let this user read and write there, or "
ANSWERS = """\
import contextlib, io, json, sys
from beam_pipelines.cli import main
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    print(json.dumps([code, said.getvalue()]))
"""


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("refusals"))
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 20, broken=2))
    assert main(["run", str(folder)]) == 0
    return folder


@pytest.fixture
def read_only(landed: Path) -> Iterator[Path]:
    every = [Path(root) / name for root, _, files in os.walk(landed) for name in (".", *files)]
    before = {path: path.stat().st_mode for path in every}
    for path, mode in before.items():
        path.chmod(mode & ~0o222)
    yield landed
    for path, mode in before.items():
        path.chmod(mode)


def _without_rights(commands: list[list[str]]) -> list[tuple[int, str]]:
    """Run commands as a user whom modes of files bind; root is only that without capabilities."""
    command = [sys.executable, "-c", ANSWERS]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root has every right, and setpriv is not here to take them away")
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    asked = json.dumps(commands)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_a_pipeline_that_may_only_be_read_is_told_by_every_command_that_writes(
    read_only: Path, tmp_path: Path
) -> None:
    name, out = str(read_only), read_only / "out"
    (tmp_path / "more.jsonl").write_bytes(sales(20, 30))
    (tmp_path / "free").mkdir()
    own = tmp_path / "own"
    shutil.copytree(read_only, own, ignore=shutil.ignore_patterns("out", ".penstock-key"))
    more = ["--input", str(tmp_path / "more.jsonl")]
    another, copy = "choose another --out\n", "copy the pipeline folder to a place of your own\n"
    said = {
        ("run", name, *more): (f"{out}/lake/catalog.db", another),
        ("run", name, "--out", f"{name}/x"): (name, another),
        ("run", str(own), "--out", f"{tmp_path}/free/x"): (own, copy),
        ("preview", name, "--show-personal"): (out, another),
        ("dlq", "show", name, "--records"): (out, another),
        ("dlq", "export", name, "x.jsonl"): (out, another),
        ("dlq", "replay", name): (f"{out}/lake/catalog.db", another),
        ("load", name): (f"{out}/warehouse.duckdb", another),
        ("docs", name): (name, "name another place\n"),
        ("generate", name): (f"{name}/data", "name another place\n"),
        ("init", more[1], "--into", f"{name}/x"): (name, "name another place\n"),
    }
    answers = _without_rights([list(command) for command in said])
    for (command, (place, instead)), (code, message) in zip(said.items(), answers, strict=True):
        assert code == 1, command
        assert message.count("\n") == 1, message
        assert message.startswith(f"{place}{MUST}Permission denied; "), message
        assert message.endswith(f"let this user read and write there, or {instead}"), message
    quiet = [["preview", name], ["dlq", "list", name], ["status", name], ["plan", name, "--diff"]]
    assert [code for code, _ in _without_rights(quiet)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("command", "code", "place"),
    [
        (["run", "FOLDER", "--out", "FILE"], 2, "FILE"),
        (["run", "FOLDER", "--out", "FILE/x"], 2, "FILE"),
        (["run", "FOLDER", "--out", "/proc/x"], 1, "/proc/x"),
        (["preview", "FOLDER", "--show-personal", "--out", "FILE"], 2, "FILE"),
        (["dlq", "export", "FOLDER", "FILE/x"], 2, "FILE"),
        (["generate", "FOLDER", "--into", "FILE/x.jsonl"], 2, "FILE"),
        (["init", "FOLDER/data/a.jsonl", "--into", "FILE/x"], 2, "FILE"),
    ],
)
def test_a_file_where_a_folder_must_be_is_named(
    landed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    code: int,
    place: str,
) -> None:
    file = tmp_path / "file"
    file.touch()

    def put(text: str) -> str:
        return text.replace("FOLDER", str(landed)).replace("FILE", str(file))

    assert main([put(word) for word in command]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"{put(place)}{MUST}"), said
    assert said.count("\n") == 1


@pytest.mark.parametrize("verb", ["run", "load", "status", "docs"])
def test_a_catalog_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    folder = make_folder(tmp_path)
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 5))
    catalog = folder / "out" / "lake" / "catalog.db"
    catalog.parent.mkdir(parents=True)
    catalog.write_bytes(b"\xff" * 5000)
    assert main([verb, str(folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"the lake's catalog must be a whole SQLite file; got {catalog}, which")


def test_a_full_disk_is_told_and_leaves_no_half_of_a_file(
    landed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, own = str(landed / "data" / "a.jsonl"), str(landed)
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        new = str(disk / "new")
        for command in (
            ["init", sample, "--into", new, "--yes"],
            ["generate", own, "--into", f"{new}.jsonl"],
            ["dlq", "export", own, f"{new}.jsonl"],
        ):
            assert main(command) == 1, command
            assert f"{MUST}No space left on device; free space" in capsys.readouterr().err
            assert [path.name for path in disk.iterdir()] == [BALLAST]
        for command in (["preview", own, "--show-personal"], ["run", own]):
            assert main([*command, "--out", new]) == 1, command
            assert f"{MUST}No space left on device; free space" in capsys.readouterr().err
        (disk / BALLAST).unlink()
        assert main(["run", own, "--out", new]) == 0
