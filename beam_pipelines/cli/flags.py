"""Flags that verbs have in common, and the plan that they make."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runners.lean import deferred_models
from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.plan import Plan

_RUNNER: Final = "runner."


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
    add_cluster(parser)
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


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add where a cluster is."""
    parser.add_argument(
        "--job-endpoint",
        metavar="HOST:PORT",
        help="Beam's job server; default $PENSTOCK_JOB_ENDPOINT, else 127.0.0.1:8099",
    )
    add_rest(parser)


def add_rest(parser: argparse.ArgumentParser) -> None:
    """Add where a cluster answers questions."""
    parser.add_argument(
        "--flink-rest",
        dest="rest",
        metavar="HOST:PORT",
        help="Flink's REST interface; default $PENSTOCK_FLINK_REST, else 127.0.0.1:8081",
    )


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
        help="replace a field of the pipeline file, or an option of the runner "
        "(runner.NAME=VALUE), for this run; may be repeated",
    )


def out_of(args: argparse.Namespace) -> Path:
    """Return where a run of the folder leaves everything."""
    out: Path = args.out or args.folder / "out"
    return out.absolute()


def seconds(flag: str, text: str) -> float:
    """Read a flag's length of time, in seconds; raises as `micros`."""
    return micros(flag, text) / 1_000_000


def micros(flag: str, text: str) -> int:
    """Read a flag's length of time, in microseconds.

    Raises:
        UsageError: It is none.
    """
    from schemas.durations import parse_duration  # noqa: PLC0415  Arrow comes with schemas

    try:
        return parse_duration(text)
    except ValueError as error:
        msg = f"{flag} {error}"
        raise UsageError(msg) from None


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
    own = [text for text in args.sets if text.startswith(_RUNNER)]
    plan = load_plan(
        args.folder,
        runner=args.runner,
        mode=args.mode,
        cloud=args.cloud,
        out=args.out,
        input=args.input,
        sinks=[name.strip() for name in args.sinks.split(",")] if args.sinks is not None else None,
        sets=[text for text in args.sets if text not in own],
    )
    return _with_options(plan, args, own)


def _with_options(plan: Plan, args: argparse.Namespace, sets: Sequence[str]) -> Plan:
    """Return the plan with its runner's options, of which flags and `--set runner.` are some."""
    from schemas.overrides import values  # noqa: PLC0415

    given = values([text.removeprefix(_RUNNER) for text in sets])
    for name in ("job_endpoint", "rest"):
        if (value := getattr(args, name, None)) is not None:
            given[name] = value
    if plan.runner == "flink":
        from runners.flink.options import options  # noqa: PLC0415

        given.setdefault("checkpoints", (plan.out / "checkpoints").as_uri())
        return replace(plan, options=options(given).json())
    if given:
        msg = (
            f"runner options must be those of --runner {plan.runner}, which has none; got "
            f"{', '.join(sorted(given))}; leave them out, or use --runner flink"
        )
        raise UsageError(msg)
    return plan


def _check_name(path: Path | None) -> None:
    """Refuse a name that the locale made unreadable: the lake writes names in UTF-8."""
    try:
        str(path and path.absolute()).encode()
    except UnicodeEncodeError:
        msg = f"names of folders must be UTF-8; got {str(path)!a}; set LC_ALL=C.UTF-8, or rename it"
        raise UsageError(msg) from None
