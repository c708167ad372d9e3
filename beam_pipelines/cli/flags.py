"""Flags that verbs have in common, and the plan that they make."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runners.lean import deferred_models
from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.plan import Plan


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the pipeline folder."""
    parser.add_argument(
        "folder", type=Path, help="the pipeline folder: contract.odcs.yaml and pipeline.yaml"
    )


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder and everything that changes a plan."""
    add_folder(parser)
    parser.add_argument(
        "--runner",
        default="direct",
        metavar="NAME",
        help="direct (default), prism, flink, spark or dataflow",
    )
    parser.add_argument(
        "--stream",
        action="store_const",
        const="stream",
        default="batch",
        dest="mode",
        help="run the streaming face of the source",
    )
    parser.add_argument(
        "--cloud", default="local", metavar="NAME", help="local (default), aws or gcp"
    )
    add_out(parser)
    parser.add_argument(
        "--input", metavar="PATH", help="read these files instead of the source's: path, glob, URL"
    )
    parser.add_argument(
        "--sinks", metavar="A,B", help="only these sinks of the file, for example lake"
    )
    add_sets(parser)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add where lake and warehouse are."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where lake and warehouse are; default FOLDER/out"
    )


def add_sets(parser: argparse.ArgumentParser) -> None:
    """Add what replaces fields of the pipeline file."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="A.B.C=VALUE",
        help="replace any field of the pipeline file for this run; may be repeated",
    )


def plan_of(args: argparse.Namespace) -> Plan:
    """Make the plan that the arguments ask for.

    Raises:
        UsageError: A flag or one of the two files is wrong.
    """
    with deferred_models():  # DuckDB and Arrow are slow to import
        from schemas.planning import load_plan  # noqa: PLC0415

    for path in (args.folder, args.out):
        _check_name(path)
    if args.input == "":
        msg = "--input must name a path; got nothing; write one, or leave the flag out"
        raise UsageError(msg)
    return load_plan(
        args.folder,
        runner=args.runner,
        mode=args.mode,
        cloud=args.cloud,
        out=args.out,
        input=args.input,
        sinks=[name.strip() for name in args.sinks.split(",")] if args.sinks is not None else None,
        sets=args.sets,
    )


def _check_name(path: Path | None) -> None:
    """Refuse a name that the locale made unreadable: the lake writes names in UTF-8."""
    try:
        str(path and path.absolute()).encode()
    except UnicodeEncodeError:
        msg = f"names of folders must be UTF-8; got {str(path)!a}; set LC_ALL=C.UTF-8, or rename it"
        raise UsageError(msg) from None
