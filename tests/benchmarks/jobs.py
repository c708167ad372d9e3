"""What is measured: each job with its contestants, ours first, and what we promise."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.environments import ROOT, own, peer

SCRIPTS = ROOT / "tests" / "benchmarks" / "peers"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to do the job.

    Attributes:
        name: As the table shows it.
        command: Its command for an empty output folder.
        promise: Our `wall`, `cpu` or `rss` is at most this times its.
        limits: What we promise by itself: wall s, cpu s or rss MiB.
        scale: Its wall and CPU are multiplied by this: it was given 1/scale of the rows.
    """

    name: str
    command: Callable[[Path], list[str]]
    promise: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    scale: int = 1

    @property
    def ours(self) -> bool:
        """Whether it is Penstock."""
        return self.name.startswith("Penstock")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One comparison.

    Attributes:
        title: As the table shows it.
        contestants: Ours first.
        agree: Counts that all unscaled contestants must report alike.
        note: What is unequal, beyond the peers' own docstrings.
    """

    title: str
    contestants: tuple[Contestant, ...]
    agree: tuple[str, ...] = ()
    note: str = ""


def penstock(*arguments: str) -> Callable[[Path], list[str]]:
    """`penstock run ... --out OUT --json`."""
    return lambda out: [own("penstock"), "run", *arguments, "--out", str(out), "--json"]


def script(python: str, name: str, source: Path) -> Callable[[Path], list[str]]:
    """A peer's script, given the input and an output folder."""
    return lambda out: [python, str(SCRIPTS / name), str(source), str(out)]


def events(rows: int, data: Path) -> Job:
    """The reference job; `data` holds the generated files."""
    full = event_file(rows, data)
    part = event_file(max(rows // 20, 1), data)
    ours = penstock("beam_pipelines/events", "--input", str(full), "--sinks", "lake")
    return Job(
        title=f"events: {rows:,} JSON events ({full.stat().st_size / 1e6:,.0f} MB) into the lake",
        contestants=(
            Contestant(name="Penstock", command=ours, limits={"rss": 1.2 * 1024}),
            Contestant(
                name="DuckDB, the same work",
                command=script(own("python"), "duckdb_events.py", full),
                promise={"wall": 1.3, "cpu": 1.0},
            ),
            Contestant(
                name="PySpark 3.5, local[2]",
                command=script(peer("spark"), "spark_events.py", full),
                promise={"wall": 1 / 5.5},
            ),
            Contestant(
                name="Beam, row by row (1/20 of the rows, times 20)",
                command=script(own("python"), "beam_events.py", part),
                promise={"wall": 1 / 60},
                scale=20,
            ),
        ),
        agree=("kept", "refused"),
        note="Row-wise Beam is given 1/20 of the rows; its start (about 1 s) is multiplied, too.",
    )


def events_large(rows: int, data: Path) -> Job:
    """Ten times the reference job, ours against itself."""
    return Job(
        title=f"events, ten times as many: {10 * rows:,}",
        contestants=(
            Contestant(
                name="Penstock",
                command=penstock(
                    "beam_pipelines/events",
                    *("--input", str(event_file(10 * rows, data)), "--sinks", "lake"),
                ),
                limits={"rss": 1.8 * 1024},
            ),
            Contestant(
                name=f"Penstock, {rows:,} rows",
                command=penstock(
                    "beam_pipelines/events",
                    *("--input", str(event_file(rows, data)), "--sinks", "lake"),
                ),
                promise={"wall": 10.5},
            ),
        ),
    )


def flights(source: Path) -> Job:
    """The worked example end to end against a bare load of its CSV file."""
    return Job(
        title="flights: 336,776 rows of CSV",
        contestants=(
            Contestant(
                name="Penstock: checks, enrichment, aggregates, lake and warehouse",
                command=penstock("beam_pipelines/flights"),
            ),
            Contestant(
                name="dlt 1.31: rows into DuckDB, nothing else",
                command=script(peer("dlt"), "dlt_flights.py", source),
                promise={"wall": 1 / 15, "rss": 1 / 4},
            ),
        ),
        agree=("kept",),
        note="dlt does none of: checks, key, protection, enrichment, aggregates, lake.",
    )


def startup(data: Path) -> tuple[Job, Job]:
    """How long a person waits for nothing, and for almost nothing."""
    ten = event_file(10, data)
    return (
        Job(
            title="penstock --help",
            contestants=(
                Contestant(
                    name="Penstock",
                    command=lambda _: [own("penstock"), "--help"],
                    limits={"wall": 0.3},
                ),
            ),
        ),
        Job(
            title="a run over 10 events, lake and warehouse",
            contestants=(
                Contestant(
                    name="Penstock",
                    command=penstock("beam_pipelines/events", "--input", str(ten)),
                    limits={"wall": 3.0},
                ),
            ),
        ),
    )


def event_file(rows: int, data: Path) -> Path:
    """A file of generated events, made once."""
    path = data / f"events-{rows}.jsonl"
    if not path.exists():
        part = path.with_suffix(".part")
        command = [own("python"), "-m", "beam_pipelines.events.generate", str(rows), str(part)]
        subprocess.run(command, check=True, cwd=ROOT)
        part.replace(path)
    return path
