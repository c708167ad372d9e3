"""`penstock dlq`: what was refused, by which rule, and the records themselves."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from beam_pipelines.cli import flags
from beam_pipelines.columns import aligned
from runners.lean import collect_from_here, import_libraries

SUMMARY = "show refused rows: which rule, why, where, and their records"
EXAMPLES = """\
examples:
  penstock dlq events/                        how many, by step and rule
  penstock dlq events/ --rows 20              the newest 20: position, rule, reason
  penstock dlq events/ --rule type --rows 5 --records
                                              with their records, decrypted in memory

Records are personal data if the contract has any: what --records prints is in clear.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_plan_arguments(parser)
    parser.add_argument("--step", metavar="ID", help="only what this step refused")
    parser.add_argument("--rule", metavar="NAME", help="only what this rule refused")
    parser.add_argument(
        "--rows", type=_count, default=0, metavar="N", help="show the newest N rows, not the counts"
    )
    parser.add_argument(
        "--records", action="store_true", help="show the records too, in clear; not stored anywhere"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _count(text: str) -> int:
    if not text.isdecimal():
        msg = f"--rows must be a count; got {text!r}; write for example 20"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = flags.plan_of(args)
    import_libraries()
    from beam_pipelines.dead_letters import counts, rows  # noqa: PLC0415  slow to import

    collect_from_here()
    if args.rows or args.records:
        found = rows(
            plan, step=args.step, rule=args.rule, limit=args.rows or 10, records=args.records
        )
        for row in found:
            print(json.dumps(row) if args.json else _told(row))
    else:
        found = counts(plan, step=args.step, rule=args.rule)
        if args.json:
            for row in found:
                print(json.dumps(row))
        elif found:
            cells = [(r["step"], r["rule"], r["reason"], f"{r['rows']:,}") for r in found]
            print(*aligned(("step", "rule", "for example", "rows"), cells, numbers=1), sep="\n")
    if not found:
        print(f"{plan.name}: no such row was refused", file=sys.stderr)
    return 0


def _told(row: dict[str, Any]) -> str:
    text = f"{row['source']} at {row['position']}: {row['step']} {row['rule']}: {row['reason']}"
    if "record" in row:
        # A record may hold what a terminal obeys.
        text += f"\n  {row['record']!a}" if row["record"] is not None else "\n  (kept by position)"
    return text
