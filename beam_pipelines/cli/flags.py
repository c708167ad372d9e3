"""Flags that verbs have in common, and the plan that they make."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runners.lean import deferred_models
from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.plan import Plan

_RUNNER: Final = "runner."
_MOST: Final = 10**12
SEEDS: Final = 2**63 - 1
GONE: Final = "the folder that this runs in must be there; got one that was removed; go to another"


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the pipeline folder."""
    parser.add_argument(
        "folder", type=path_of, help="the pipeline folder: contract.odcs.yaml and pipeline.yaml"
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
        "--input",
        type=word,
        metavar="PATH",
        help="read these files instead of the source's: path, glob, URL",
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
        "--out",
        type=path_of,
        metavar="DIR",
        help="where lake and warehouse are; default FOLDER/out",
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


def whole(least: int, example: int, most: int = _MOST) -> Callable[[str], int]:
    """Return what reads the whole number of a flag, from `least` to `most`."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None
        if number is None or number < least:
            msg = f"must be a whole number of at least {least}; got {text!r}; write {example} or so"
            raise argparse.ArgumentTypeError(msg)
        if number > most:
            msg = f"must be at most {most:,}; got {text}; write {example} or so"
            raise argparse.ArgumentTypeError(msg)
        return number

    return read


def number(text: str) -> float:
    """Read a number of a flag, 0 or more.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        msg = f"must be a number of 0 or more; got {text!r}; write 0.5 or 100"
        raise argparse.ArgumentTypeError(msg)
    return value


def word(text: str) -> str:
    """Read a flag that says something.

    Raises:
        ArgumentTypeError: It says nothing.
    """
    if not text:
        msg = "must say something; got nothing; leave the flag out, or give it a value"
        raise argparse.ArgumentTypeError(msg)
    return text


def name_of(text: str) -> str:
    """Read the name of a file or folder, or a URL, that is written down or made.

    Raises:
        ArgumentTypeError: It is none; or the locale made it unreadable: what we write is UTF-8.
    """
    if not text or "\0" in text:
        msg = f"a name must have characters, none of them NUL; got {text!r}; write one"
        raise argparse.ArgumentTypeError(msg)
    try:
        str(Path(text).absolute()).encode()
    except UnicodeEncodeError:
        msg = f"names must be UTF-8; got {text!a}; set LC_ALL=C.UTF-8, or rename it"
        raise argparse.ArgumentTypeError(msg) from None
    except FileNotFoundError:
        raise argparse.ArgumentTypeError(GONE) from None
    return text


def path_of(text: str) -> Path:
    """Read the name of a file or folder; raises as `name_of`."""
    return Path(name_of(text))


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
