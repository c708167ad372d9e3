"""`penstock validate`: check the two files of a pipeline and touch nothing else."""

from __future__ import annotations

import argparse

from beam_pipelines.cli import flags
from runners.lean import deferred_models

SUMMARY = "check the two files of a pipeline; reads no data"
EXAMPLES = """\
examples:
  penstock validate events/       every problem of both files at once: file:line: what must hold

Editors say most of it while you type: `# yaml-language-server: $schema=...` at the top of a file
names the published JSON Schema (schemas/json_schema/).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    with deferred_models():
        from schemas.planning import check_pipeline  # noqa: PLC0415  slow to import

    plan, needs = check_pipeline(args.folder)
    for need in needs:
        print(f"note: {need}")
    columns = len(plan.contract.columns)
    print(
        f"{plan.name}: contract and pipeline are valid: {_many(columns, 'column')}, "
        f"{_many(len(plan.steps), 'step')}, {_many(len(plan.aggregates), 'aggregate')}"
    )
    return 0


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
