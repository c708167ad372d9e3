"""The tour of the documentation: `python -m tests.tour` types it again and writes down what is said.

Blocks of `console` hold commands, each after `$ ` (lines that go on after `> `), and what they said.
Where that ends with a line `...` as many lines as there are stand for all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "docs" / "tour.md"
README = ROOT / "README.md"
CAST = ROOT / "docs" / "tour.cast"
HOME = "/tmp/tour"
"""Stands for the folder that commands were typed in."""
_PAUSE = 1.0
"""Seconds after each command of the recording, to read."""
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SECONDS = re.compile(r"(<!-- tour:seconds -->)(\d+)(<!-- tour:end -->)")
_PROGRESS = re.compile(r"\w+: (?:looking at|starting|landing|reading)\b.*  \d+ s\n")
"""What a run says every five seconds: how often depends on the machine."""
_VARYING = (
    (re.compile(r"\bin \d+\.\d+ ?s\b"), "in # s"),
    (re.compile(r"\(batch, [\d.]+ s to"), "(batch, # s to"),
    (re.compile(r"last run \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "last run #"),
    (re.compile(r"; plan [0-9a-f]{12}$", re.MULTILINE), "; plan #"),
    (re.compile(r"^  penstock \d.*$", re.MULTILINE), "  versions #"),
    (re.compile(r"\| ([\d,]+) \| [\d,]+ \|$", re.MULTILINE), r"| \1 | # |"),
    (re.compile(r"('email': ')[0-9a-f]+"), r"\1#"),
    (_SECONDS, "# s"),
)
"""Times, ids and versions: what may differ from one day to the next."""


@dataclass(frozen=True)
class Entry:
    """A command and what it said.

    Attributes:
        command: As typed, perhaps in several lines.
        lines: Seconds since it was typed, and a line with its end.
        seconds: Until it ended.
    """

    command: str
    lines: tuple[tuple[float, str], ...]
    seconds: float

    @property
    def said(self) -> list[str]:
        """The lines that it said."""
        return [line.rstrip("\n") for _, line in self.lines]


def commands(text: str) -> Iterator[str]:
    """Commands of a page, in order."""
    for block in _BLOCK.findall(text):
        typed: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                typed.append(line[2:])
            elif typed and re.match(r">( |$)", line):
                typed[-1] += f"\n{line[2:]}"
        yield from typed


def played(typed: Iterator[str], folder: Path) -> Iterator[Entry]:
    """Type commands in a folder, one after the other; each must end well.

    Raises:
        RuntimeError: One did not.
    """
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
        "TZ": "UTC",
    }
    for command in typed:
        began, lines = time.monotonic(), list[tuple[float, str]]()
        with subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        ) as process:
            assert process.stdout is not None
            lines.extend(
                (time.monotonic() - began, line.replace(str(folder), HOME))
                for line in process.stdout
                if not _PROGRESS.fullmatch(line)
            )
        entry = Entry(command, tuple(lines), time.monotonic() - began)
        if process.returncode:
            msg = f"{command!r} of the tour ended with {process.returncode}: {entry.said}"
            raise RuntimeError(msg)
        yield entry


def refreshed(text: str, said: Mapping[str, list[str]], seconds: float) -> str:
    """Put what commands say now in the place of what a page says that they said."""

    def block(match: re.Match[str]) -> str:
        return f"```console\n{''.join(_refreshed(match[1], said))}```"

    text = _BLOCK.sub(block, text)
    return _SECONDS.sub(lambda match: f"{match[1]}{seconds:.0f}{match[3]}", text)


def _refreshed(block: str, said: Mapping[str, list[str]]) -> Iterator[str]:
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE)[1:]:
        (command,) = commands(f"```console\n{part}```")
        yield _typed(command)
        before = part.splitlines()[command.count("\n") + 1 :]
        lines = said[command]
        if before and before[-1] == "...":
            lines = [*lines[: len(before) - 1], "..."]
        yield from (f"{line}\n" for line in lines)


def stated(text: str) -> int:
    """Return the seconds that a page says the tour took.

    Raises:
        ValueError: It does not say it once.
    """
    ((_, seconds, _),) = _SECONDS.findall(text)
    return int(seconds)


def normalised(text: str) -> str:
    """Take out what may differ from one day to the next."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


def cast(entries: list[Entry]) -> str:
    """Return the session as a file that asciinema plays."""
    header = {"version": 2, "width": 100, "height": 40, "title": "Penstock: a sample to a report"}
    at, lines = 0.0, [json.dumps(header)]

    def out(text: str) -> None:
        shown = text.replace("\n", "\r\n")
        lines.append(json.dumps([round(at, 3), "o", shown], ensure_ascii=False))

    for entry in entries:
        out(_typed(entry.command))
        began = at
        for seconds, line in entry.lines:
            at = began + seconds
            out(line)
        at = began + entry.seconds + _PAUSE
    out("")
    return "\n".join(lines) + "\n"


def transcript(recording: str) -> tuple[str, float]:
    """Return what a recording shows, and how many seconds its commands took."""
    _, *events = map(json.loads, recording.splitlines())
    text = "".join(shown for _, _, shown in events).replace("\r\n", "\n")
    count = sum(shown.startswith("$ ") for _, _, shown in events)
    return text, events[-1][0] - count * _PAUSE


def text_of(entries: list[Entry]) -> str:
    """Return a session as it looks in a terminal."""
    return "".join(
        _typed(entry.command) + "".join(line for _, line in entry.lines) for entry in entries
    )


def _typed(command: str) -> str:
    """Return a command as a person sees it typed, of several lines with `>` before the others."""
    return f"$ {command}\n".replace("\n", "\n> ").removesuffix("> ").replace("\n> \n", "\n>\n")


def main() -> None:
    """Record the tour, and put it into the pages."""
    with tempfile.TemporaryDirectory() as folder:
        entries = list(played(commands(TOUR.read_text(encoding="utf-8")), Path(folder)))
    said = {entry.command: entry.said for entry in entries}
    seconds = sum(entry.seconds for entry in entries)
    for page in (TOUR, README):
        text = page.read_text(encoding="utf-8")
        page.write_text(refreshed(text, said, seconds), encoding="utf-8")
    CAST.write_text(cast(entries), encoding="utf-8")
    print(f"{len(entries)} commands in {seconds:.1f} s")


if __name__ == "__main__":
    main()
