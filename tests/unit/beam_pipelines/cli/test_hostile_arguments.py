"""Arguments that nobody should give: each is refused in words with exit code 2, and does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.cli import VERBS, main
from tests.pipelines.shop import make_folder, sales

FOLDERS = [verb for verb in VERBS if verb not in ("init", "dlq")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_folder(tmp_path)
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 5))
    monkeypatch.chdir(tmp_path)
    return folder


def _refused(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], code: int = 2
) -> str:
    before = sorted(folder.parent.rglob("*"))
    assert main(arguments) == code, capsys.readouterr()
    said = capsys.readouterr()
    assert sorted(folder.parent.rglob("*")) == before
    assert "Traceback" not in said.out + said.err
    assert "should not have" not in said.err
    return said.err


@pytest.mark.parametrize("verb", FOLDERS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "a name must have characters, none of them NUL; got ''; write one"),
        ("a\0b", "a name must have characters, none of them NUL; got 'a\\x00b'; write one"),
        ("a\udcff", "names must be UTF-8; got 'a\\udcff'; set LC_ALL=C.UTF-8, or rename it"),
        ("nowhere", "a pipeline must be a folder; got 'nowhere'; name the folder of pipeline.yaml"),
        ("loop", "a pipeline must be a folder; got 'loop'; name the folder of pipeline.yaml"),
        ("/dev/null", "a pipeline must be a folder; got '/dev/null'; name the folder"),
        ("empty", "empty/pipeline.yaml:1: the file must exist; got no such file; correct the path"),
    ],
)
def test_a_folder_that_is_no_pipeline_is_refused_by_every_verb(
    folder: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str, said: str
) -> None:
    (folder.parent / "loop").symlink_to("loop")
    (folder.parent / "empty").mkdir()
    if verb == "stop" and "pipeline" in said:  # it asks for the record of a stream only
        said = "there must be a stream to stop; got no "
    assert said in _refused(capsys, folder, [verb, name])


@pytest.mark.parametrize(("kind", "got"), [("folder", "a folder"), ("link", "a broken link")])
def test_a_contract_that_is_no_file_is_said_to_be_what_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str, got: str
) -> None:
    contract = folder / "contract.odcs.yaml"
    contract.unlink()
    contract.mkdir() if kind == "folder" else contract.symlink_to(contract.name)
    said = _refused(capsys, folder, ["validate", str(folder)])
    assert said.endswith(
        "pipeline.yaml:2: `contract` must name a file of the folder; "
        f"got 'contract.odcs.yaml', {got}; add it\n"
    )


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("preview F --rows 0", "--rows: must be a whole number of at least 1; got '0'"),
        ("preview F --rows -1", "--rows: must be a whole number of at least 1; got '-1'"),
        ("preview F --rows 1e3", "--rows: must be a whole number of at least 1; got '1e3'"),
        (f"preview F --rows {HUGE}", f"--rows: must be at most 1,000,000,000,000; got {HUGE}"),
        (f"dlq show F --rows {HUGE}", f"--rows: must be at most 1,000,000,000,000; got {HUGE}"),
        ("dlq show F --rows x", "--rows: must be a whole number of at least 1; got 'x'; write 20"),
        ("dlq show F --rows 0", "--rows: must be a whole number of at least 1; got '0'; write 20"),
        ("maintain F --keep 0", "--keep: must be a whole number of at least 1; got '0'"),
        ("maintain F --age 9y", "must be a whole number and a unit; got '9y'"),
        ("produce F --partitions 0", "--partitions: must be a whole number of at least 1; got '0'"),
        (f"produce F --partitions {HUGE}", "--partitions: must be at most 100,000; got 99"),
        ("produce F --rate nan", "--rate: must be a number of 0 or more; got 'nan'"),
        ("produce F --rate inf", "--rate: must be a number of 0 or more; got 'inf'"),
        ("produce F --topic ", "--topic: must say something; got nothing"),
        (f"generate F --rows {HUGE}", "--rows: must be at most 1,000,000,000,000; got 99"),
        ("generate F --seed -1", "--seed: must be a whole number of at least 0; got '-1'"),
        ("generate F --broken nan", "--broken: must be a number of 0 or more; got 'nan'"),
        ("generate F --broken 2", "--broken must be a share from 0 to 1; got 2"),
        ("generate F --from 9999-12-31", "events must end before the year 10000; got --from 9999"),
        ("generate F --from ", "--from: must say something; got nothing"),
        ("generate F --span ", "--span: must say something; got nothing"),
        ("generate F --span 99999999999d", "--span must be at most 100 years; got"),
        ("generate F --into ", "--into: a name must have characters"),
        ("generate F --into a\udcff.csv", "--into: names must be UTF-8; got 'a\\udcff.csv'"),
        ("generate F --like ", "--like: a name must have characters"),
        ("evolve F --from ", "--from: must say something; got nothing"),
        ("run F --input ", "--input: must say something; got nothing"),
        ("run F --out ", "--out: a name must have characters"),
        ("plan F --set ", "--set must be path=value; got ''"),
        ("plan F --sinks ,", "--sinks must name sinks of the file; got ''"),
        ("plan F --set steps.-1=2", "must name an entry of the list by number or name; got '-1'"),
        ("plan F --set source={a:~&x~[1]}", "got an anchor or alias"),
        ("init ", "a name must have characters"),
        ("init a\udcff.csv", "names must be UTF-8; got 'a\\udcff.csv'"),
        ("dlq export F ", "a name must have characters"),
    ],
)
def test_a_flag_that_says_nothing_or_too_much_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    words = arguments.split(" ")
    words = [str(folder) if word == "F" else word.replace("~", " ") for word in words]
    assert said in _refused(capsys, folder, words)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("nowhere", "got PATH, which is not there; correct SAMPLE"),
        ("loop", "where the store says: Too many levels of symbolic links; correct SAMPLE"),
        (
            "links",
            "every file of a sample must be there; got LINK: No such file or directory; correct SAMPLE",
        ),
        (
            "/dev/zero",
            "every file of a sample must be a regular file; got /dev/zero; correct SAMPLE",
        ),
        ("empty", "must name at least one file; got none at PATH; correct SAMPLE"),
    ],
)
def test_a_sample_that_cannot_be_read_is_told_by_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str], sample: str, said: str
) -> None:
    here = folder.parent
    (here / "loop").symlink_to("loop")
    for name in ("links", "empty"):
        (here / name).mkdir()
    (here / "links" / "a.csv").symlink_to("gone.csv")
    want = said.replace("PATH", str(here / sample)).replace("LINK", f"{here}/links/gone.csv")
    assert want in _refused(capsys, folder, ["init", sample, "--into", "new"], code=1)


def test_files_without_an_end_are_not_imported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder), "--sinks", "lake"]) == 0
    for name, what in (("/dev/zero", "a device"), (str(folder), "Is a directory")):
        assert main(["dlq", "import", str(folder), name]) == 2
        assert f"must be UTF-8 text; got {name}: {what}; name one" in capsys.readouterr().err


def test_a_value_of_a_flag_that_a_verb_has_not_is_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["validate", "F", "--set", "a.password=hunter2", "--more=hunter2\nhunter2"]) == 2
    said = capsys.readouterr().err
    assert "unrecognized arguments: --set a.password=... --more=..." in said
    assert "hunter2" not in said


def test_a_current_folder_that_was_removed_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = folder.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for arguments in (["validate", "x"], ["init", str(folder / "data" / "a.jsonl")]):
        assert main(arguments) == 2
        assert "the folder that this runs in must be there; got one that" in capsys.readouterr().err


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "20", "TMPDIR": "/nowhere", "HOME": "/nowhere"},
    ],
)
def test_a_poor_environment_is_enough(folder: Path, surroundings: dict[str, str]) -> None:
    text = (folder / "data" / "a.jsonl").read_text().replace("KR", "Köln")
    (folder / "data" / "a.jsonl").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "beam_pipelines", "preview", str(folder), "--rows", "2"]
    path = f"{Path(__file__).parents[4]}"
    own = {k: v for k, v in os.environ.items() if k not in ("HOME", "LANG", "TMPDIR")}
    environment = {**own, **surroundings, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"a.jsonl at 0: kept" in b" ".join(done.stdout.split())
