"""Looks for texts in everything a run leaves behind: raw bytes, and the values of every format."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import fastavro
import pyarrow.parquet as pq


def find(needles: Iterable[str], folder: Path) -> dict[str, set[str]]:
    """Return the needles that are found, each with the files (from `folder`) that hold it.

    Looked for without regard to case: in the bytes of each file, in its name, and in the values
    that it holds once decompressed.
    """
    texts = {n: n.encode().lower() for n in needles}
    found: dict[str, set[str]] = {}
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert files, f"nothing to search in {folder}"
    for path in files:
        hay = b"\n".join([str(path).encode(), *_contents(path)]).lower()
        for needle, text in texts.items():
            if text in hay:
                found.setdefault(needle, set()).add(str(path.relative_to(folder)))
    return found


def _contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        yield from map(_bytes, pq.read_table(io.BytesIO(data)).to_pylist())
    elif data[:4] == b"Obj\x01":
        yield from map(_bytes, fastavro.reader(io.BytesIO(data)))
    elif data[:6] == b"SQLite":
        with sqlite3.connect(path) as c:
            for (name,) in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
                yield from map(_bytes, c.execute(f'SELECT * FROM "{name}"'))
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path)) as c:
            for schema, name in c.sql(
                "SELECT schema_name, table_name FROM duckdb_tables()"
            ).fetchall():
                yield from map(_bytes, c.sql(f'FROM "{schema}"."{name}"').fetchall())


def _bytes(value: object) -> bytes:
    """A value with everything in it, texts and bytes as they are."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return b" ".join(_bytes(x) for pair in value.items() for x in pair)
    if isinstance(value, list | tuple):
        return b" ".join(map(_bytes, value))
    return str(value).encode()
