"""`penstock init`: look at samples of data and begin a pipeline over them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beam_pipelines.cli import flags
from runners.lean import import_libraries

if TYPE_CHECKING:
    from beam_pipelines.init import Begun

SUMMARY = "begin a pipeline over samples of data: contract, pipeline, test and documents"
EXAMPLES = """\
examples:
  penstock init events.jsonl.gz                  to ./events/
  penstock init data/2024-*.csv --into sales     several files of one shape (quote the glob, or not)
  penstock init flights.csv airlines.csv --yes   airlines is found to be a lookup table

JSON lines, CSV, Parquet and Avro, plain, gzip, zstd or zip. The data stays where it is: the sample
is the batch source of the pipeline. About 8 MiB of records are looked at, spread over the files.
Nothing is overwritten. At a terminal it asks what it cannot find out, at most two questions; with
--yes, or in a pipe, it asks nothing. What it was unsure of it says, here and in comments of the
contract. Then: penstock validate, plan, run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    parser.add_argument(
        "samples",
        nargs="+",
        type=flags.name_of,
        metavar="SAMPLE",
        help="a file, directory, glob or URL",
    )
    parser.add_argument(
        "--into",
        type=flags.path_of,
        metavar="DIR",
        help="the folder to begin; default ./<name of the sample>",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    began = time.monotonic()
    import_libraries()
    from beam_pipelines.init import begin  # noqa: PLC0415  slow to import

    person = not args.yes and sys.stdin.isatty() and sys.stderr.isatty()
    begun = begin(args.samples, args.into, ask if person else None)
    for line in _said(begun, time.monotonic() - began):
        print(line)
    return 0


def ask(question: str, answers: Sequence[str]) -> str:
    """Put a question to the person at the terminal, until the answer is one; Enter is the first."""
    numbered = "  ".join(f"{i}) {answer}" for i, answer in enumerate(answers, start=1))
    while True:
        print(f"{question}\n  {numbered}  [1] ", end="", file=sys.stderr, flush=True)
        said = sys.stdin.readline().strip() or "1"
        if said in answers:
            return said
        if said.isdigit() and 1 <= int(said) <= len(answers):
            return answers[int(said) - 1]


def _said(begun: Begun, seconds: float) -> Iterator[str]:
    from beam_pipelines.init_contract import looked_at, of_lookup, refusals  # noqa: PLC0415

    proposal = begun.proposal
    try:
        folder = begun.folder.relative_to(Path.cwd())
    except ValueError:
        folder = begun.folder
    yield f"{proposal.name}: {looked_at(proposal)} in {seconds:.1f} s"
    if skip := proposal.sample.skip:
        yield f"  skipped     lines before the header: {skip}, see csv.skip"
    if names := proposal.sample.names:
        yield f"  no header   columns are called {names[0]} to {names[-1]}: see csv.names"
    if broken := proposal.sample.broken:
        yield f"  refused     {broken:,} records by the reader: {refusals(proposal.sample)}"
    yield f"  event time  {proposal.event_time.why}"
    if proposal.event_time.others:
        yield f"              as likely: {', '.join(proposal.event_time.others)}"
    key = ", ".join(proposal.key.names) or "none found: fact tables have one row a record"
    yield f"  key         {key}"
    for table in begun.lookups:
        yield f"  lookup      {table.name}, by {table.column}: {of_lookup(table)}"
    for name in begun.personal:
        yield f"  no lookup   {name}: all that it could add is personal; it is passed over"
    for path, prop in proposal.personal:
        yield f"  personal    {path}: {prop.protect}; {prop.notes[-1]}"
    for path, prop in proposal.walk():
        notes = prop.notes[:-1] if prop.classification else prop.notes
        yield from (f"  note        {path}: {note}" for note in notes)
    for name, why in proposal.left_out.items():
        told = name if name.isprintable() else repr(name)
        yield f"  left out    {told or 'no name'}: {why}"
    yield f"written to {folder}/: {', '.join(begun.files)}"
    yield f"next: penstock validate {folder}; penstock plan {folder}; penstock run {folder}"
