"""The tour of README and documentation is typed again, and must say what is written there."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.tour import (
    CAST,
    README,
    TOUR,
    commands,
    normalised,
    played,
    refreshed,
    stated,
    text_of,
    transcript,
)


def differences(name: str, written: str, now: str) -> list[str]:
    before, after = (normalised(text).splitlines() for text in (written, now))
    return list(difflib.unified_diff(before, after, name, "what the commands say now", lineterm=""))


def test_the_tour_says_what_it_said_when_it_was_recorded(tmp_path: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in (README, TOUR)}
    typed = list(commands(pages[TOUR.name]))
    shown = list(commands(pages[README.name]))
    assert [command for command in shown if command not in typed] == [], "README has others"
    assert len(shown) > 4
    entries = list(played(iter(typed), tmp_path))
    said = {entry.command: entry.said for entry in entries}
    found = []
    for name, text in pages.items():
        found += differences(name, text, refreshed(text, said, 0))
    recorded, _ = transcript(CAST.read_text(encoding="utf-8"))
    found += differences(CAST.name, recorded, text_of(entries))
    if found:
        pytest.fail("\n".join(["`make tour` writes it anew:", *found]), pytrace=False)


def test_the_time_that_is_told_is_that_of_the_recording_and_less_than_five_minutes() -> None:
    _, seconds = transcript(CAST.read_text(encoding="utf-8"))
    told = {stated(page.read_text(encoding="utf-8")) for page in (README, TOUR)}
    assert told == {round(seconds)}
    assert seconds < 300


def test_rows_types_and_texts_are_compared_and_only_times_and_ids_are_not() -> None:
    page = "```console\n$ penstock run x\nx: read 10 = 9 kept + 1 refused  in 0.3 s\nb\n...\n```\n"
    assert list(commands(page)) == ["penstock run x"]
    same = "x: read 10 = 9 kept + 1 refused  in 12.9 s"
    said = {"penstock run x": [same, "b", "c"]}
    assert differences("x", page, refreshed(page, said, 0)) == []
    assert refreshed(page, said, 0) == page.replace("0.3", "12.9")
    for other in (same.replace("9 kept", "8 kept"), same.replace("read", "seen")):
        said = {"penstock run x": [other, "b", "c"]}
        assert f"+{normalised(other)}" in differences("x", page, refreshed(page, said, 0))


def test_a_command_of_several_lines_stays_as_it_is_typed() -> None:
    page = "```console\n$ cat <<'END'\n> a\n>\n>   b\n> END\na\n```\n"
    (command,) = commands(page)
    assert command == "cat <<'END'\na\n\n  b\nEND"
    assert refreshed(page, {command: ["a"]}, 0) == page
