"""What a run noticed that a person should know, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

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
    """Say which files hold the very bytes of one that landed from another place, or is read beside.

    Empty files say nothing.

    Args:
        known: Rows of `_sources` before this run; None: none landed.
        read: `source`, `size` and `hash` of what this run read.
    """
    landed = [] if known is None else known.select(["source", "size", "hash"]).to_pylist()
    old = {r["source"] for r in landed}
    places = {(r["size"], r["hash"]): r["source"] for r in landed}
    again = []
    for one in read:
        if one["size"] and one["source"] not in old:
            there = places.setdefault((one["size"], one["hash"]), one["source"])
            again += [f"{one['source']} (as {there})"] if there != one["source"] else []
    if not again:
        return []
    text = (
        f"the same bytes landed under another name, too: {shortened(again)}; a file is known by "
        "its place, so its rows are there twice: add a deduplicate step, or run --rebuild"
    )
    return [text]
