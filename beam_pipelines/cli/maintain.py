"""`penstock maintain`: put small files together, forget what is old, delete what nobody needs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from beam_pipelines.cli import flags
from beam_pipelines.columns import aligned
from runners.lean import collect_from_here, deferred_models, import_libraries

if TYPE_CHECKING:
    from beam_pipelines.maintenance import Maintained

SUMMARY = "tend the lake: put small files together, delete files that nobody needs"
EXAMPLES = """\
examples:
  penstock maintain events/                    all three tasks, one after the other
  penstock maintain events/ --dry-run          what they would do: counts and bytes
  penstock maintain events/ compact            only put small files together

  compact   small data files become files of 128 MiB, sorted if `sinks.lake.sort_by` says so
  expire    snapshots and commits that are too old are forgotten, with the files that only they name
  orphans   files that nothing names are deleted

Runs, streams and warehouses may go on beside it, and it may be killed at any time. Files that a
warehouse at most seven days behind needs stay.
"""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="compact, expire or orphans; all by default"
    )
    flags.add_out(parser)
    flags.add_sets(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done; nothing is changed"
    )
    parser.add_argument(
        "--keep",
        type=flags.whole(1, 100),
        default=100,
        metavar="N",
        help="snapshots kept a table; default 100",
    )
    parser.add_argument(
        "--age",
        type=_seconds,
        default="1d",
        metavar="TIME",
        help="delete no file younger than this; longer than any run takes; default 1d",
    )
    parser.add_argument(
        "--unlanded-age",
        type=_seconds,
        default="30d",
        metavar="TIME",
        help="the same for files with rows that have not landed: longer than a savepoint of the "
        "stream is kept before it is resumed; default 30d",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def _seconds(text: str) -> float:
    from schemas.durations import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        msg = f"a length of time {error}"
        raise argparse.ArgumentTypeError(msg) from None


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    began = time.monotonic()
    with deferred_models():  # Arrow and DuckDB are slow to import
        from schemas.planning import load_plan  # noqa: PLC0415

    plan = load_plan(args.folder, out=args.out, sets=args.sets)
    import_libraries()
    from beam_pipelines.maintenance import TASKS, maintain  # noqa: PLC0415
    from schemas.errors import UsageError  # noqa: PLC0415
    from schemas.located import did_you_mean  # noqa: PLC0415

    collect_from_here()
    for task in args.tasks:
        if task not in TASKS:
            known = ", ".join(TASKS)
            msg = f"a task must be one of {known}; got {task!r}; {did_you_mean(task, TASKS)}"
            raise UsageError(msg)
    done = maintain(
        plan,
        args.tasks or TASKS,
        dry_run=args.dry_run,
        keep=args.keep,
        age_s=args.age,
        unlanded_s=args.unlanded_age,
    )
    if args.json:
        told = {"pipeline": plan.name, "seconds": round(time.monotonic() - began, 3)}
        sys.stdout.write(json.dumps(told | {"dry_run": args.dry_run} | done.json()) + "\n")
    else:
        print(*_lines(plan.name, done, dry_run=args.dry_run), sep="\n")
    return 0


def _lines(name: str, done: Maintained, *, dry_run: bool) -> list[str]:
    cells = []
    for table, one in done.compacted.items():
        after = f" ({_size(one.bytes_after)})" if one.bytes_after else ""
        cells.append(
            (f"compact {table}", f"into {one.into:,}{after}", f"{one.files:,}", _size(one.bytes))
        )
    if (forgotten := done.forgotten) is not None and done.expired is not None:
        what = f"{len(forgotten.snapshots):,} snapshots, {forgotten.commits:,} commit rows"
        cells.append(("expire", what, f"{done.expired.files:,}", _size(done.expired.bytes)))
    if (orphans := done.orphans) is not None:
        waiting = _size(orphans.waiting_bytes)
        spared = f"{orphans.waiting:,} files of rows that have not landed stay ({waiting})"
        what = spared if orphans.waiting else ""
        cells.append(("orphans", what, f"{orphans.files:,}", _size(orphans.bytes)))
    head = f"{name}: what would be done; nothing was changed" if dry_run else f"{name}: done"
    if not cells:
        return [f"{name}: no files to put together"]
    notes = [f"note: {note}" for note in done.notes]
    return [head, *aligned(("task", "", "files", "bytes"), cells, numbers=2), *notes]


def _size(count: float) -> str:
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.{1 if unit else 0}f} {_UNITS[unit]}"
