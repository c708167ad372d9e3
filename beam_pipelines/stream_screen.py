"""What a person sees of a stream while it runs: redrawn in place at a terminal, lines in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from beam_pipelines.progress_screen import at_terminal
from beam_pipelines.stream_drawing import Facts, draw, line
from beam_pipelines.stream_view import Lookout, View
from schemas.errors import SourceError
from schemas.plan import Plan
from transforms.commit.lake import open_lake
from transforms.commit.ranges import Ranges, missing, size

_DRAW_S: Final = 0.5
_LOOK_S: Final = 1.0
_ENDS_S: Final = 2.0
_PIPED_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A stream as it begins, for who watches it.

    Attributes:
        plan: What runs.
        run_id: Its run.
        began: When, seconds since 1970.
        seq: The lake's last commit before.
        done: Positions done before.
        starts: Position where each source goes on.
        ends: Asks for the positions where the sources end now.
        followed: Says how far the warehouse is; None: there is none.
    """

    plan: Plan
    run_id: str
    began: float
    seq: int
    done: Ranges
    starts: Mapping[str, int]
    ends: Callable[[], Mapping[str, int]]
    followed: Callable[[], str] | None = None


@contextmanager
def watched(standing: Standing) -> Iterator[None]:
    """Show a stream on stderr while the block runs."""
    watcher = _Watcher(standing)
    thread = threading.Thread(target=watcher.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stop.set()
        thread.join(timeout=5)


class _Watcher:
    """Looks at lake and source now and then; what it cannot read it shows as not known."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.stop = threading.Event()
        self._lag: int | None = None
        self._asked = -_ENDS_S
        self._looked = -_LOOK_S
        self._lookout: Lookout | None = None
        self._view = View(seq=standing.seq, done=standing.done)
        self._trouble: str | None = None

    def run(self) -> None:
        with suppress(OSError, ValueError):  # nobody can read it: the stream goes on
            if at_terminal():
                self._live()
            else:
                self._piped()

    def facts(self) -> Facts:
        """Return what is to be shown now."""
        s, now = self.standing, time.monotonic()
        if now >= self._looked + _LOOK_S:
            self._looked = now
            self._look()
        if now >= self._asked + _ENDS_S:
            self._asked = now
            self._lag = self._behind(self._view.done)
        return Facts(
            plan=s.plan,
            view=self._view,
            seconds=time.time() - s.began,
            lag=self._lag,
            followed=s.followed() if s.followed is not None else None,
            trouble=self._trouble,
        )

    def _look(self) -> None:
        s = self.standing
        try:
            if self._lookout is None:
                self._lookout = Lookout(
                    open_lake(s.plan), s.plan, s.run_id, seq=s.seq, done=s.done, opened=s.began
                )
            self._view = self._lookout.look()
        except Exception as error:  # noqa: BLE001 - a screen must stop no stream, whatever it is
            self._trouble = type(error).__name__
        else:
            self._trouble = None

    def _behind(self, done: Ranges) -> int | None:
        s = self.standing
        try:
            ends = s.ends()
        except SourceError:
            return None
        # Partitions that appear while it runs are read from their beginning.
        wanted = {source: [(s.starts.get(source, 0), end)] for source, end in ends.items()}
        return size(missing(wanted, done))

    def _live(self) -> None:
        from rich.console import Console  # noqa: PLC0415  not paid for in a pipe
        from rich.live import Live  # noqa: PLC0415

        console = Console(file=sys.stderr, highlight=False)
        with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
            while True:
                width, height = console.size
                live.update(draw(self.facts(), width, height), refresh=True)
                if self.stop.wait(_DRAW_S):
                    break
            self._looked = -_LOOK_S
            live.update(draw(self.facts(), *console.size), refresh=True)

    def _piped(self) -> None:
        shown = None
        while not self.stop.wait(_PIPED_S):
            facts = self.facts()
            if facts.view.seq != shown:
                shown = facts.view.seq
                say(line(facts))


def say(text: str) -> None:
    """Write a line on stderr, above what is redrawn there."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # nobody can read it: the stream goes on
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
