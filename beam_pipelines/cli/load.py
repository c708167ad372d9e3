"""`penstock load`: bring the warehouse up to the lake's last commit, or build it anew."""

from __future__ import annotations

import argparse

from beam_pipelines.cli import flags
from runners.lean import collect_from_here, import_libraries

SUMMARY = "load the warehouse from the lake's commits"
EXAMPLES = """\
examples:
  penstock load events/                   take the commits that the warehouse has not seen
  penstock load events/ --rebuild         build this pipeline's warehouse tables anew from the lake

`penstock run` loads the warehouse by itself; use this when another process held it, when it is
more than seven days behind, or when it is gone.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_plan_arguments(parser)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="drop this pipeline's warehouse tables and load what the lake holds now",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    plan = flags.plan_of(args)
    import_libraries()
    from schemas.errors import UsageError  # noqa: PLC0415  Arrow and DuckDB are slow to import
    from transforms.commit.follow import commits_after, everything  # noqa: PLC0415
    from transforms.commit.lake import open_lake  # noqa: PLC0415
    from transforms.sinks.warehouse import Warehouse  # noqa: PLC0415

    collect_from_here()
    if "warehouse" not in plan.sinks:
        msg = "`sinks` must name the warehouse to be loaded; got none; add `warehouse: {}`"
        raise UsageError(msg)
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be loaded; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    lake = open_lake(plan)
    warehouse = Warehouse(plan, plan.out / "warehouse.duckdb")
    if args.rebuild:
        loaded = warehouse.rebuild(everything(lake))
    else:
        loaded = warehouse.load(commits_after(lake, warehouse.seq()))
    if not loaded.commits:
        print(f"{plan.name}: nothing new; the warehouse is at commit {loaded.seq}")
        return 0
    how = "built anew at" if args.rebuild else f"{loaded.commits} commits taken, now at"
    print(f"{plan.name}: {how} commit {loaded.seq}")
    for name, rows in loaded.rows.items():
        print(f"  {name}  {rows:,} rows  {loaded.added[name]:+,}")
    return 0
