"""Compare what a pipeline landed with what DuckDB reads of the same file by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import yaml

_NUMBERS = ("integer", "number")
_FORMS = {
    "yyyy": "%Y", "yy": "%y", "MMM": "%b", "MMMM": "%B", "MM": "%m", "M": "%m", "dd": "%d",
    "d": "%d", "HH": "%H", "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "ss": "%S", "a": "%p",
}  # fmt: skip


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
    names = options.get("names", [])
    header = f"header=false, names={names}" if names else "header=true"
    return (
        f"read_csv('{path}', all_varchar=true, {header}, delim='{delimiter}', quote='\"', "
        f"escape='\"', nullstr=[{nulls}], strict_mode=false, allow_quoted_nulls=false, "
        f"skip={options.get('skip', 0)})"
    )


def _called(key: str, columns: list[str]) -> str:
    """What DuckDB calls a column: without spaces around it, and one without a name by its number."""
    unnamed = next((name for name in columns if re.fullmatch("column0+", name)), "")
    name = key if key in columns else key.strip() or unnamed
    return '"' + name.replace('"', '""') + '"'


def _as_written(key: str, logical: str, options: dict[str, Any]) -> str:
    """The expression that reads a column as the file is said to write it."""
    if options.get("trim"):
        key = f"trim({key}, ' \t')"
    if logical == "boolean" and "trues" in options:
        trues = [word.lower() for word in options["trues"]]
        words = [*trues, *(word.lower() for word in options["falses"])]
        listed = [", ".join(f"'{word}'" for word in some) for some in (words, trues)]
        known, true = (f"lower({key}) IN ({words})" for words in listed)
        return f"CASE WHEN {known} THEN {true} ELSE {key}::BOOLEAN END"
    if logical in _NUMBERS and options.keys() & {"decimal", "thousands", "signs"}:
        drop = [*options.get("signs", []), options.get("thousands", " "), " "]
        for text in drop:
            key = f"replace({key}, '{text}', '')"
        return f"replace({key}, '{options.get('decimal', '.')}', '.')"
    return key


def _strptime(key: str, pattern: str) -> str | None:
    """The expression that reads a pattern, where DuckDB has one for it."""
    form = re.sub("[A-Za-z]+", lambda found: _FORMS.get(found[0], "?"), pattern)
    return None if set(form) & set("?['") else f"strptime({key}, '{form}')"


def differences(folder: Path, *, rows: int) -> list[str]:
    """What DuckDB sees otherwise: the number of rows, and for each clear scalar column its values.

    Args:
        folder: That `penstock run` has run, all rows kept.
        rows: How many were read.
    """
    pipeline, properties = pipeline_of(folder)
    files = pipeline["source"]["batch"]["files"]
    source = _relation(folder, files)
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
            if logical in ("object", "array", "time"):
                continue
            kind = {"integer": "DOUBLE", "number": "DOUBLE", "string": "VARCHAR"}.get(
                logical, {"timestamp": "TIMESTAMPTZ"}.get(logical, logical.upper())
            )
            name, key = (f'"{prop[k]}"' for k in ("name", "name"))
            if "physicalName" in prop:
                key = _called(prop["physicalName"], connection.sql(f"FROM {source}").columns)
            pattern = prop.get("logicalTypeOptions", {}).get("format")
            if pattern and logical != "string":
                key = _strptime(key, pattern)
                if key is None:
                    continue
            if files["format"] == "csv":
                key = _as_written(key, logical, files.get("csv", {}))
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
