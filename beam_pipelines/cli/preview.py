"""`penstock preview`: the first rows after each step, side by side; nothing is written."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.cli import flags
from beam_pipelines.columns import printable
from runners import audit
from runners.lean import collect_from_here, import_libraries, no_warnings
from schemas.errors import UsageError

if TYPE_CHECKING:
    from beam_pipelines.preview import Preview, Traced

SUMMARY = "show the first rows after each step, and why rows are refused; writes nothing"
EXAMPLES = """\
examples:
  penstock preview events/                    20 rows, a grid each: a column a step
  penstock preview events/ --rows 5 --step derive-1        only after this step
  penstock preview events/ --input more.jsonl.gz --json    one JSON object a row
  penstock preview events/ --show-personal    values before they are protected; this is audited

A dot stands for the value of the step before. Personal data is shown as it would land.
"""
_SAME: Final = "·"
_WIDEST: Final = 32
_NARROW: Final = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_plan_arguments(parser)
    parser.add_argument(
        "--rows",
        type=flags.whole(1, 20),
        default=20,
        metavar="N",
        help="so many records; default 20",
    )
    parser.add_argument("--step", metavar="ID", help="only what rows are after this step")
    parser.add_argument(
        "--show-personal",
        action="store_true",
        help="show values and refused records as they came, too; audited",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = flags.plan_of(args)
    import_libraries()
    with no_warnings():
        from beam_pipelines.preview import preview  # noqa: PLC0415

    collect_from_here()
    found = preview(plan, args.rows, personal=args.show_personal)
    stages = _chosen(found, args.step)
    if args.show_personal:  # before any is shown
        rows = len(found.rows)
        audit.append(plan.out, "preview", pipeline=plan.name, rows=rows, input=args.input)
    if args.json:
        for row in found.rows:
            print(json.dumps(_told(row, stages), default=str))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        for row in found.rows:
            print(*grid(row, stages, width), "", sep="\n")
    for text in found.notes:
        print(f"note: {text}", file=sys.stderr)
    if not found.rows:
        print(f"{plan.name}: the source holds no records", file=sys.stderr)
    return 0


def _chosen(found: Preview, step: str | None) -> list[str]:
    if step is None:
        return found.stages
    if step not in found.stages:
        msg = f"--step must be one of {', '.join(found.stages)}; got {step!r}; write one of them"
        raise UsageError(msg)
    return [step]


def _told(row: Traced, stages: list[str]) -> dict[str, Any]:
    source, position, sequence = row.place
    return {
        "source": source,
        "position": position,
        "sequence": sequence,
        "stages": {name: row.stages[name] for name in stages if name in row.stages},
        "end": {"destiny": "kept"} if row.end is None else row.end._asdict(),
        "record": row.record,
    }


def grid(row: Traced, stages: list[str], width: int) -> Iterator[str]:
    """Yield the lines of a row: a column for each step, as many side by side as fit the width.

    Args:
        row: What to show.
        stages: Steps to show, in order.
        width: Columns of the terminal.
    """
    source, position, _ = row.place
    head = f"{source.rpartition('/')[2]} at {position}: {_end(row)}"
    yield from textwrap.wrap(head, width, subsequent_indent="  ")
    if row.record is not None:
        yield _fit(f"  {row.record!a}", width)
    there = [name for name in stages if name in row.stages]
    names = list(dict.fromkeys(n for stage in there for n in row.stages[stage]))
    columns = [[stage, *(_cell(row, there, i, n) for n in names)] for i, stage in enumerate(there)]
    titles = ["", *names]
    left = min(max(map(len, titles)), _NARROW, width // 3)
    at = 0
    while at < len(columns):
        several: list[tuple[list[str], int]] = []
        used = left + 2
        while at < len(columns):
            wide = min(max(map(len, columns[at])), _WIDEST)
            if several and used + 2 + wide > width:
                break
            wide = max(min(wide, width - used - 2), 1)
            several.append((columns[at], wide))
            used, at = used + 2 + wide, at + 1
        for i, title in enumerate(titles):
            cells = (_fit(column[i], wide).ljust(wide) for column, wide in several)
            if i == 0 or any(column[i] not in (_SAME, "") for column, _ in several):
                yield f"  {_fit(title, left).ljust(left)}  {'  '.join(cells)}".rstrip()


def _cell(row: Traced, stages: list[str], at: int, name: str) -> str:
    values = row.stages[stages[at]]
    if name not in values:
        return ""
    before = row.stages[stages[at - 1]] if at else {}
    if name in before and before[name] == values[name]:
        return _SAME
    return _text(values[name])


def _text(value: Any) -> str:
    """Return a value as one line that no terminal obeys."""
    if value is None:
        return "null"
    text = value if isinstance(value, str) else str(value)
    return printable(text)


def _end(row: Traced) -> str:
    if row.end is None:
        return "kept"
    why = f": {row.end.reason}" if row.end.reason else ""
    return f"{row.end.destiny} by {row.end.step} ({row.end.rule}){why}"


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
