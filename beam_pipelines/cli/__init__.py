"""The command line: one module a verb, imported only when it is used.

A verb's module has `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and `run(args) -> exit code`, and
imports at its top nothing that is slow: all of them are imported for `penstock --help`.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Final

from beam_pipelines.cli import flags
from beam_pipelines.cli.ends import (
    StdoutError,
    debug,
    own_stdout,
    say,
    stdout_failed,
    unexpected,
)
from runners.lean import without_bigquery
from schemas.errors import MissingError, PenstockError, UsageError

VERBS: Final = (
    "init", "validate", "plan", "preview", "run", "load", "stop", "status", "maintain", "dlq",
    "docs", "produce", "generate", "evolve",
)  # fmt: skip

_EXAMPLES: Final = """\
examples:
  penstock init events.jsonl      begin a pipeline over a sample of data
  penstock validate events/       check the two files of a pipeline; no data is touched
  penstock plan events/           what would be read, done and written
  penstock run events/            do it, on this machine

A pipeline is a folder with contract.odcs.yaml (what a row is) and pipeline.yaml (what happens to
it). `penstock VERB --help` has examples of each verb.

exit codes: 0 done, 1 the run failed, 2 wrong usage or files, 3 stopped by the quality policy,
130 interrupted. PENSTOCK_DEBUG=1 shows the traceback of an unexpected error (it may show data).
"""
_INTERRUPTED: Final = 130
_INTERRUPTS: Final[list[int]] = []
"""Interrupts that came: a library may have made errors of its own of them."""


def main(argv: Sequence[str] | None = None, *, runner: str | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process by default.
        runner: What `--runner` is if it is not given (`python -m runners.flink`).

    Returns:
        The exit code.
    """
    if argv is None:  # the process is ours, and imports make no garbage; `run` enables it again
        gc.disable()
        _note_interrupts()
        without_bigquery()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with own_stdout():
            return _verb(arguments, runner)
    except StdoutError as error:
        return stdout_failed(error)
    except PenstockError as error:
        if _INTERRUPTS:  # libraries turn an interrupt into errors of their own
            return _interrupted()
        if debug() and error.__cause__ is not None:
            raise
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as stop:  # argparse, after it has printed
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        if _INTERRUPTS:
            return _interrupted()
        if debug():
            raise
        say(unexpected(error))
        return 1


def _note_interrupts() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        _INTERRUPTS.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def _interrupted() -> int:
    say("penstock: interrupted; nothing is left half done")
    return _INTERRUPTED


def _verb(arguments: list[str], runner: str | None) -> int:
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415  no verb needs it

        print(f"penstock {version('penstock')}")
        return 0
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        raise UsageError(_unknown(arguments[0]))
    parser = _parser(runner)
    args, unknown = parser.parse_known_args(arguments or ["--help"])
    if unknown:  # of `--set a.password=...` not the value
        shown = (re.sub("=.*", "=...", word, flags=re.DOTALL) for word in unknown)
        parser.error(f"unrecognized arguments: {' '.join(shown)}")
    try:
        return int(args.run(args))
    except MissingError as error:
        msg = f"{error}{_whereabouts(args)}"
        raise MissingError(msg) from None
    except OSError as error:
        refused = _refused(error, args)
        if refused is None:
            raise
        raise refused from error


def _whereabouts(args: argparse.Namespace) -> str:
    """Return what the contract says of how to get the data, if it is the contract's that lacks."""
    if getattr(args, "folder", None) is None or getattr(args, "input", None) is not None:
        return ""
    from schemas.planning import check_pipeline  # noqa: PLC0415  not if all is well

    said = check_pipeline(args.folder, getattr(args, "sets", ()))[0].contract.whereabouts
    return f"; the contract says of its data: {' '.join(said)}" if said else ""


def _refused(error: OSError, args: argparse.Namespace) -> PenstockError | None:
    """Return what a file system refused, in a sentence; None: it was none."""
    from schemas.disk import ANOTHER, disk_error, movable  # noqa: PLC0415  not if all is well

    try:
        Path.cwd()
    except FileNotFoundError:  # the error itself does not say where
        return UsageError(flags.GONE)
    places = {Path("/"): ANOTHER}
    folder = getattr(args, "folder", None)
    if folder is None:
        return disk_error(str(error), places, "a file or folder of this command")
    out: Path = (getattr(args, "out", None) or folder / "out").absolute()
    return disk_error(str(error), places | movable(out, folder), out)


def _parser(runner: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="penstock",
        description="Data pipelines on Apache Beam and Arrow: a contract, a pipeline, any runner.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        module = _module(verb)
        one = verbs.add_parser(
            verb,
            help=module.SUMMARY,
            description=module.SUMMARY,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(one)
        one.set_defaults(run=module.run, **({"runner": runner} if runner else {}))
    return parser


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{verb}")


def _unknown(word: str) -> str:
    from schemas.located import did_you_mean  # noqa: PLC0415  not needed by any good command

    return f"a verb must be one of {', '.join(VERBS)}; got {word!r}; {did_you_mean(word, VERBS)}"
