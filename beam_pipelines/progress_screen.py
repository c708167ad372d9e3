"""What a person sees of a run: counts while it lasts, and a table at the end."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Final

from beam_pipelines.batch import FOLLOWERS, Result
from beam_pipelines.columns import aligned
from schemas.names import Destiny
from schemas.plan import Plan
from transforms.changes.seen import Change
from transforms.progress import Progress
from transforms.sources.files import Discovery

Watch = Callable[[Discovery, Progress], None]

_SHOWN: Final = 12
_REDRAW_S: Final = 0.15
_PIPED_S: Final = 5
_WIPE: Final = "\r\x1b[K"


class _Watcher:
    """Reads the counters a few times a second and draws one line."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress = name, progress
        self.began = time.monotonic()
        self.total: int | None = None
        self.files = 0
        self.stop = threading.Event()

    def found(self, found: Discovery, _: Progress) -> None:
        plain = all(s.compression == "none" and s.format in ("json", "csv") for s in found.slices)
        # How far a compressed or columnar file reaches is known at its end only.
        self.total = found.stored_bytes if plain else 0
        self.files = len({s.source for s in found.slices})

    def line(self) -> str:
        now, seconds = self.progress.read(), time.monotonic() - self.began
        if not now["read"]:
            stage = "looking at the source" if self.total is None else "starting"
            return f"{self.name}: {stage}  {seconds:.0f} s"
        rate = now["read"] / max(seconds, 0.01)
        if now["landed"]:
            stage = f"landing  {now['landed']:,} rows"
        else:
            stage = f"reading {self.files} file{'s' if self.files != 1 else ''}"
        text = f"{self.name}: {stage}  {now['read']:,} read  {rate:,.0f} rows/s"
        if now["refused"]:
            text += f"  {now['refused']:,} refused"
        if self.total and now["bytes"] < self.total and not now["landed"]:
            left = seconds * (self.total - now["bytes"]) / max(now["bytes"], 1)
            text += f"  {100 * now['bytes'] / self.total:.0f} %  about {left:.0f} s of reading left"
        return text + f"  {seconds:.0f} s"

    def run(self) -> None:
        live = at_terminal()
        with suppress(OSError, ValueError):  # nobody can read it: the run goes on
            while not self.stop.wait(_REDRAW_S if live else _PIPED_S):
                self._write(_WIPE + _cut(self.line()) if live else self.line() + "\n")
            if live:
                self._write(_WIPE)

    def _write(self, text: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def at_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _cut(line: str) -> str:
    """Cut a line to the terminal: a longer one would leave its rest behind at each redraw."""
    room = max(shutil.get_terminal_size().columns - 1, 10)
    return line if len(line) <= room else line[: room - 3] + "..."


@contextmanager
def screen(name: str, progress: Progress, *, quiet: bool) -> Iterator[Watch]:
    """Show a run while the block runs; on stderr, so that stdout holds results only.

    Args:
        name: The pipeline's.
        progress: Counters that the run adds to.
        quiet: Show nothing (a program reads the result).
    """
    if quiet:
        yield lambda found, progress: None  # noqa: ARG005
        return
    watcher = _Watcher(name, progress)
    thread = threading.Thread(target=watcher.run, daemon=True)
    thread.start()
    try:
        yield watcher.found
    finally:
        watcher.stop.set()
        thread.join(timeout=2)


def detached(result: Result) -> Iterator[str]:
    """Yield lines that say which job was started."""
    job = result.job or {}
    if not job:
        yield f"{result.plan.name}: nothing new, so no job was started"
    else:
        name, folder = result.plan.name, place(result.plan)
        yield f"{name}: job {job['id']} runs after {job['seconds']:.1f} s  {job['page']}"
        yield f"see it: penstock status {folder}; end it: penstock stop {folder} --savepoint"
        if unfollowed := " and ".join(sorted(FOLLOWERS & result.plan.sinks.keys())):
            yield f"nobody loads {unfollowed} meanwhile: penstock load {folder}"
    for warning in result.warnings:
        yield f"note: {warning}"


def summary(result: Result) -> Iterator[str]:
    """Yield lines that say what a run did: destinies, what took rows out, tables, what to know."""
    rows, taken = result.rows, result.destinies
    parts = [f"{rows[d.value]:,} {d.value}" for d in Destiny if rows[d.value] or d is Destiny.KEPT]
    yield (
        f"{result.plan.name}: read {rows['read']:,} = {' + '.join(parts)}"
        f"  in {result.seconds:.1f} s"
    )
    if taken:
        shown = [(d["destiny"], d["step"], d["rule"], f"{d['rows']:,}") for d in taken[:_SHOWN]]
        yield from aligned(("not kept", "step", "rule", "rows"), shown, numbers=1)
        if len(taken) > _SHOWN:
            yield f"... and {len(taken) - _SHOWN:,} more: penstock run --json has all"
    yield from changed(result)
    tables = [
        (name, where, f"{counts['rows']:,}", f"{counts['added']:+,}")
        for where, tables in (("lake", result.tables), ("warehouse", result.warehouse))
        for name, counts in tables.items()
    ]
    yield from aligned(("table", "where", "rows", "new"), tables, numbers=2)
    if rows["refused"]:
        yield f"refused rows and why: penstock dlq list {arguments(result.plan)}"
    for warning in result.warnings:
        yield f"note: {warning}"


def changed(result: Result) -> Iterator[str]:
    """Yield lines that say how the records differ from the contract, and what to do; no values."""
    if not result.changes:
        return
    cells = [
        (
            c.called or "(others)",
            c.kind.value,
            _looks(c),
            c.mode.replace("_", " ") or "default",
            PurePosixPath(c.source).name,
            f"{c.rows:,}",
        )
        for c in result.changes[:_SHOWN]
    ]
    yield from aligned(("changed", "how", "is", "met by", "first in", "rows"), cells, numbers=1)
    if len(result.changes) > _SHOWN:
        yield f"... and {len(result.changes) - _SHOWN:,} more: penstock run --json has all"
    if any(c.proposal is not None for c in result.changes):
        folder = place(result.plan)
        yield f"what the contract could say: penstock evolve {folder} --dry-run"


def _looks(change: Change) -> str:
    found = change.proposal
    if found is None:
        return change.note or "-"
    told = [found.physical or found.logical]
    told += ["looks personal"] if found.classification else []
    return ", ".join(told) + (f" such as {change.shape!a}" if change.shape else "")


def arguments(plan: Plan) -> str:
    """Return the arguments by which `run` and `dlq` find what a plan has put somewhere."""
    if plan.source.path:
        return place(plan)
    runner = plan.runner if plan.mode == "stream" else "prism"
    return f"{place(plan)} --stream --runner {runner}"


def place(plan: Plan) -> str:
    """Return the arguments by which a verb finds a plan's folder, and what it has put elsewhere."""
    where = shlex.quote(os.path.relpath(plan.folder))
    other = plan.out != plan.folder / "out"
    return where + (f" --out {shlex.quote(os.path.relpath(plan.out))}" if other else "")
