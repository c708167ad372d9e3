"""Time Penstock against its peers: `make bench`, or `make bench ARGS="--only flights --rounds 3"`.

Prints the tables, and writes them between the markers of README.md and docs/benchmarks.md when the
whole benchmark was run. Exits with 1 when contestants disagree on the rows, with 3 when a promise
was broken. `python -m tests.benchmarks stream` times streams: see `stream`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from tests.benchmarks import jobs, measure, report
from tests.benchmarks.environments import ROOT, own

WORK = ROOT / "build" / "bench"
NAMES = ("startup", "events", "flights", "large")
TIMEOUT_S = 1800


def main(arguments: list[str]) -> int:
    """Run the chosen jobs; the exit code of the command."""
    if arguments[:1] == ["stream"]:
        from tests.benchmarks import stream  # noqa: PLC0415 - it needs the servers' parts

        return stream.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="this job (repeatable)")
    parser.add_argument("--without", action="append", default=[], help="no contestant named so")
    parser.add_argument("--rows", type=int, default=2_000_000, help="events of the reference job")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    measure.adopt_orphans()
    (WORK / "data").mkdir(parents=True, exist_ok=True)
    tables, kept = [], True
    for whole in prepare(chosen.only or NAMES[:3], chosen.rows):
        job = without(whole, chosen.without)
        rounds = [one_round(job, number) for number in range(chosen.rounds)]
        text, held = report.table(job, rounds)
        print(f"\n{text}", flush=True)
        tables.append(text)
        kept = kept and held
    if not chosen.only and not chosen.without:
        block = report.block(tables, chosen.rounds)
        for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
            if not report.write(page, block):
                sys.stderr.write(f"bench: {page.name} has no markers; not written\n")
    return 0 if kept else 3


def prepare(names: tuple[str, ...] | list[str], rows: int) -> list[jobs.Job]:
    """The jobs of these names, their data and environments made."""
    data = WORK / "data"
    out: list[jobs.Job] = []
    for name in names:
        if name == "startup":
            out += jobs.startup(data)
        elif name == "events":
            out.append(jobs.events(rows, data))
        elif name == "large":
            out.append(jobs.events_large(rows, data))
        else:
            fetch = [own("python"), "-m", "beam_pipelines.flights.fetch"]
            subprocess.run(fetch, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            out.append(jobs.flights(ROOT / "beam_pipelines" / "flights" / "data" / "flights.csv"))
    return out


def without(job: jobs.Job, names: list[str]) -> jobs.Job:
    """The job without contestants whose name begins with one of `names` (case ignored)."""
    left = tuple(
        c for c in job.contestants if not any(c.name.lower().startswith(n.lower()) for n in names)
    )
    return jobs.Job(**{**vars(job), "contestants": left})


def one_round(job: jobs.Job, number: int) -> list[measure.Run]:
    """Every contestant once, one after the other, each into an empty folder."""
    runs = []
    for index, contestant in enumerate(job.contestants):
        out = WORK / f"out-{index}"
        shutil.rmtree(out, ignore_errors=True)
        log = WORK / f"contestant-{index}.log"
        run = measure.run(contestant.command(out), log=log, cwd=ROOT, timeout=TIMEOUT_S)
        shutil.rmtree(out, ignore_errors=True)
        sys.stderr.write(
            f"bench: {job.title[:30]} round {number + 1}: {contestant.name[:40]:40} "
            f"{run.wall:7.2f} s  {run.cpu:7.2f} CPU s  {run.rss:6.0f} MiB\n"
        )
        runs.append(run)
    agree(job, runs)
    return runs


def agree(job: jobs.Job, runs: list[measure.Run]) -> None:
    """Stop when two contestants on the same rows found different counts."""
    for name in job.agree:
        found = {
            c.name: r.said.get("rows", {}).get(name)
            for c, r in zip(job.contestants, runs, strict=True)
            if c.scale == 1
        }
        if len(set(found.values())) > 1:
            msg = f"contestants must agree on the rows {name}; got {found}"
            raise SystemExit(msg)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
