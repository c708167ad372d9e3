"""The audit log shows what was changed in it, and several may write it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runners.audit import FILE, append, broken


def entries(out: Path) -> list[bytes]:
    return (out / FILE).read_bytes().splitlines(keepends=True)


def test_lines_of_several_writers_follow_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(tmp_path, "did", number=n), range(40)))
    assert broken(tmp_path / FILE) is None
    numbers = {json.loads(line)["number"] for line in entries(tmp_path)}
    assert numbers == set(range(40))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'"b"', b'"x"'), lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines, b"{}\n"], 4),
    ],
    ids=["changed", "taken out", "first taken out", "doubled", "swapped", "put in"],
)
def test_a_log_that_was_meddled_with_shows_where(tmp_path: Path, change: object, line: int) -> None:
    for name in "abc":
        append(tmp_path, name)
    assert broken(tmp_path / FILE) is None
    (tmp_path / FILE).write_bytes(b"".join(change(entries(tmp_path))))  # type: ignore[operator]
    assert broken(tmp_path / FILE) == line


def test_a_line_that_was_cut_short_stays_and_the_next_is_whole(tmp_path: Path) -> None:
    append(tmp_path, "a")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"action": "b"')
    append(tmp_path, "c")
    assert broken(tmp_path / FILE) == 2
    assert [json.loads(line)["action"] for line in entries(tmp_path)[::2]] == ["a", "c"]
