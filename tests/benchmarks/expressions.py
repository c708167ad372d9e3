"""Which engine for row expressions: what a batch costs in each, and where their meanings differ.

    python tests/benchmarks/expressions.py

Engines take turns within one process, so that a busy machine slows all of them; CPU time of the
process, medians, and ratios of pairs. DataFusion is no dependency of Penstock: without it (`pip
install datafusion`) its columns are left out. The figures of the decision page
(docs/decisions/0001-expression-engine.md) were taken with this script.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.expressions import Place, check
from schemas.sql_engine import connect
from transforms.batches import one_batch
from transforms.expressions import Evaluator

ROWS = 36_000
ROUNDS = 15
THREE = {
    "delay_class": "CASE WHEN dep_delay > 15 THEN 'late' ELSE 'on time' END",
    "speed": "distance * 60.0 / (air_time + 1)",
    "label": "upper(carrier) || '-' || lower(tail)",
}

Run = Callable[[pa.RecordBatch], Any]


def sample(rows: int) -> pa.RecordBatch:
    """Make about 2 MiB of flights for 36,000 rows."""
    random = np.random.default_rng(7)
    return pa.record_batch(
        {
            "dep_delay": random.integers(-10, 90, rows),
            "distance": random.integers(90, 4_000, rows),
            "air_time": random.integers(20, 600, rows),
            "carrier": pa.array([f"c{i % 16}" for i in range(rows)]),
            "tail": pa.array([f"N{i % 4_000:05}" for i in range(rows)]),
            "not_read": pa.array(["x" * 24] * rows),
        }
    )


def polars_engine() -> Run:
    """Polars, expressions parsed once."""
    made = [pl.sql_expr(text).alias(name) for name, text in THREE.items()]

    def run(batch: pa.RecordBatch) -> Any:
        return pl.DataFrame(batch).select(made).to_arrow()

    return run


def datafusion_engine() -> Run | None:
    """DataFusion, a table registered for each batch."""
    try:
        from datafusion import SessionConfig, SessionContext  # noqa: PLC0415
    except ImportError:
        return None
    context = SessionContext(SessionConfig().with_target_partitions(1))
    query = f"SELECT {', '.join(f'{text} AS {name}' for name, text in THREE.items())} FROM batch"

    def run(batch: pa.RecordBatch) -> Any:
        context.register_record_batches("batch", [[batch]])
        found = context.sql(query).to_arrow_table()
        context.deregister_table("batch")
        return found

    return run


def duckdb_engine() -> Run:
    """DuckDB as the product runs it: checked, isolated, typed."""
    place = Place(Path("benchmark"), 1)
    schema = sample(1).schema
    checked = {name: check(text, schema, place=place) for name, text in THREE.items()}
    return Evaluator(checked).evaluate


def cost(engines: dict[str, Run], rows: int, calls: int) -> None:
    """Print milliseconds of CPU per batch, and each engine against the first."""
    batch = sample(rows)
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for run in engines.values():
        run(batch)
    for _ in range(ROUNDS):
        for name, run in engines.items():
            start = time.process_time()
            for _ in range(calls):
                run(batch)
            taken[name].append((time.process_time() - start) / calls * 1_000)
    first = next(iter(engines))
    for name, times in taken.items():
        pairs = [mine / other for mine, other in zip(times, taken[first], strict=True)]
        print(
            f"  {rows:>6} rows  {name:<11} {statistics.median(times):6.2f} ms"
            f"   {statistics.median(pairs):5.2f} of {first}"
        )


ONE = pa.table(
    {
        "i": pa.array([7], pa.int64()),
        "zero": pa.array([0], pa.int64()),
        "big": pa.array([2**63 - 1], pa.int64()),
        "f": pa.array([2.5]),
        "s": pa.array(["Zoë"]),
        "bad": pa.array(["x1"]),
        "n": pa.array([None], pa.int64()),
        "ns": pa.array([None], pa.string()),
        "yes": pa.array([True]),
        "no": pa.array([False]),
        "nb": pa.array([None], pa.bool_()),
        "ts": pa.array([1_362_898_800_000_000], pa.timestamp("us", "UTC")),
    }
)
MEANINGS = {
    "whole division": "i / 2",
    "division by zero": "i / zero",
    "remainder by zero": "i % zero",
    "NULL AND false": "nb AND no",
    "NULL OR true": "nb OR yes",
    "CASE WHEN NULL": "CASE WHEN nb THEN 'a' ELSE 'b' END",
    "text order": "'Zoë' < 'zoe'",
    "failed CAST": "CAST(bad AS BIGINT)",
    "failed TRY_CAST": "TRY_CAST(bad AS BIGINT)",
    "substring from 0": "substr(s, 0, 2)",
    "substring from 1": "substr(s, 1, 2)",
    "round half": "round(f)",
    "round -half": "round(-f)",
    "CAST of 2.5": "CAST(f AS BIGINT)",
    "day over the clock change": "ts + INTERVAL '1 day'",
    "hour in a zone": "date_part('hour', ts AT TIME ZONE 'America/New_York')",
    "overflow": "big + 1",
    "LIKE with escape": "'a%b' LIKE 'a!%b' ESCAPE '!'",
    "LIKE with backslash": r"'a%b' LIKE 'a\%b'",
    "|| with NULL": "s || ns",
    "concat() with NULL": "concat(s, ns)",
    "length of 'Zoë'": "length(s)",
}


def meanings() -> None:
    """Print what each engine makes of the same text."""
    duck = connect()
    duck.register("one", ONE)
    frame = pl.DataFrame(ONE)
    engines: dict[str, Callable[[str], Any]] = {
        "DuckDB": lambda text: one_batch(duck.sql(f"SELECT {text} AS v FROM one").to_arrow_table()),
        "Polars": lambda text: frame.select(pl.sql_expr(text).alias("v")).to_arrow(),
    }
    try:
        from datafusion import SessionContext  # noqa: PLC0415

        context = SessionContext()
        context.register_record_batches("one", [ONE.to_batches()])
        engines["DataFusion"] = lambda text: context.sql(
            f"SELECT {text} AS v FROM one"
        ).to_arrow_table()
    except ImportError:
        pass
    print(f"| {'':26} | {' | '.join(f'{name:26}' for name in engines)} |")
    print(f"|{'-' * 28}|{'|'.join(['-' * 28] * len(engines))}|")
    for what, text in MEANINGS.items():
        said = [f"{_said(run, text):26}" for run in engines.values()]
        print(f"| {what:26} | {' | '.join(said)} |")


def _said(run: Callable[[str], Any], text: str) -> str:
    try:
        value = run(text)["v"][0].as_py()
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is one, too
        return f"error ({type(error).__name__})"
    return str(value)


def main() -> None:
    """Print both tables."""
    print("CPU per batch, three expressions")
    known = {
        "Polars": polars_engine(),
        "DataFusion": datafusion_engine(),
        "DuckDB": duckdb_engine(),
    }
    engines = {name: run for name, run in known.items() if run is not None}
    cost(engines, 1, 60)
    cost(engines, ROWS, 12)
    print()
    meanings()


if __name__ == "__main__":
    main()
