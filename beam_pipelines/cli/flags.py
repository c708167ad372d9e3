"""Flags that `plan` and `run` have in common, and the plan that they make."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runners.lean import deferred_models

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
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where lake and warehouse are; default FOLDER/out"
    )
    parser.add_argument(
        "--input", metavar="PATH", help="read these files instead of the source's: path, glob, URL"
    )
    parser.add_argument(
        "--sinks", metavar="A,B", help="only these sinks of the file, for example lake"
    )
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
