"""Arrow values as JSON texts, a column at a time."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.pseudonyms import canonical_text


def json_fragments(values: pa.Array) -> pa.StringArray:
    """Write each value as JSON; null stays null, and is `null` inside an array or object.

    Numbers are written so that they read back the same (what is not finite as null), temporal
    values as ISO 8601 text, structs with all their fields.
    """
    kind = values.type
    if pa.types.is_struct(kind):
        return _objects(values)
    if pa.types.is_list(kind):
        return _arrays(values)
    if pa.types.is_floating(kind):
        finite = pc.fill_null(pc.is_finite(values), fill_value=False)
        return pc.if_else(finite, values.cast(pa.string()), pa.scalar(None, pa.string()))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return values.cast(pa.string())
    return _quoted(canonical_text(values))


def _quoted(texts: pa.StringArray) -> pa.StringArray:
    escaped = pc.replace_substring(texts, pattern="\\", replacement="\\\\")
    escaped = pc.replace_substring(escaped, pattern='"', replacement='\\"')
    control = pc.match_substring_regex(texts, r"[\x00-\x1f]")
    if pc.any(control).as_py():
        rare = [orjson.dumps(text).decode()[1:-1] for text in texts.filter(control).to_pylist()]
        mask = pc.fill_null(control, fill_value=False)
        escaped = pc.replace_with_mask(escaped, mask, pa.array(rare, pa.string()))
    return pc.binary_join_element_wise('"', escaped, '"', "")


def _arrays(values: pa.ListArray) -> pa.StringArray:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    inner = pc.fill_null(json_fragments(values.flatten()), "null")
    lists = pa.ListArray.from_arrays(offsets, inner, mask=values.is_null())
    return pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")


def _objects(values: pa.StructArray) -> pa.StringArray:
    parts: list[object] = []
    for field, column in zip(values.type, values.flatten(), strict=True):
        key = orjson.dumps(field.name).decode()
        parts += [f"{',' if parts else ''}{key}:", pc.fill_null(json_fragments(column), "null")]
    open_brace = pc.if_else(values.is_valid(), "{", pa.scalar(None, pa.string()))
    return pc.binary_join_element_wise(open_brace, *parts, "}", "")
