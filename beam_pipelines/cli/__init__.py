"""The command line: one module a verb, imported only when it is used.

A verb's module has `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and `run(args) -> exit code`, and
imports at its top nothing that is slow: all of them are imported for `penstock --help`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from schemas.errors import PenstockError, UsageError

VERBS: Final = ("validate", "plan", "run", "load", "produce")

_EXAMPLES: Final = """\
examples:
  penstock validate events/       check the two files of a pipeline; no data is touched
  penstock plan events/           what would be read, done and written
  penstock run events/            do it, on this machine

A pipeline is a folder with contract.odcs.yaml (what a row is) and pipeline.yaml (what happens to
it). `penstock VERB --help` has examples of each verb.

exit codes: 0 done, 1 the run failed, 2 wrong usage or files, 3 stopped by the quality policy
"""
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None, *, runner: str | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process by default.
        runner: What `--runner` is if it is not given (`python -m runners.flink`).

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
            raise UsageError(_unknown(arguments[0]))
        args = _parser(runner).parse_args(arguments or ["--help"])
        return int(args.run(args))
    except PenstockError as error:
        sys.stdout.flush()
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("penstock: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`penstock plan x | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:  # argparse, after it has printed
        return stop.code if isinstance(stop.code, int) else 2


def _parser(runner: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="penstock",
        description="Data pipelines on Apache Beam and Arrow: a contract, a pipeline, any runner.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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
