"""What a person sees of a run: counts while it lasts, and a table at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from beam_pipelines.batch import Result
from schemas.names import Destiny
from transforms.progress import Progress
from transforms.sources.files import Discovery

Watch = Callable[[Discovery, Progress], None]


class _Watcher:
    """Reads the counters a few times a second and draws one line."""

    def __init__(self, name: str, progress: Progress) -> None:
        from rich.console import Console  # noqa: PLC0415  nothing of it is shown with --json

        self.name, self.progress = name, progress
        self.console = Console(stderr=True)
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
        if self.console.is_terminal:
            from rich.live import Live  # noqa: PLC0415
            from rich.text import Text  # noqa: PLC0415

            with Live(
                Text(self.line()), console=self.console, refresh_per_second=8, transient=True
            ) as live:
                while not self.stop.wait(0.15):
                    live.update(Text(self.line()))
        else:
            while not self.stop.wait(5):
                sys.stderr.write(self.line() + "\n")


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


def summary(result: Result) -> None:
    """Print what a run did: destinies that add up, tables, what to know."""
    from rich.console import Console  # noqa: PLC0415  as above
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    rows = result.rows
    parts = [f"{rows[d.value]:,} {d.value}" for d in Destiny if rows[d.value] or d is Destiny.KEPT]
    console.print(
        f"{result.plan.name}: read {rows['read']:,} = {' + '.join(parts)}"
        f"  in {result.seconds:.1f} s",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    for title in ("table", "where"):
        table.add_column(title)
    for title in ("rows", "new"):
        table.add_column(title, justify="right")
    for where, tables in (("lake", result.tables), ("warehouse", result.warehouse)):
        for name, counts in tables.items():
            table.add_row(name, where, f"{counts['rows']:,}", f"{counts['added']:+,}")
    console.print(table)
    for warning in result.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False, soft_wrap=True)
