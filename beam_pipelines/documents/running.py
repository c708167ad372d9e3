"""How a pipeline runs: as batch or stream, on what, how long rows stay, and who watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from beam_pipelines.documents.escaping import code, prose, table
from beam_pipelines.documents.parts import Part
from schemas.contract import Promise
from schemas.plan import Plan
from schemas.planning import RUNNERS_HERE, SINKS_HERE

_FRESHNESS: Final = ("latency", "frequency", "freshness", "timeliness")
"""Promises of a contract that say how often rows must come."""


def running(plan: Plan) -> tuple[Part, ...]:
    """Return the parts of `pipeline-architecture.md` on how it runs."""
    return (
        Part(name="batch-or-stream", lines=tuple(_batch_or_stream(plan))),
        Part(name="stack", lines=tuple(_stack(plan))),
        Part(name="retention", lines=tuple(_retention(plan))),
        Part(name="monitoring", lines=tuple(_monitoring(plan))),
    )


def _batch_or_stream(plan: Plan) -> Iterator[str]:
    yield "## Batch or stream"
    yield ""
    batch, stream = bool(plan.source.path), plan.stream is not None
    if batch and stream:
        yield (
            "Both, of the same two files: `penstock run` reads what is new in the files, "
            "`penstock run --stream` follows the topic. Final tables are the same."
        )
    elif stream:
        yield "Stream: the source is a topic. `source.batch` adds runs over files of such records."
    else:
        yield (
            "Batch: the source is files, and a run reads what is new in them. With a topic of the "
            "same records, `source.stream` makes the same two files a stream."
        )
    promised = [p for p in plan.contract.promises if p.name.lower() in _FRESHNESS]
    yield ""
    if not promised:
        yield (
            "The contract promises no `latency` and no `frequency` (`slaProperties`): batches are "
            "enough until it does."
            if batch
            else "The contract promises no `latency` and no `frequency` (`slaProperties`)."
        )
    for promise in promised:
        how = "a run must be started at least that often" if batch else "watch the stream's lag"
        also = ", or a stream be left running" if batch and stream else ""
        yield f"The contract promises {_promised(promise)}: {how}{also}."


def _promised(promise: Promise) -> str:
    of = f" of {code(promise.element)}" if promise.element else ""
    return f"{prose(promise.name)} {prose(promise.value)}{of}"


def _stack(plan: Plan) -> Iterator[str]:
    yield "## Stack and scaling"
    yield ""
    missing = dict.fromkeys(plan.sinks.keys() - SINKS_HERE, " (not written by this version)")
    sinks = ", ".join(code(name) + missing.get(name, "") for name in plan.sinks)
    warehouse = ", the warehouse DuckDB" if "warehouse" in plan.sinks else ""
    yield (
        f"Apache Beam on Arrow record batches of a few MiB. Sinks: {sinks}; the lake is Iceberg"
        f"{warehouse}."
    )
    yield ""
    faces = {"batch": bool(plan.source.path), "stream": plan.stream is not None}
    rows = [
        (mode, ", ".join(map(code, RUNNERS_HERE[mode]))) for mode, there in faces.items() if there
    ]
    yield from table(("runs as", "with `--runner`"), rows)
    yield ""
    yield (
        "`direct` and `prism` are processes on one machine, `flink` is a cluster: `--set "
        "runner.parallelism=N` spreads the steps over it. Whatever is grouped goes by hash to "
        f"{plan.hash_partitions} partitions: more workers than that do not help these steps. "
        "`penstock plan --runner NAME` shows every option."
    )


def _retention(plan: Plan) -> Iterator[str]:
    yield "## Retention"
    yield ""
    promised = [p for p in plan.contract.promises if p.name.lower() == "retention"]
    for promise in promised:
        yield f"The contract promises {_promised(promise)}."
        yield ""
    if not promised:
        yield "The contract names no retention (`slaProperties`)."
        yield ""
    key = (
        f" The key of pseudonyms and refused records, {code(plan.secret)}, is needed as long as "
        "they are."
    )
    yield (
        "No row is removed by itself, however old. `penstock maintain` puts small files together, "
        "and deletes old snapshots and files that nothing names."
        f"{key if plan.contract.classified else ''}"
    )


def _monitoring(plan: Plan) -> Iterator[str]:
    yield "## Monitoring"
    yield ""
    rows = [
        ("what became of each record", f"`penstock run --json`; {code(plan.operations('ledger'))}"),
        ("refused records, by step, rule and reason", "`penstock dlq list`"),
        ("runs, and the plan of each", code(plan.operations("runs"))),
    ]
    if plan.stream is not None:
        rows.append(("state, watermark and lag of the stream", "`penstock status`"))
    if "warehouse" in plan.sinks:
        loaded = f"{code(plan.operations('loaded'))} in the warehouse"
        rows.append(("the commit that the warehouse ends at", loaded))
    if plan.released:
        rows.append(("personal data that was let out", "`out/logs/audit.jsonl`"))
    yield from table(("what", "where"), rows)
    yield ""
    yield (
        "A run whose counts do not add up fails before anything lands. Exit codes: 0 done, "
        "1 failed, 2 wrong usage or files."
    )
