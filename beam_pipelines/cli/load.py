"""`penstock load`: bring the warehouse up to the lake's last commit, or build it anew."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from beam_pipelines.cli import flags
from runners.lean import collect_from_here, deferred_models, import_libraries

if TYPE_CHECKING:
    from schemas.plan import Plan
    from transforms.commit.lake import Lake
    from transforms.sinks.warehouse import Loaded

SUMMARY = "load the warehouse, and send to Kafka, from the lake's commits"
EXAMPLES = """\
examples:
  penstock load events/                   take the commits that the warehouse has not seen
  penstock load events/ --rebuild         build this pipeline's warehouse tables anew from the lake
                                          (and send all of it to Kafka again, under the same keys)
  penstock load events/ --sinks kafka,lake    only send
  penstock load events/ --out /data/out   of a lake that was put elsewhere by `run --out`

`penstock run` loads the warehouse by itself; use this when another process held it, when it is
more than seven days behind, when brokers were away, or when it follows a lake that was replaced. A
warehouse file may be deleted at any time: the next run or load makes it again from the lake.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    flags.add_sets(parser)
    parser.add_argument("--sinks", metavar="A,B", help="only these sinks of the file")
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="make this pipeline's warehouse tables anew, and send all again, from the lake",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    began = time.monotonic()
    with deferred_models():  # Arrow and DuckDB are slow to import
        from schemas.planning import load_plan  # noqa: PLC0415

    sinks = None if args.sinks is None else [name.strip() for name in args.sinks.split(",")]
    plan = load_plan(args.folder, out=args.out, sinks=sinks, sets=args.sets)
    import_libraries()
    from schemas.errors import UsageError  # noqa: PLC0415
    from transforms.commit.lake import open_lake  # noqa: PLC0415

    collect_from_here()
    if not {"warehouse", "kafka"} & plan.sinks.keys():
        msg = "`sinks` must name what is to be loaded; got none; add `warehouse: {}`"
        raise UsageError(msg)
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be loaded; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    lake = open_lake(plan)
    told: dict[str, Any] = {"pipeline": plan.name, "cloud": plan.cloud, "seconds": 0.0}
    if "warehouse" in plan.sinks:
        told |= _load(plan, lake, args)
    if "kafka" in plan.sinks:
        told |= _send(plan, lake, args)
    if args.json:
        told["seconds"] = round(time.monotonic() - began, 3)
        sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _load(plan: Plan, lake: Lake, args: argparse.Namespace) -> dict[str, Any]:
    from transforms.sinks.warehouse import Warehouse  # noqa: PLC0415

    warehouse = Warehouse(plan, plan.out / "warehouse.duckdb")
    loaded: Loaded = warehouse.load(lake, rebuild=args.rebuild)
    if not args.json:
        _say(plan, loaded)
    return {
        "commit": loaded.seq,
        "commits": loaded.commits,
        "rebuilt": bool(loaded.anew),
        "warehouse": loaded.tables(),
        "warnings": [loaded.note] if loaded.note else [],
    }


def _say(plan: Plan, loaded: Loaded) -> None:
    if not loaded.commits:
        print(f"{plan.name}: nothing new; the warehouse is at commit {loaded.seq}")
        return
    taken = f"{loaded.commits} commit{'s' if loaded.commits != 1 else ''} taken, now"
    print(f"{plan.name}: {'built anew' if loaded.anew else taken} at commit {loaded.seq}")
    width = max(map(len, loaded.rows))
    for name, rows in loaded.rows.items():
        print(f"  {name:{width}}  {rows:>13,} rows  {loaded.added[name]:+,}")
    if loaded.note:
        print(f"note: {loaded.note}")


def _send(plan: Plan, lake: Lake, args: argparse.Namespace) -> dict[str, Any]:
    from schemas.kafka_sink import kafka_sink  # noqa: PLC0415
    from transforms.sinks.kafka import KafkaOutbox  # noqa: PLC0415

    sink = kafka_sink(plan)
    assert sink is not None  # noqa: S101  # the plan has it
    sent = KafkaOutbox(plan, sink).load(lake, rebuild=args.rebuild)
    if not args.json:
        said = f"{sent.commits} commits sent, now" if sent.commits else "nothing new; Kafka is"
        print(f"{plan.name}: {said} at commit {sent.seq}")
        for name, rows in sorted(sent.rows.items()):
            print(f"  {name}  {rows:,} messages")
    return {"sent": dict(sent.rows), "sent_commit": sent.seq}
