"""What a run noticed that a person should know, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa

from transforms.sources.memory import base_of

_SHOWN: Final = 5


def shortened(names: Sequence[str]) -> str:
    """Join names for a sentence; many of them are cut."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" ... and {more:,} more" if more > 0 else "")


def none_kept(rows: Mapping[str, int], destinies: Sequence[Mapping[str, Any]]) -> str:
    """Say that a run kept nothing, and what took its rows."""
    took = [f"{d['rows']:,} {d['destiny']} by {d['step']} ({d['rule']})" for d in destinies]
    return f"no row was kept of {rows['read']:,} read: {shortened(took)}"


def landed_before(known: pa.Table | None, read: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which files hold the very bytes of one that landed from another place.

    Args:
        known: Rows of `_sources` before this run.
        read: `source`, `size` and `hash` of what this run read.
    """
    landed = [] if known is None else known.select(["source", "size", "hash"]).to_pylist()
    places = {(_name(r["source"]), r["size"], r["hash"]): r["source"] for r in landed if r["size"]}
    old = {r["source"] for r in landed}
    again = [
        f"{r['source']} (as {other})"
        for r in read
        if r["source"] not in old
        and (other := places.get((_name(r["source"]), r["size"], r["hash"]))) is not None
    ]
    if not again:
        return []
    text = (
        f"the same bytes landed before under another name: {shortened(again)}; a file is known by "
        "its place, so its rows are there twice: add a deduplicate step, or run --rebuild"
    )
    return [text]


def _name(source: str) -> str:
    return PurePosixPath(urlsplit(base_of(source)).path).name
