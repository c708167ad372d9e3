"""A lake names its files by absolute paths, and says so when they are not there any more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.errors import CommitError
from schemas.planning import load_plan
from tests.pipelines.shop import make_folder
from transforms.commit.lake import open_lake


def test_a_lake_that_was_moved_is_told_to_go_back(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    plan = load_plan(folder)
    open_lake(plan).prepare(plan)
    moved = folder.rename(tmp_path / "moved")
    plan = load_plan(moved)
    with pytest.raises(CommitError, match=r"must stay where it was made.*move the folder back"):
        open_lake(plan).prepare(plan)


def test_a_lake_that_is_reached_by_another_path_is_the_same_lake(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    open_lake(load_plan(folder)).prepare(load_plan(folder))
    (tmp_path / "other disk").mkdir()
    moved = folder.rename(tmp_path / "other disk" / "shop")
    folder.symlink_to(moved)
    for way in (folder, moved):
        plan = load_plan(way)
        open_lake(plan).prepare(plan)
    folder.unlink()
    with pytest.raises(CommitError, match="move the folder back"):
        open_lake(load_plan(moved)).prepare(load_plan(moved))


def test_a_copy_of_a_lake_never_writes_to_the_files_of_the_other(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    plan = load_plan(folder)
    open_lake(plan).prepare(plan)
    before = sorted(folder.rglob("*"))
    plan = load_plan(Path(shutil.copytree(folder, tmp_path / "copy")))
    with pytest.raises(CommitError, match=r"must stay where it was made.*a copy of the one"):
        open_lake(plan).prepare(plan)
    assert sorted(folder.rglob("*")) == before
