"""Compare what a pipeline landed with what DuckDB reads of the same file by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import yaml

_NUMBERS = ("integer", "number")


def pipeline_of(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The pipeline file, and the properties of the contract."""
    pipeline = yaml.safe_load((folder / "pipeline.yaml").read_text(encoding="utf-8"))
    contract = yaml.safe_load((folder / "contract.odcs.yaml").read_text(encoding="utf-8"))
    return pipeline, contract["schema"][0]["properties"]


def _relation(folder: Path, files: dict[str, Any]) -> str:
    path = str((folder / files["path"]).resolve())
    if files["format"] == "parquet":
        return f"read_parquet('{path}')"
    if files["format"] == "json":
        return f"read_json('{path}', format='newline_delimited', sample_size=-1)"
    options = files.get("csv", {})
    nulls = ", ".join(f"'{text}'" for text in options.get("nulls", [""]))
    delimiter = options.get("delimiter", ",")
    return (
        f"read_csv('{path}', all_varchar=true, header=true, delim='{delimiter}', quote='\"', "
        f"escape='\"', nullstr=[{nulls}], strict_mode=false)"
    )


def differences(folder: Path, *, rows: int) -> list[str]:
    """What DuckDB sees otherwise: the number of rows, and for each clear scalar column its values.

    Args:
        folder: That `penstock run` has run, all rows kept.
        rows: How many were read.
    """
    pipeline, properties = pipeline_of(folder)
    source = _relation(folder, pipeline["source"]["batch"]["files"])
    landed = f"processed_data.{pipeline['name']}"
    found = []
    with duckdb.connect(str(folder / "out" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")

        def one(query: str) -> tuple[Any, ...]:
            (row,) = connection.execute(query).fetchall()
            return row

        if one(f"SELECT count(*) FROM {source}") != (rows,):
            found.append("number of rows")
        compared = 0
        for prop in properties:
            logical = prop["logicalType"]
            if prop.get("classification") or prop.get("transformLogic"):
                continue
            if logical in ("object", "array", "time") or "format" in prop.get(
                "logicalTypeOptions", {}
            ):
                continue
            kind = {"integer": "DOUBLE", "number": "DOUBLE", "string": "VARCHAR"}.get(
                logical, {"timestamp": "TIMESTAMPTZ"}.get(logical, logical.upper())
            )
            name, key = (f'"{prop[k]}"' for k in ("name", "name"))
            if "physicalName" in prop:
                key = '"' + prop["physicalName"].replace('"', '""') + '"'
            asked = (
                "SELECT count(v), count(DISTINCT v), min(v), max(v), sum(hash(v) % 1000003) FROM "
                "(SELECT {}::{} AS v FROM {})"
            )
            ours = one(asked.format(name, kind, landed))
            if ours != one(asked.format(key, kind, source)):
                found.append(str(prop["name"]))
            compared += 1
        if not compared:
            found.append("no column was compared")
    return found
