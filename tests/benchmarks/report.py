"""Medians, paired ratios and the table of a benchmark."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.benchmarks.jobs import Job
from tests.benchmarks.measure import Run

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
UNITS = {"wall": "s", "cpu": "s", "rss": "MiB"}
HEAD = (
    "| contestant | wall s | CPU s | peak MiB | ours / its: wall | CPU | memory | promised |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|"
)


def ratios(job: Job, rounds: list[list[Run]], index: int) -> dict[str, float]:
    """Median over the rounds of our figure divided by this contestant's in the same round."""
    scale = job.contestants[index].scale
    return {
        "wall": median(r[0].wall / (r[index].wall * scale) for r in rounds),
        "cpu": median(r[0].cpu / (r[index].cpu * scale) for r in rounds),
        "rss": median(r[0].rss / r[index].rss for r in rounds),
    }


def table(job: Job, rounds: list[list[Run]]) -> tuple[str, bool]:
    """The job's table as Markdown, and whether every promise was kept.

    Ratios are to the first contestant, if that is Penstock.
    """
    lines = [f"**{job.title}**", "", HEAD]
    kept = True
    for index, contestant in enumerate(job.contestants):
        figures = {
            "wall": median(r[index].wall for r in rounds) * contestant.scale,
            "cpu": median(r[index].cpu for r in rounds) * contestant.scale,
            "rss": median(r[index].rss for r in rounds),
        }
        against = ratios(job, rounds, index) if index and job.contestants[0].ours else {}
        said = [f"{name} ≤ {most:g} {UNITS[name]}" for name, most in contestant.limits.items()]
        held = [figures[name] <= most for name, most in contestant.limits.items()]
        if against:
            said += [f"{name} ≤ {_ratio(most)}" for name, most in contestant.promise.items()]
            held += [against[name] <= most for name, most in contestant.promise.items()]
        verdicts = [
            f"{text} {'kept' if good else '**broken**'}"
            for text, good in zip(said, held, strict=True)
        ]
        kept = kept and all(held)
        cells = [
            contestant.name,
            f"{figures['wall']:.2f}",
            f"{figures['cpu']:.2f}",
            f"{figures['rss']:.0f}",
            *(_ratio(against[name]) if against else "" for name in ("wall", "cpu", "rss")),
            ", ".join(verdicts),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if job.note:
        lines += ["", job.note]
    return "\n".join(lines), kept


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value > 0.2 else f"1/{1 / value:.1f}"


def block(tables: list[str], rounds: int) -> str:
    """All tables with when and on what they were taken."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    taken = (
        f"Taken {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores and {memory:.0f} GiB, "
        f"Python {platform.python_version()}: medians of {rounds} rounds, every contestant once a "
        "round and always as a fresh process; CPU counts all child processes, memory is that of "
        "the largest process; a ratio is the median of the rounds' own ratios. Again: `make bench`."
    )
    return "\n\n".join([taken, *tables])


def write(path: Path, text: str) -> bool:
    """Put `text` between the markers of a file; False if it has none."""
    page = path.read_text() if path.exists() else ""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return False
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    return True
