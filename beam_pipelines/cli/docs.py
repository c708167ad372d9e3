"""`penstock docs`: write a pipeline's documents anew, or check that they are current."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from beam_pipelines.cli import flags
from runners.lean import deferred_models, import_libraries, no_warnings
from schemas.errors import PenstockError

if TYPE_CHECKING:
    from beam_pipelines.documents.folder import Document
    from schemas.plan import Plan

SUMMARY = "write the pipeline's documents anew, true to its two files and its runs"
EXAMPLES = """\
examples:
  penstock docs events/             write events/docs/data-pipeline/*.md
  penstock docs events/ --check     write nothing; exit code 1 and a diff if they are not current
  penstock docs events/ --out DIR   with the figures of runs that landed there

Requirements of the data, architecture and a diagram of the flow (Mermaid), with what is personal,
how it is protected, and what is let out and why. Only what stands between the markers
<!-- penstock:begin NAME --> and <!-- penstock:end NAME --> is written; your own text stays. Volume
and velocity are measured in the lake if a run has landed there. --check leaves these figures alone.
"""
_MOST_LINES = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the documents are current"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    with deferred_models():
        from schemas.planning import check_pipeline  # noqa: PLC0415  slow to import

    plan, _ = check_pipeline(args.folder)
    plan = replace(plan, out=flags.out_of(args))
    measured = [] if args.check else _measured(plan)
    from beam_pipelines.documents.folder import documents, write  # noqa: PLC0415

    found = documents(plan, measured)
    if not args.check:
        write(plan, found)
    if args.json:
        states = {document.name: _state(document) for document in found}
        print(json.dumps({"pipeline": plan.name, "documents": states}))
    else:
        for document in found:
            print(f"{document.name}: {_state(document)}{_size(document)}")
    stale = [document for document in found if not document.current]
    if args.check and stale:
        if not args.json:
            for document in stale:
                print("", *_diff(document), sep="\n")
        msg = (
            f"documents must be what `penstock docs` makes of the two files; got {len(stale)} of "
            f"{len(found)} that are not: run `penstock docs {args.folder}`"
        )
        raise PenstockError(msg)
    return 0


def _measured(plan: Plan) -> list[str]:
    """Measure what runs have landed; without a lake nothing heavy is imported."""
    if not (plan.out / "lake").is_dir():
        return []
    import_libraries()
    with no_warnings():
        from beam_pipelines.documents.measured import of_runs  # noqa: PLC0415

    return of_runs(plan)


def _state(document: Document) -> str:
    if document.current:
        return "current"
    return "new" if document.before is None else "changed"


def _size(document: Document) -> str:
    """Count the lines that change."""
    if document.current or document.before is None:
        return ""
    lines = list(_changes(document))
    return f", +{sum(x[0] == '+' for x in lines)} -{sum(x[0] == '-' for x in lines)} lines"


def _diff(document: Document) -> Iterator[str]:
    from beam_pipelines.columns import printable  # noqa: PLC0415

    lines = [printable(line) for line in _changes(document)]
    yield f"{document.name}, - as it is, + as it should be"
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"... {len(lines) - _MOST_LINES:,} more lines"


def _changes(document: Document) -> Iterator[str]:
    """Yield the changed lines and a line around them, without the two lines that name files."""
    before, after = (document.before or "").splitlines(), document.after.splitlines()
    for number, line in enumerate(difflib.unified_diff(before, after, lineterm="", n=1)):
        if number > 1:
            yield line
