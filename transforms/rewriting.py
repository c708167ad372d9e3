"""Stand-in until transforms.decode.json_text arrives: the same edits, one text at a time."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa

Keys = tuple[str, ...]


def rewritten(texts: pa.StringArray, changes: list[tuple[Keys, pa.Array | None]]) -> pa.StringArray:
    """Replace the values at some keys of JSON objects; None removes the key."""
    columns = [(keys, None if new is None else new.to_pylist()) for keys, new in changes]

    def edit(text: str, row: int) -> str:
        record: Any = orjson.loads(text)
        for keys, new in columns:
            at = record
            for key in keys[:-1]:
                at = at.get(key) if isinstance(at, dict) else None
            if isinstance(at, dict) and at.get(keys[-1]) is not None:
                if new is None:
                    del at[keys[-1]]
                else:
                    at[keys[-1]] = new[row]
        return orjson.dumps(record, default=str).decode()

    return pa.array(
        [None if t is None else edit(t, i) for i, t in enumerate(texts.to_pylist())], pa.string()
    )
