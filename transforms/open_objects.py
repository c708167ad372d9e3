"""Put protected texts into open objects, without parsing the objects again where that is safe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.decode.json_shape import ABSENT, TEXT, Values
from transforms.decode.json_text import Edit, JsonText, spliced
from transforms.json_fragments import json_fragments

_QUOTE: Final = 0x22


def put(
    texts: pa.StringArray, keys: tuple[str, ...], old: pa.Array, new: pa.Array, edit: JsonText
) -> pa.StringArray:
    """Replace the values at some keys of JSON objects.

    Args:
        texts: Strict JSON objects, or null.
        keys: Keys from the root.
        old: What decode read at these keys.
        new: What is to stand there. Where it is null and the text has a value, that becomes null,
            so that nothing that the column does not show stays in the text.
        edit: Finds the values of rows that must be parsed.
    """
    if not (pa.types.is_string(old.type) and pa.types.is_string(new.type)):
        return _parsed(texts, keys, new, edit)
    if _holds(new, b'"\\', 0x20).any():
        return _parsed(texts, keys, new, edit)
    made, parse = _swapped(texts, keys[-1], old, new)
    if not parse.any():
        return made
    rows = pa.array(parse)
    rest = _parsed(texts.filter(rows), keys, new.filter(rows), edit)
    return pc.replace_with_mask(made, rows, rest)


def put_at(texts: pa.StringArray, new: Sequence[tuple[Values, pa.Array]]) -> pa.StringArray:
    """Replace values whose places are known.

    Args:
        texts: Strict JSON objects, or null.
        new: Places (`Decoded.places`), none inside another, and what is to stand there: see `put`.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    starts = offsets[:-1]
    made = spliced(data, starts, offsets[1:], [_edit(data, starts, *each) for each in new])
    return pc.if_else(texts.is_valid(), made, None) if texts.null_count else made


def _edit(
    data: NDArray[np.uint8], starts: NDArray[np.integer[Any]], place: Values, new: pa.Array
) -> Edit:
    given, quoted = place.kind != ABSENT, place.kind == TEXT
    start, end = starts + place.start, starts + place.end
    # Values at places of other rows would stay in clear.
    edges = (start[quoted] - 1, end[quoted]) if len(place.kind) == len(new) == len(starts) else None
    if edges is None or any((data[at] != _QUOTE).any() for at in edges):
        msg = "places must be those of the values in these rows; got others; take both of one batch"
        raise ValueError(msg)
    safe = pa.types.is_string(new.type) and not new.null_count and (quoted | ~given).all()
    if safe and not _holds(new, b'"\\', 0x20).any():
        return Edit(start, end, new, given)
    texts = pc.fill_null(json_fragments(new), "null")
    return Edit(start - quoted, end + quoted, texts, given)


def _parsed(
    texts: pa.StringArray, keys: tuple[str, ...], new: pa.Array, edit: JsonText
) -> pa.StringArray:
    if pa.types.is_string(new.type) and not new.null_count:
        return edit.replace(texts, keys, new)
    return edit.replace(texts, keys, pc.fill_null(json_fragments(new), "null"), json=True)


def _swapped(
    texts: pa.StringArray, key: str, old: pa.StringArray, new: pa.StringArray
) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """Texts with `"old"` exchanged for `"new"`, and the rows where that may be another value.

    In a text without a backslash every string stands as it is, so the value at the key does too;
    if `"old"` occurs once, that is the place. New texts must need no escape.
    """
    frame = pl.DataFrame(
        {
            "text": pl.from_arrow(texts),
            "old": pl.from_arrow(old),
            "new": pl.from_arrow(new),
            "escaped": _holds(texts, b"\\"),
        }
    )
    quote, name = pl.lit('"'), orjson.dumps(key).decode()
    quoted = pl.concat_str(quote, "old", quote)
    # Exchanged where the text splits in two; with a third part the value occurs twice.
    split = frame.with_columns(parts=pl.col("text").str.split_exact(quoted, 2)).unnest("parts")
    before, after, again = (pl.col(f"field_{i}") for i in range(3))
    at_key = before.str.ends_with(f"{name}:") | before.str.ends_with(f"{name}: ")
    found = ~pl.col("escaped") & at_key & after.is_not_null() & again.is_null()
    split = split.with_columns(found=found.fill_null(value=False))
    if not split["found"].all():
        absent = ~pl.col("escaped") & ~pl.col("text").str.contains(name, literal=True)
        split = split.with_columns(absent=absent.fill_null(value=True))
    else:
        split = split.with_columns(absent=pl.lit(value=False))
    swapped = pl.concat_str(before, quote, "new", quote, after)
    result = split.select(
        text=pl.when("found").then(swapped).otherwise("text"),
        parse=~(pl.col("found") | pl.col("absent")),
    )
    made = result["text"].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())
    return made, result["parse"].to_numpy()


def _holds(texts: pa.StringArray, special: bytes, below: int = 0) -> NDArray[np.bool_]:
    """Which texts hold one of some bytes, or any byte below a limit."""
    mask = np.zeros(len(texts), np.bool_)
    _, offset_buffer, data = texts.buffers()
    if data is None:
        return mask
    offsets: NDArray[Any] = np.frombuffer(offset_buffer, np.int32)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    block = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    held = block == special[0]
    for byte in special[1:]:
        held |= block == byte
    if below:
        held |= block < below
    found = np.flatnonzero(held)
    mask[np.searchsorted(offsets, found + offsets[0], side="right") - 1] = True
    return mask
