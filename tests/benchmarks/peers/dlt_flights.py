"""The flights loaded by dlt: `python dlt_flights.py FILE OUT`.

A generator of pages of dicts from the CSV file, as dlt's guide to fast loading has it, into
DuckDB; dlt infers the types. Nothing else is done: no checks, key, protection, enrichment,
aggregate or lake.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import duckdb

PAGE = 5_000
MISSING = ("", "NA")


def main(path: str, out: str) -> None:
    """Load the file and print what landed."""
    Path(out).mkdir(parents=True, exist_ok=True)

    @dlt.resource(name="flights")
    def flights() -> Iterator[list[dict[str, str | None]]]:
        with Path(path).open(newline="") as file:
            rows = csv.DictReader(file)
            while page := list(islice(rows, PAGE)):
                yield [{k: None if v in MISSING else v for k, v in row.items()} for row in page]

    database = str(Path(out, "flights.duckdb").resolve())
    pipeline = dlt.pipeline(
        pipeline_name="flights",
        pipelines_dir=str(Path(out, "dlt").resolve()),
        destination=dlt.destinations.duckdb(database),
        dataset_name="processed_data",
    )
    pipeline.run(flights())
    with duckdb.connect(database, read_only=True) as db:
        found = db.execute("SELECT count(*) FROM processed_data.flights").fetchone()
    print(json.dumps({"rows": {"kept": found[0] if found else 0}}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
