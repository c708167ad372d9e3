"""Functions are found in the pipeline folder, and finding them leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from schemas.errors import UsageError
from transforms.user_code import load_function


def write(folder: Path, **modules: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_module_of_the_folder_and_its_neighbours_are_found(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p",
        steps="import helper\ndef double(batch):\n    return helper.twice(batch)\n",
        helper="def twice(x):\n    return x * 2\n",
    )
    assert load_function("steps:double", folder)(21) == 42  # type: ignore[arg-type]


def test_nothing_stays_in_the_process(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", steps="import helper\ndef f(b):\n    return b\n", helper="")
    path, modules = list(sys.path), set(sys.modules)
    load_function("steps:f", folder)
    assert sys.path == path
    assert set(sys.modules) - modules == set()


def test_modules_of_one_name_in_two_folders_do_not_meet(tmp_path: Path) -> None:
    folders = [
        write(
            tmp_path / name,
            steps="from helper import NAME\ndef f(b):\n    return NAME\n",
            helper=f"NAME = {name!r}\n",
        )
        for name in ("one", "two")
    ]
    functions = [load_function("steps:f", folder) for folder in folders]
    assert [function(None) for function in functions] == ["one", "two"]  # type: ignore[arg-type]


def test_the_folder_comes_before_an_installed_module_which_stays_what_it_is(tmp_path: Path) -> None:
    import colorsys  # noqa: PLC0415

    folder = write(tmp_path / "p", colorsys="def rgb_to_hls(b):\n    return 'ours'\n")
    assert load_function("colorsys:rgb_to_hls", folder)(None) == "ours"  # type: ignore[arg-type]
    assert sys.modules["colorsys"] is colorsys


def test_an_installed_module_and_a_package_of_the_folder_are_found(tmp_path: Path) -> None:
    assert callable(load_function("json:loads", tmp_path))
    write(
        tmp_path / "pack",
        __init__="",
        inner="from . import other\ndef f(b):\n    return 7\n",
        other="",
    )
    assert load_function("pack.inner:f", tmp_path)(None) == 7  # type: ignore[arg-type]


def test_a_directory_without_init_is_a_package_of_modules_and_no_module(tmp_path: Path) -> None:
    write(tmp_path / "json")
    assert load_function("json:loads", tmp_path)("7") == 7  # type: ignore[arg-type]
    write(tmp_path / "plain", inner="def f(b):\n    return 7\n")
    assert load_function("plain.inner:f", tmp_path)(None) == 7  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("steps", "must be module:function; got 'steps'"),
        ("../steps:f", "must be module:function"),
        ("nowhere_at_all:f", "nowhere_at_all must be a module in .* or installed"),
        ("steps:duble", "got 'duble'; did you mean 'double'?"),
        ("steps:NUMBER", "must name a function"),
        ("needy:f", "needs no_such_package, which is not"),
        ("broken:f", "broken must be importable; got ZeroDivisionError"),
        ("wrong:f", "wrong must be importable; got SyntaxError"),
    ],
)
def test_what_cannot_be_found_is_named(tmp_path: Path, call: str, message: str) -> None:
    folder = write(
        tmp_path / "p",
        steps="NUMBER = 1\ndef double(b):\n    return b\n",
        needy="import no_such_package\n",
        broken="1 / 0\n",
        wrong="def f(:\n",
    )
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(UsageError, match=message):
        load_function(call, folder)
    assert sys.path == path
    assert set(sys.modules) - modules == set()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", steps="def f(b):\n    return b\n")
    folder = write(tmp_path / "p")
    (folder / "steps.py").symlink_to(tmp_path / "elsewhere" / "steps.py")
    with pytest.raises(UsageError, match="must lie inside"):
        load_function("steps:f", folder)
