"""The command line: exit codes, one message, help that is fast, a plan that touches no data."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from beam_pipelines import cli
from beam_pipelines.cli import main
from beam_pipelines.cli.ends import DEBUG
from schemas.durations import parse_duration
from schemas.errors import PenstockError

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: rows
version: 1.0.0
status: active
schema:
  - name: rows
    logicalType: object
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: n, logicalType: integer}
"""
PIPELINE = """\
name: rows
contract: contract.odcs.yaml
source: {batch: {files: {path: rows.jsonl}}}
steps:
  - derive: {twice: n * 2}
  - filter: {keep: twice > 0}
aggregates:
  - {name: all_time, windowing: {type: global}, measures: {rows: count(*)}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contract.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def test_a_good_pipeline_is_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.out == ("rows: contract and pipeline are valid: 2 columns, 2 steps, 1 aggregate\n")
    assert said.err == ""


def test_a_wrong_pipeline_is_told_once_on_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("twice > 0", "twise > 0"))
    assert main(["validate", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"{folder}/pipeline.yaml:6: `steps[1].filter.keep`: expression must name columns of the "
        "row; got twise; did you mean 'twice'?\n"
    )


def test_a_plan_is_told_to_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(folder), "--sinks", "lake"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  rows.jsonl (json)" in lines
    assert "    twice int64 = n * 2" in lines
    assert "    keep twice > 0" in lines
    assert "  processed_data.rows" in lines
    assert not [line for line in lines if "warehouse" in line]
    assert sorted(path.name for path in folder.iterdir()) == ["contract.odcs.yaml", "pipeline.yaml"]


def test_a_plan_for_a_program_is_one_json_object(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(folder), "--json", "--set", "name=other"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "other"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vaildate", "x"], "did you mean 'validate'?"),
        (["plan"], "the following arguments are required: folder"),
        (["plan", "x", "--runer", "flink"], "unrecognized arguments: --runer"),
        (["plan", "a\udcc3\udcbc"], "names must be UTF-8"),
        (["plan", "nowhere"], "a pipeline must be a folder; got 'nowhere'"),
    ],
)
def test_wrong_usage_ends_with_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["preview", "run"])
def test_data_that_is_not_there_is_told_with_what_the_contract_says_of_it(
    folder: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = (
        "the source must be a readable path, glob, directory or URL; got rows.jsonl, which is not "
        "there; correct --input or source.batch.files.path"
    )
    assert main([verb, str(folder)]) == 1
    assert capsys.readouterr().err == f"{wrong}\n"
    server = "{server: files, type: local, description: '`make rows` makes some.'}"
    contract = CONTRACT.replace("schema:\n", f"servers: [{server}]\nschema:\n")
    (folder / "contract.odcs.yaml").write_text(contract)
    assert main([verb, str(folder)]) == 1
    said = capsys.readouterr().err
    assert said == f"{wrong}; the contract says of its data: `make rows` makes some.\n"
    assert main([verb, str(folder), "--input", "other.jsonl"]) == 1
    assert "make rows" not in capsys.readouterr().err
    for other in (["generate", str(folder), "--like"], ["evolve", str(folder), "--from"]):
        assert main([*other, "other.jsonl"]) == 1
        said = capsys.readouterr().err
        assert "other.jsonl, which is not there" in said
        assert "make rows" not in said, "that is not what is missing"


def test_the_examples_say_how_to_get_their_data(capsys: pytest.CaptureFixture[str]) -> None:
    for example, how in (
        ("flights", "`make demo`"),
        ("events", "`python -m beam_pipelines.events"),
    ):
        main(["preview", f"beam_pipelines/{example}", "--set", "source.batch.files.path=not-here"])
        assert f"the contract says of its data: {how}" in " ".join(
            capsys.readouterr().err.replace("They are made up: ", "").split()
        )


class _Verb:
    SUMMARY = EXAMPLES = ""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def add_arguments(self, parser: object) -> None:
        pass

    def run(self, _: object) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PenstockError("the run must end well; got an error; look"), 1, "the run must end well"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_of_a_verb_decides_the_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "_module", lambda _: _Verb(error))
    assert main(["plan"]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err


def test_a_runner_module_names_its_runner(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(folder)], runner="spark") == 2
    assert "got spark" in capsys.readouterr().err


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from beam_pipelines.cli import main; code = main(['--help']);"
        "slow = {'apache_beam', 'pyarrow', 'duckdb', 'polars', 'pyiceberg', 'yaml', 'rich'};"
        "print(sorted(slow & set(sys.modules)), code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert "examples:" in done.stdout


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"penstock {version('penstock')}\n"


def test_an_unexpected_error_is_told_by_class_and_place_never_by_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        parse_duration(3)  # type: ignore[arg-type]
    except TypeError as error:
        inner = error
    text = "bad record\nada@example.org: 1955"
    for raised, said in (
        (inner, "TypeError at schemas.durations:"),
        (RuntimeError(text), "RuntimeError at "),
    ):
        monkeypatch.setattr(cli, "_module", lambda _, raised=raised: _Verb(raised))
        monkeypatch.delenv(DEBUG, raising=False)
        assert main(["plan"]) == 1
        printed = capsys.readouterr().err
        assert said in printed
        assert len(printed.splitlines()) == 1
        assert "ada@" not in printed
        monkeypatch.setenv(DEBUG, "1")
        with pytest.raises(type(raised)):
            main(["plan"])


@pytest.mark.parametrize(
    ("stdout", "code", "lines"), [("| true", 0, 0), (">/dev/full", 1, 1), (">&-", 0, 0)]
)
def test_a_stdout_that_takes_no_more_ends_without_a_traceback(
    folder: Path, stdout: str, code: int, lines: int
) -> None:
    command = f"set -o pipefail; {sys.executable} -m beam_pipelines validate {folder} {stdout}"
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines
    assert "Traceback" not in done.stderr


def test_validate_reads_the_function_of_a_python_step_and_plan_imports_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PIPELINE.replace("filter: {keep: twice > 0}", 'python: {call: "mine:work"}')
    (folder / "pipeline.yaml").write_text(text)
    assert main(["validate", str(folder)]) == 0
    assert "pipeline.yaml:6: `steps[1].python.call` names no module" in capsys.readouterr().out
    assert main(["plan", str(folder)]) == 2
    assert "add mine.py" in capsys.readouterr().err
    (folder / "mine.py").write_text("import penstock_lacks_this\ndef wrok(batch): ...\n")
    assert main(["validate", str(folder)]) == 2
    assert "did you mean 'wrok'?" in capsys.readouterr().err
    (folder / "mine.py").write_text("import penstock_lacks_this\ndef work(batch): ...\n")
    assert main(["validate", str(folder)]) == 0
    assert main(["plan", str(folder)]) == 2
    assert "it needs penstock_lacks_this" in capsys.readouterr().err
