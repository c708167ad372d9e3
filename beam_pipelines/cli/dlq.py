"""`penstock dlq`: refused rows: which there are, what they hold, and how they land after all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.cli import flags
from beam_pipelines.columns import aligned
from runners import audit
from runners.lean import collect_from_here, import_libraries, no_warnings

if TYPE_CHECKING:
    from beam_pipelines.dead_letters import Choice
    from beam_pipelines.mending import Audit
    from beam_pipelines.replay import Replayed
    from schemas.plan import Plan

SUMMARY = "refused rows: list and show them, mend their records, replay them"
EXAMPLES = """\
examples:
  penstock dlq list events/                   how many, by step, rule and reason
  penstock dlq show events/ --rule type       the newest: position, reason, record (masked)
  penstock dlq show events/ --rows 5 --records      their records in clear; this is audited
  penstock dlq replay events/ --simulate      what contract and code of now would do with them
  penstock dlq replay events/                 do it: rows that are kept land once, and are closed
  penstock dlq export events/ mine.jsonl      to mend records in an editor ...
  penstock dlq import events/ mine.jsonl      ... and put them back, at their own positions

Records of a contract with personal data are shown by their shape (letters a, digits 9) unless
--records asks for them.
"""
_ACTIONS: Final = {
    "list": "how many there are, by step, rule and reason, with a masked example of each",
    "show": "the newest of them: position, reason, record (masked)",
    "export": "write them to a new file of your own, records in clear, to be mended; audited",
    "import": "put mended records of such a file in place of theirs, and replay those",
    "replay": "decode them again by the contract of now; what is kept lands once, at its position",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of this verb and their flags."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for name, summary in _ACTIONS.items():
        one = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        flags.add_plan_arguments(one)
        if name in ("export", "import"):
            one.add_argument("file", type=flags.path_of, help="JSON lines: position and record")
        one.add_argument("--json", action="store_true", help="print JSON objects, one a line")
        _ADD[name](one)


def _choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", metavar="ID", help="only what this step refused")
    parser.add_argument("--rule", metavar="NAME", help="only what this rule refused")
    parser.add_argument("--source", metavar="URI", help="only what was read from this source")


def _show(parser: argparse.ArgumentParser) -> None:
    _choice(parser)
    parser.add_argument(
        "--rows",
        type=flags.whole(1, 20),
        default=20,
        metavar="N",
        help="at most so many; default 20",
    )
    parser.add_argument(
        "--records", action="store_true", help="show the records in clear; audited, not stored"
    )


def _replay(parser: argparse.ArgumentParser) -> None:
    _choice(parser)
    parser.add_argument(
        "--simulate", action="store_true", help="say what would become of them; write nothing"
    )


_ADD: Final[dict[str, Callable[[argparse.ArgumentParser], None]]] = {
    "list": _choice,
    "show": _show,
    "export": _choice,
    "import": lambda _: None,
    "replay": _replay,
}


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = flags.plan_of(args)
    import_libraries()
    with no_warnings():
        from beam_pipelines.dead_letters import Choice  # noqa: PLC0415  slow to import

    collect_from_here()
    choice = Choice() if args.action == "import" else Choice(args.step, args.rule, args.source)
    return _RUN[args.action](args, plan, choice)


def _run_list(args: argparse.Namespace, plan: Plan, choice: Choice) -> int:
    from beam_pipelines.dead_letters import groups  # noqa: PLC0415

    found = groups(plan, choice)
    if args.json:
        _print_json(found)
        return 0
    for row in found:
        print(f"{row['rows']:,} by {row['step']}, rule {row['rule']}: {row['reason']}")
        print(f"  e.g. {_place(row['example'])}: {_record(row['example'])}")
    return _none(plan, found)


def _run_show(args: argparse.Namespace, plan: Plan, choice: Choice) -> int:
    from beam_pipelines.dead_letters import rows  # noqa: PLC0415

    found = rows(plan, choice, limit=args.rows, clear=args.records)
    if args.records:  # before any is shown
        audit.append(
            plan.out,
            "dlq.show",
            pipeline=plan.name,
            rows=len(found),
            step=args.step,
            rule=args.rule,
            source=args.source,
        )
    if args.json:
        _print_json(found)
        return 0
    for row in found:
        print(f"{_place(row)}: {row['step']} {row['rule']}: {row['reason']}")
        print(f"  {_record(row)}")
        if row["mended_at"] is not None:
            print(f"  mended at {row['mended_at']}")
        if row["tried_at"] is not None:
            why = f"{row['tried_step']} {row['tried_rule']}: {row['tried_reason']}"
            print(f"  refused again at {row['tried_at']}: {why}")
    return _none(plan, found)


def _run_export(args: argparse.Namespace, plan: Plan, choice: Choice) -> int:
    from beam_pipelines.mending import export  # noqa: PLC0415

    chosen = {"step": args.step, "rule": args.rule, "source": args.source}
    count = export(plan, choice, args.file, audit=_audited(args, plan, **chosen))
    if args.json:
        _print_json([{"rows": count, "file": str(args.file)}])
    else:
        print(f"{count:,} rows in {args.file}, in clear: mend records there, and import it")
    return 0


def _run_import(args: argparse.Namespace, plan: Plan, _: Choice) -> int:
    from beam_pipelines.mending import put_back  # noqa: PLC0415

    done = put_back(plan, args.file, by=audit.user(), audit=_audited(args, plan))
    told = {"changed": done.changed, "same": done.same, "gone": done.gone}
    if not args.json:
        print(f"{done.changed:,} records changed, {done.same:,} as they were")
        if done.gone:
            print(f"{done.gone:,} lines name no dead letter: closed meanwhile, or never one")
    _say_replayed(args, plan, done.replayed, told)
    return 0


def _audited(args: argparse.Namespace, plan: Plan, **chosen: Any) -> Audit:
    """Return what writes the line of an export or import, its number of rows known."""

    def written(rows: int) -> None:
        file = str(args.file.resolve())
        audit.append(
            plan.out, f"dlq.{args.action}", pipeline=plan.name, file=file, rows=rows, **chosen
        )

    return written


def _run_replay(args: argparse.Namespace, plan: Plan, choice: Choice) -> int:
    from beam_pipelines.replay import replay, simulate  # noqa: PLC0415

    done = simulate(plan, choice) if args.simulate else replay(plan, choice)
    _say_replayed(args, plan, done)
    return 0


_RUN: Final[dict[str, Callable[[argparse.Namespace, Plan, Choice], int]]] = {
    "list": _run_list,
    "show": _run_show,
    "export": _run_export,
    "import": _run_import,
    "replay": _run_replay,
}


def _say_replayed(
    args: argparse.Namespace, plan: Plan, done: Replayed, more: dict[str, Any] | None = None
) -> None:
    if args.json:
        told: dict[str, Any] = {"rows": done.counts(), "became": done.told()}
        told = (done.result.json() if done.result else {"warnings": done.notes}) | told
        print(json.dumps(told | (more or {})))
        return
    titles = ("was refused by", "becomes" if done.result is None else "became", "by", "rows")
    cells = [
        (
            f"{r['step']} {r['rule']}",
            "refused again" if r["destiny"] == "refused" else r["destiny"],
            f"{r['by_step']} {r['by_rule']}".strip(),
            f"{r['rows']:,}",
        )
        for r in done.told()
    ]
    if cells:
        print(*aligned(titles, cells, numbers=1), sep="\n")
    for warning in done.notes if done.result is None else done.result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    _none(plan, cells)


def _none(plan: Plan, found: list[Any]) -> int:
    if not found:
        print(f"{plan.name}: no such row was refused", file=sys.stderr)
    return 0


def _print_json(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(json.dumps(row))


def _place(row: dict[str, Any]) -> str:
    return f"{row['source']} at {row['position']}"


def _record(row: dict[str, Any]) -> str:
    """Return the record as one line: it may hold what a terminal obeys."""
    return "(kept by position)" if row["record"] is None else ascii(row["record"])
