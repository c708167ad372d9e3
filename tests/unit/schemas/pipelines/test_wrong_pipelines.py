"""What is wrong with a pipeline is said with its line, what must hold, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SpecError, UsageError
from schemas.planning import check_pipeline, load_plan

Folder = Callable[..., Path]


def _wrong() -> list[tuple[str, str, list[str]]]:
    text = (Path(__file__).parent / "wrong.txt").read_text(encoding="utf-8")
    cases = []
    for block in text.split("\n\n")[1:]:
        lines = [line.replace("\\n", "\n") for line in block.splitlines()]
        said = [line[2:] for line in lines if line.startswith("! ")]
        cases.append((lines[0][2:], lines[1][2:], said))
    return cases


@pytest.mark.parametrize(("old", "new", "said"), _wrong(), ids=lambda value: str(value)[:40])
def test_a_wrong_pipeline_is_told_what_is_wrong(
    folder: Folder, old: str, new: str, said: list[str]
) -> None:
    where = folder(old, new)
    with pytest.raises(SpecError) as caught:
        load_plan(where)
    found = caught.value.problems
    assert {problem.file for problem in found} == {where / "pipeline.yaml"}
    assert [f"{problem.line}: {problem.message}" for problem in found] == said


def test_the_problems_of_both_files_are_told_at_once(folder: Folder) -> None:
    where = folder("horizon: 1d", "horizon: soon")
    contract = where / "contract.odcs.yaml"
    contract.write_text(contract.read_text().replace("logicalType: integer", "logicalType: int"))
    with pytest.raises(SpecError) as caught:
        load_plan(where)
    assert {problem.file.name for problem in caught.value.problems} == {
        "contract.odcs.yaml",
        "pipeline.yaml",
    }


def test_a_column_whose_expression_is_wrong_is_told_once(folder: Folder) -> None:
    where = folder("amount > 100", "amonut > 100")
    with pytest.raises(SpecError) as caught:
        load_plan(where)
    (problem,) = caught.value.problems
    assert problem.line == 8


LATER = [
    ("warehouse: {}", "timeseries: {tables: [hourly]}", 24, "got timeseries; run with --sinks"),
    ("  - filter:", "  - clear: [email]\n    filter:", 10, "clear values are not in this version"),
    (
        'batch: {files: {path: "data/*.jsonl.gz"}}',
        'stream: {kafka: {topic: t, brokers: "${BROKERS}"}, disorder: 30s}',
        3,
        "got `stream` only; run it with --stream --runner prism, or add `batch`",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), LATER, ids=lambda value: str(value)[:30])
def test_what_this_version_does_not_run_parses_and_is_refused_when_it_is_planned(
    folder: Folder, old: str, new: str, line: int, said: str
) -> None:
    where = folder(old, new)
    _, notes = check_pipeline(where)
    with pytest.raises(SpecError) as caught:
        load_plan(where)
    notes = [note for note in notes if "python.call" not in note.message]  # said by validate only
    assert caught.value.problems == notes
    (problem,) = notes
    assert problem.line == line
    assert said in problem.message


def test_sinks_that_are_left_out_are_not_needed(folder: Folder) -> None:
    where = folder("warehouse: {}", "timeseries: {tables: [hourly]}")
    assert list(load_plan(where, sinks=["lake"]).sinks) == ["lake"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"runner": "flnk"}, "got 'flnk'; did you mean 'flink'?"),
        ({"runner": "spark"}, "runs a batch on (direct, flink); got spark; use --runner direct"),
        ({"runner": "prism"}, "got prism; use --runner direct, or add --stream"),
        ({"cloud": "gcp"}, "one that this version runs (local); got gcp; use local"),
        (
            {"mode": "stream"},
            "(prism, flink); got direct; use --runner prism, or leave out --stream",
        ),
        ({"mode": "stream", "runner": "spark"}, "(prism, flink); got spark; use --runner prism"),
        ({"mode": "stream", "runner": "prism", "input": "a"}, "--input must come with a batch"),
        (
            {"sinks": ["lak"]},
            "--sinks must name sinks of the file; got 'lak'; did you mean 'lake'?",
        ),
        ({"sinks": ["warehouse"]}, "sinks must include the lake, which the others follow"),
        ({"sets": ["steps"]}, "--set must be path=value; got 'steps'"),
        ({"sets": ["aggregates.9.name=x"]}, "by number or name; got '9'"),
        ({"sets": ["aggregates.hourli.name=x"]}, "got 'hourli' in"),
        ({"sets": ["name=[a"]}, "--set must have a YAML value; got another for 'name'"),
    ],
)
def test_a_flag_without_a_meaning_is_refused(
    folder: Folder, flags: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_plan(folder(), **flags)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert not isinstance(caught.value, SpecError)


def test_a_value_that_is_set_is_checked_like_one_that_is_written(folder: Folder) -> None:
    with pytest.raises(SpecError, match=r"`aggregates\[0\]\.windowing\.size` must be a whole"):
        load_plan(folder(), sets=["aggregates.hourly.windowing.size=soon"])


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a pipeline must be a folder"):
        load_plan(tmp_path / "nothing")
    with pytest.raises(SpecError, match="the file must exist"):
        load_plan(tmp_path)
