"""`penstock load`: bring the warehouse up to the lake's last commit, or build it anew."""

from __future__ import annotations

import argparse
import json
import sys
import time

from beam_pipelines.cli import flags
from runners.lean import collect_from_here, deferred_models, import_libraries

SUMMARY = "load the warehouse from the lake's commits"
EXAMPLES = """\
examples:
  penstock load events/                   take the commits that the warehouse has not seen
  penstock load events/ --rebuild         build this pipeline's warehouse tables anew from the lake
  penstock load events/ --out /data/out   of a lake that was put elsewhere by `run --out`

`penstock run` loads the warehouse by itself; use this when another process held it, when it is
more than seven days behind, or when it follows a lake that was replaced. A warehouse file may be
deleted at any time: the next run or load makes it again from the lake.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    flags.add_sets(parser)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="drop this pipeline's warehouse tables and load what the lake holds now",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    began = time.monotonic()
    with deferred_models():  # Arrow and DuckDB are slow to import
        from schemas.planning import load_plan  # noqa: PLC0415

    plan = load_plan(args.folder, out=args.out, sets=args.sets)
    import_libraries()
    from schemas.errors import UsageError  # noqa: PLC0415
    from transforms.commit.lake import open_lake  # noqa: PLC0415
    from transforms.sinks.warehouse import Loaded, Warehouse  # noqa: PLC0415

    collect_from_here()
    if "warehouse" not in plan.sinks:
        msg = "`sinks` must name the warehouse to be loaded; got none; add `warehouse: {}`"
        raise UsageError(msg)
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be loaded; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    warehouse = Warehouse(plan, plan.out / "warehouse.duckdb")
    loaded: Loaded = warehouse.load(open_lake(plan), rebuild=args.rebuild)
    if args.json:
        told = {
            "pipeline": plan.name,
            "cloud": plan.cloud,
            "seconds": round(time.monotonic() - began, 3),
            "commit": loaded.seq,
            "commits": loaded.commits,
            "rebuilt": bool(loaded.anew),
            "warehouse": loaded.tables(),
            "warnings": [loaded.note] if loaded.note else [],
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    if not loaded.commits:
        print(f"{plan.name}: nothing new; the warehouse is at commit {loaded.seq}")
        return 0
    taken = f"{loaded.commits} commit{'s' if loaded.commits != 1 else ''} taken, now"
    print(f"{plan.name}: {'built anew' if loaded.anew else taken} at commit {loaded.seq}")
    width = max(map(len, loaded.rows))
    for name, rows in loaded.rows.items():
        print(f"  {name:{width}}  {rows:>13,} rows  {loaded.added[name]:+,}")
    if loaded.note:
        print(f"note: {loaded.note}")
    return 0
