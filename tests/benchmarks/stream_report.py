"""What the stream benchmark found, as Markdown, and where it stands in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from runners.flink.launch import KEY_BYTES
from tests.benchmarks.stream_shuffle import BATCH_BYTES, LEAST_MB, PARALLELISM, rate

if TYPE_CHECKING:
    from tests.benchmarks.stream import Speed
    from tests.benchmarks.stream_jobs import Streamer
    from tests.benchmarks.stream_shuffle import Shuffle


def taken() -> str:
    """Say when and on what, and how busy the machine was with other things."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[2]
    return (
        f"Taken {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores and {memory:.0f} GiB, Python "
        f"{platform.python_version()}; load of the machine at the end {load:.0f}"
    )


def speeds(everyone: list[Streamer], rounds: list[list[Speed]], rows: int) -> tuple[str, bool]:
    """The table of speeds, and whether every promise was kept and all kept the same rows."""
    kept = True
    lines = [
        f"**events as a stream: {rows:,} JSON messages of a topic with four partitions**",
        "",
        f"{taken()}: medians of {len(rounds)} rounds; see below for what a round is.",
        "",
        (
            "| contestant | rows / CPU s | ours on prism / its | rows / s | start s | start CPU s "
            "| peak MiB | promised |"
        ),
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for index, one in enumerate(everyone):
        own = [found[index] for found in rounds]
        times = median(found[0].per_core / found[index].per_core for found in rounds)
        verdict = ""
        if one.promise is not None and everyone[0].name.startswith("Penstock"):
            good = times >= one.promise
            kept = kept and good
            verdict = f"≥ {one.promise:g} {'kept' if good else '**broken**'}"
        cells = [
            one.name + (f" (1/{one.scale} of the rows)" if one.scale > 1 else ""),
            f"{median(s.per_core for s in own):,.0f}",
            f"{times:.1f}" if index else "",
            f"{median(s.rate for s in own):,.0f}",
            f"{median(s.start for s in own):.1f}",
            f"{median(s.start_cpu for s in own):.1f}",
            f"{median(s.peak for s in own):,.0f}",
            verdict,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    counts = {
        s.kept for found in rounds for one, s in zip(everyone, found, strict=True) if one.scale == 1
    }
    if len(counts) > 1:
        lines += ["", f"**Contestants disagree on the rows kept: {sorted(counts)}**"]
        kept = False
    return "\n".join(lines), kept


def latencies(runner: str, rate: int, found: list[float]) -> str:
    """What stood between a message's sending and its aggregate row, by quantile."""
    at = sorted(found)
    cut = {p: at[min(int(len(at) * p / 100), len(at) - 1)] for p in (50, 95, 99)}
    said = ", ".join(f"p{p} {1000 * seconds:,.0f} ms" for p, seconds in cut.items())
    return (
        f"**from sending to the aggregate row, on {runner}**\n\n{taken()}: {rate:,} rows a second, "
        f"`commit_every: 1s`, {len(at):,} rows: {said}."
    )


def memories(
    runner: str, minutes: float, samples: list[tuple[float, float, float, int]]
) -> tuple[str, bool]:
    """Memory over time at full load, and whether it is flat.

    Args:
        runner: Where it ran.
        minutes: For how long.
        samples: (seconds, CPU seconds, MiB, rows landed).
    """
    warm = [s for s in samples if s[0] > minutes * 60 / 5]
    first, last = warm[: len(warm) // 4], warm[-(len(warm) // 4) :]
    early, late = (median(s[2] for s in part) for part in (first, last))
    rows, seconds = (warm[-1][i] - warm[0][i] for i in (3, 0))
    cpu = warm[-1][1] - warm[0][1]
    flat = late <= 1.15 * early
    return (
        f"**memory at full load, on {runner}**\n\n{taken()}: {minutes:g} minutes, "
        f"{rows / seconds:,.0f} rows/s, {rows / cpu:,.0f} rows / CPU s after the first fifth; all "
        f"processes together {early:,.0f} MiB in the first quarter after it, {late:,.0f} MiB in the "
        f"last, at most {max(s[2] for s in samples):,.0f} MiB: {'flat' if flat else '**not flat**'}."
    ), flat


def panes(costs: list[float]) -> tuple[str, bool]:
    """What a firing costs, early and late in the hour."""
    quarter = max(len(costs) // 4, 1)
    early, late = median(costs[1 : quarter + 1]), median(costs[-quarter:])
    flat = late <= 1.25 * early
    return (
        f"**early panes of 100,000 groups in a window of an hour**\n\n{taken()}: {len(costs)} "
        f"commits, each with 100,000 new rows that touch every group: {1000 * early:,.0f} ms of CPU "
        f"a commit in the first quarter, {1000 * late:,.0f} ms in the last: "
        f"{'flat' if flat else '**not flat**'}."
    ), flat


def shuffles(rows: int, events: Shuffle, few: Shuffle, many: Shuffle) -> tuple[str, bool]:
    """What a batch on Flink shuffles, and whether fast enough and in keys that are small enough."""
    speed = rate(few, many)
    fast = speed.by_second >= LEAST_MB
    small = max(events.key_bytes, many.key_bytes) <= KEY_BYTES
    mb, mib = 1e6, 2**20
    return (
        f"**the shuffle of a batch on Flink**, parallelism {PARALLELISM}\n\n{taken()}. Nothing but "
        f"batches of {BATCH_BYTES / mib:.0f} MiB through one GroupByKey: {few.bytes / mb:,.0f} MB in "
        f"{few.seconds:.1f} s and {many.bytes / mb:,.0f} MB in {many.seconds:.1f} s of the whole "
        f"job, so {speed.by_second:,.0f} MB/s (promised ≥ {LEAST_MB:.0f}: {_kept(fast)}), "
        f"{speed.by_cpu:,.0f} MB a CPU second. Events, {rows:,} rows: {events.bytes / mb:,.0f} MB by "
        f"hash in a job of {events.seconds:.1f} s, since rows and ids wait in files. Largest key "
        f"{many.key_bytes / mib:.0f} MiB there, {events.key_bytes / mib:.0f} MiB of ids here "
        f"(promised ≤ {KEY_BYTES / mib:.0f}: {_kept(small)})."
    ), fast and small


def _kept(held: bool) -> str:
    return "kept" if held else "**broken**"


def write(page: Path, part: str, text: str) -> None:
    """Put a part between its markers of a page.

    Raises:
        ValueError: The page has no such markers.
    """
    begin, end = f"<!-- stream-{part}:begin -->", f"<!-- stream-{part}:end -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        msg = f"{page.name} must have the markers {begin} and {end}; got none; add them"
        raise ValueError(msg)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
