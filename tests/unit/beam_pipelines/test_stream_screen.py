"""The screen beside a stream: lines in a pipe, and nothing that it cannot read stops anything."""

import io
import time
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import stream_screen
from beam_pipelines.stream_screen import Standing, watched
from schemas.errors import SourceError
from tests.pipelines.shop import make_folder, sales
from tests.streams import Middle, commit, raw, stream_plan
from transforms.continuous.committer import Memory

LINES = sales(0, 60).splitlines()


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


def standing(middle: Middle, ends: Any) -> Standing:
    return Standing(
        plan=middle.plan,
        run_id="run",
        began=time.time(),
        seq=0,
        done={},
        starts={"c/t/0": 0},
        ends=ends,
    )


def until(text: io.StringIO, said: str) -> str:
    deadline = time.monotonic() + 20
    while said not in text.getvalue():
        assert time.monotonic() < deadline, text.getvalue()
        time.sleep(0.02)
    return text.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_a_line_for_what_is_new_without_escapes(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr(stream_screen, "_PIPED_S", 0.05)
    monkeypatch.setattr(stream_screen, "_LOOK_S", 0.05)
    monkeypatch.setattr(stream_screen, "_ENDS_S", 0.05)
    with watched(standing(middle, lambda: {"c/t/0": 100, "c/t/1": 5})):
        until(err, "lag 105 messages")
        commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
        text = until(err, "60 read")
        time.sleep(0.3)
        assert err.getvalue() == text  # nothing is new
    assert "lag 45 messages" in text
    assert "\x1b" not in text


def test_a_terminal_is_redrawn_and_keeps_the_last_state(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    with watched(standing(middle, lambda: {"c/t/0": 60})):
        until(err, "60 messages")
        commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    assert "60 read" in err.getvalue().rpartition("watermark")[0].rpartition("rows ")[2]
    assert "\x1b[?25h" in err.getvalue()  # the cursor is back


def test_what_cannot_be_read_is_said_and_looked_for_again(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("TERM", "xterm")

    def down() -> Any:
        msg = "the Kafka brokers must answer"
        raise SourceError(msg)

    def gone(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    with watched(standing(middle, down)), monkeypatch.context() as broken:
        broken.setattr(stream_screen.Lookout, "look", gone)
        until(err, "cannot be read now: FileNotFoundError")
        assert "lag        not known yet" in err.getvalue().replace("\x1b[0m", "")
        broken.undo()
        monkeypatch.setattr("sys.stderr", err)
        commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
        until(err, "60 read")
