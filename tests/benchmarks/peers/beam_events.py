"""The reference job as row-wise Beam, as its guide writes it: `python beam_events.py FILE OUT`.

One dict an element, on Beam's in-process runner. The same is spared as in `duckdb_events.py`.
Duplicates are found within a 5-minute window only, which is less work.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.stats import ApproximateUnique
from apache_beam.transforms.window import FixedWindows, TimestampedValue

KEY = b"benchmark-key-of-32-bytes-length"
EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.timestamp("us")),
        ("user_id", pa.string()),
        ("event_type", pa.string()),
        ("properties", pa.string()),
    ]
)
REFUSED = pa.schema([("record", pa.string()), ("rule", pa.string()), ("reason", pa.string())])
AGGREGATE = pa.schema(
    [
        ("event_type", pa.string()),
        ("events", pa.int64()),
        ("amount", pa.float64()),
        ("users", pa.int64()),
    ]
)


def parse(line: str) -> Iterator[Any]:
    """A timestamped row with its amount, or a dead letter."""
    try:
        row = json.loads(line)
        uuid.UUID(row["event_id"])
        time = datetime.fromisoformat(row["event_time"])
        properties = row["properties"]
        if properties.get("email") is not None:
            digest = hmac.new(KEY, properties["email"].encode(), hashlib.sha256).hexdigest()
            properties["email"] = f"k1:{digest}"
        out = {
            "event_id": row["event_id"],
            "event_time": time.replace(tzinfo=None),
            "user_id": row["user_id"],
            "event_type": row["event_type"],
            "properties": json.dumps(properties),
            "amount": properties.get("amount"),
        }
    except (ValueError, KeyError, TypeError) as error:
        letter = {"record": line, "rule": "json", "reason": type(error).__name__}
        yield beam.pvalue.TaggedOutput("refused", letter)
        return
    yield TimestampedValue(out, time.timestamp())


def first(group: tuple[str, Any]) -> Any:
    """One row of those with the same id."""
    return next(iter(group[1]))


def main(path: str, out: str) -> None:
    """Do the job and print what it found."""
    Path(out).mkdir(parents=True, exist_ok=True)
    pipeline = beam.Pipeline(runner=FnApiRunner())
    parsed = (
        pipeline
        | beam.io.ReadFromText(path)
        | beam.FlatMap(parse).with_outputs("refused", main="rows")
    )
    _ = parsed.refused | "letters" >> beam.io.WriteToParquet(f"{out}/refused", REFUSED)
    kept = (
        parsed.rows
        | beam.WindowInto(FixedWindows(300))
        | "by id" >> beam.Map(lambda row: (row["event_id"], row))
        | beam.GroupByKey()
        | "one each" >> beam.Map(first)
    )
    _ = (
        kept
        | "columns" >> beam.Map(lambda row: {name: row[name] for name in EVENTS.names})
        | "events" >> beam.io.WriteToParquet(f"{out}/events", EVENTS, codec="zstd")
    )
    sums = (
        kept
        | "amounts" >> beam.Map(lambda row: (row["event_type"], row["amount"] or 0.0))
        | "sum" >> beam.CombinePerKey(sum)
    )
    counts = (
        kept
        | "types" >> beam.Map(lambda row: (row["event_type"], 1))
        | "count" >> beam.combiners.Count.PerKey()
    )
    users = (
        kept
        | "users" >> beam.Map(lambda row: (row["event_type"], row["user_id"]))
        | "distinct" >> ApproximateUnique.PerKey(size=1024)
    )
    _ = (
        {"amount": sums, "events": counts, "users": users}
        | beam.CoGroupByKey()
        | "rows"
        >> beam.MapTuple(lambda key, v: {"event_type": key} | {k: x[0] for k, x in v.items()})
        | "aggregate" >> beam.io.WriteToParquet(f"{out}/events_5min", AGGREGATE, codec="zstd")
    )
    pipeline.run().wait_until_finish()
    count = {
        name: sum(pq.ParquetFile(f).metadata.num_rows for f in Path(out).glob(f"{name}-*"))
        for name in ("refused", "events")
    }
    print(json.dumps({"rows": {"kept": count["events"], "refused": count["refused"]}}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
