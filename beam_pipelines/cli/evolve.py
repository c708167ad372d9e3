"""`penstock evolve`: let the contract have what its records have by now."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from beam_pipelines.cli import flags
from runners.lean import collect_from_here, deferred_models, import_libraries, no_warnings
from schemas.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from beam_pipelines.evolving import Patch
    from schemas.located import Located
    from schemas.plan import Plan

SUMMARY = "change the contract as its records have changed: new columns, wider types, new values"
EXAMPLES = """\
examples:
  penstock evolve events/ --dry-run            what runs have seen, as a diff of the contract
  penstock evolve events/                      apply it, and raise the contract's version
  penstock evolve events/ --from new.jsonl.gz  what a file has, though no run has read it

A run that meets columns which the contract does not declare, or values of another type, says so at
its end and keeps what it could say of them in out/changes/ (no values). Only this command changes
the contract. Of rows that were refused for a value that an enumeration does not list it adds the
value, if such values are few and not personal. A type that the lake cannot take in place is left
out, with why.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    flags.add_sets(parser)
    parser.add_argument(
        "--from",
        action="append",
        default=[],
        dest="samples",
        type=flags.word,
        metavar="SAMPLE",
        help="look at these files instead of what runs have seen: path, glob, URL; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the diff, change nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = _plan(args)
    import_libraries()
    with no_warnings():
        from beam_pipelines.evolving import propose, seen  # noqa: PLC0415  slow to import

    from transforms.sources.places import corrected  # noqa: PLC0415

    collect_from_here()
    try:
        changes = seen(plan, args.samples)
    except SourceError as error:
        raise corrected(error, "--from") from error
    patch = propose(plan, changes, lambda located: _plan(args, located))
    if patch.done and not args.dry_run:
        patch.apply()
    _tell(plan, patch, args)
    return 1 if patch.left and not patch.done else 0


def _plan(args: argparse.Namespace, contract: Located | None = None) -> Plan:
    with deferred_models():  # DuckDB and Arrow are slow to import
        from schemas.planning import check_pipeline  # noqa: PLC0415

    plan, _ = check_pipeline(args.folder, args.sets, contract)
    return replace(plan, out=flags.out_of(args))


def _tell(plan: Plan, patch: Patch, args: argparse.Namespace) -> None:
    from beam_pipelines.columns import printable  # noqa: PLC0415

    if args.json:
        told = {
            "contract": str(patch.file),
            "versions": list(patch.versions),
            "changed": list(patch.done),
            "left": list(patch.left),
            "diff": patch.diff(),
            "applied": bool(patch.done) and not args.dry_run,
        }
        print(json.dumps(told))
        return
    print(patch.diff(), end="")
    for line in patch.left:
        print(f"left as it is: {printable(line)}")
    if not patch.done:
        if not patch.left:
            print(f"{plan.name}: nothing to change; runs have seen what the contract has already")
        return
    before, after = patch.versions
    how = "would be" if args.dry_run else "is"
    print(f"{plan.name}: the contract {how} version {after}, it was {before}")
    if after == before:
        print("note: raise its version yourself: it is no numbers, or on no line of its own")
    if not args.dry_run:
        print(*_next(patch.met, plan), sep="\n")


def _next(met: frozenset[str], plan: Plan) -> Iterator[str]:
    """Say how rows come by what the contract has now; without a batch face nothing is rebuilt."""
    from beam_pipelines.progress_screen import arguments  # noqa: PLC0415

    own = arguments(plan)
    if "freeze" in met:
        yield f"a run that was ended by it goes on: penstock run {own}"
    if met & {"", "evolve", "quarantine", "enum"}:
        yield f"rows that were refused for it land now: penstock dlq replay {own}"
    if plan.source.path and met - {"enum"}:
        dropped = "were dropped for it, or " if "discard_row" in met else ""
        yield f"rows that {dropped}landed without it come anew: penstock run {own} --rebuild"
