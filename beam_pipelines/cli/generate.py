"""`penstock generate`: make up records that satisfy a contract."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from beam_pipelines.cli import flags
from runners.lean import import_libraries

if TYPE_CHECKING:
    from schemas.plan import Plan
    from transforms.synthetic.like.shapes import Likeness
    from transforms.synthetic.stream import Shares
    from transforms.synthetic.values import Span

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST_US = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)
_DEFAULT_SPAN_US = 86_400_000_000
_DEFAULT_START_US = 20_454 * _DEFAULT_SPAN_US  # 2026-01-01

SUMMARY = "make up records that satisfy a contract, some of them wrong if you ask"
EXAMPLES = """\
examples:
  penstock generate events/ --rows 1000000                   to events/data/generated.jsonl
  penstock generate events/ --rows 50000 --into more.csv.gz  the name says the format
  penstock generate events/ --broken 0.01 --duplicates 0.02 --late 0.001 --disorder 30s
  penstock generate events/ --rows 1000000 --like sample.parquet  spread as the rows of a sample
  penstock run events/ --input data/generated.jsonl          must give what the manifest says

Types, rules, keys and references to lookups are kept; event times rise over --span. Beside the file
FILE.manifest.json counts what is in it, and FILE.manifest.parquet lists each record that is
broken, repeated or late. The same seed gives the same bytes. Values say nothing true of anybody:
--like keeps how a sample's values are spread, and no value that fewer than 20 of its records share
or that is classified.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    parser.add_argument(
        "--rows", type=flags.whole(1, 10_000), default=10_000, metavar="N", help="distinct records"
    )
    parser.add_argument(
        "--into",
        type=flags.name_of,
        metavar="FILE",
        help=".jsonl, .csv or .parquet; default data/generated.jsonl",
    )
    parser.add_argument(
        "--seed", type=flags.whole(0, 1, flags.SEEDS), default=0, metavar="N", help="0 by default"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=flags.word,
        metavar="TIME",
        help="first event time, ISO 8601; default 2026-01-01, or the sample's",
    )
    parser.add_argument(
        "--span",
        type=flags.word,
        metavar="1d",
        help="how long events go on; default 1d, or the sample's",
    )
    parser.add_argument(
        "--like",
        type=flags.name_of,
        metavar="SAMPLE",
        help="file, directory, glob or URL: rows are spread as its rows, and copy none of them",
    )
    for name, what in (
        ("broken", "that break one rule each"),
        ("duplicates", "that are sent twice"),
        ("late", "that arrive --late-by after their event"),
    ):
        parser.add_argument(
            f"--{name}",
            type=flags.number,
            default=0.0,
            metavar="SHARE",
            help=f"share of records {what}",
        )
    parser.add_argument("--disorder", default="0s", metavar="30s", help="how far out of order")
    parser.add_argument(
        "--late-by",
        type=flags.word,
        metavar="3h",
        help="default: disorder and twice the allowed lateness of the pipeline's aggregates",
    )
    flags.add_sets(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    began = time.monotonic()
    import_libraries()
    from beam_pipelines.generating import (  # noqa: PLC0415  slow to import
        Order,
        format_of,
        generate,
        learn,
        summary,
    )
    from schemas.planning import load_plan  # noqa: PLC0415

    plan = load_plan(args.folder, sets=args.sets)
    path = Path(args.into) if args.into else args.folder / "data" / "generated.jsonl"
    shares = _shares(args, plan)
    like = learn(plan, args.like, format_of(path)) if args.like else None
    order = Order(
        path=path,
        rows=args.rows,
        seed=args.seed,
        span=_span(args, like),
        shares=shares,
        like=like,
    )
    if like is not None and like.absent:
        sys.stderr.write(
            f"{like.file} has no values of {', '.join(like.absent)}: these are made up by the "
            "contract alone\n"
        )
    manifest = generate(plan, order)
    said = summary(manifest, time.monotonic() - began)
    if args.json:
        sys.stdout.write(json.dumps(said) + "\n")
        return 0
    parts = ", ".join(
        f"{getattr(manifest, name):,} {name}"
        for name in ("good", "broken", "duplicate", "late")
        if getattr(manifest, name)
    )
    print(f"{path}: {manifest.records:,} records in {said['seconds']:.1f} s: {parts}")
    return 0


def _shares(args: argparse.Namespace, plan: Plan) -> Shares:
    from schemas.errors import UsageError  # noqa: PLC0415
    from transforms.synthetic.stream import Shares  # noqa: PLC0415

    given = {name: getattr(args, name) for name in ("broken", "duplicates", "late")}
    for name, share in given.items():
        if share > 1:
            msg = f"--{name} must be a share from 0 to 1; got {share:g}; 0.01 is one in a hundred"
            raise UsageError(msg)
    if args.broken + args.late > 1:
        msg = "--broken and --late together must be at most 1; got more; lower one"
        raise UsageError(msg)
    disorder = flags.micros("--disorder", args.disorder)
    lateness = max((a.window.allowed_lateness_us for a in plan.aggregates), default=0)
    late_by = flags.micros("--late-by", args.late_by) if args.late_by else disorder + 2 * lateness
    return Shares(**given, disorder_us=disorder, late_by_us=late_by)


def _span(args: argparse.Namespace, like: Likeness | None) -> Span:
    from schemas.errors import UsageError  # noqa: PLC0415
    from transforms.synthetic.values import Span  # noqa: PLC0415

    own = None if like is None or like.rhythm is None else like.rhythm.span
    begin = _DEFAULT_START_US if own is None else own.start_us
    length = _DEFAULT_SPAN_US if own is None else own.end_us - own.start_us
    if args.start:
        begin = _micros(args.start)
    if args.span:
        length = flags.micros("--span", args.span)
    if length == 0:
        msg = "--span must be longer than nothing; got 0s; write 1d or so"
        raise UsageError(msg)
    if begin + length > _LAST_US:
        msg = f"events must end before the year 10000; got --from {args.start}; begin earlier"
        raise UsageError(msg)
    return Span(start_us=begin, end_us=begin + length)


def _micros(text: str) -> int:
    from schemas.errors import UsageError  # noqa: PLC0415

    try:
        start = dt.datetime.fromisoformat(text)
    except ValueError:
        msg = f"--from must be a time in ISO 8601; got {text!r}; write 2026-01-31T09:30Z"
        raise UsageError(msg) from None
    start = start if start.tzinfo else start.replace(tzinfo=dt.UTC)
    return (start - _EPOCH) // dt.timedelta(microseconds=1)
