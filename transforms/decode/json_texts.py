"""Write Arrow values of any type as JSON text, a column at a time.

Dates and times become ISO 8601 text (a number outside of years 1 to 9999), durations whole
microseconds, maps objects. Bytes become text if they are UTF-8, else `{"base64": "..."}`, which no
column of texts takes for one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.decode.arrow_types import is_bytes, is_list, micros, simple
from transforms.decode.casts import in_calendar, isolate

_T: Final = pa.types


def json_texts(values: pa.Array, *, any_number: bool = False) -> pa.Array:
    """Return JSON text (`pa.string()`) of each value; `null` for a null.

    Args:
        values: Of any type.
        any_number: Whether to write numbers that JSON does not have as text (`"nan"`); otherwise
            what holds one is no JSON, and whoever reads it refuses it.
    """
    return _Writer(any_number).filled(values)


@dataclass(frozen=True)
class _Writer:
    any_number: bool

    def filled(self, values: pa.Array) -> pa.Array:
        return pc.fill_null(self.texts(values), "null")

    def texts(self, values: pa.Array) -> pa.Array:
        """Return JSON text of each value, null or `null` for a null."""
        values = simple(values)
        kind = values.type
        if _T.is_struct(kind):
            return self._objects(values)
        if _T.is_map(kind) or is_list(kind):
            return self._lists(values)
        if _T.is_floating(kind):
            return self._numbers(values.cast(pa.float64()))
        if _T.is_boolean(kind) or _T.is_integer(kind) or _T.is_decimal(kind) or _T.is_null(kind):
            return values.cast(pa.string())
        if _T.is_duration(kind):
            return _durations(values)
        if is_bytes(kind):
            return _bytes(values)
        return _quoted(_plain(values))

    def _numbers(self, values: pa.Array) -> pa.Array:
        texts = values.cast(pa.string())
        fits = pc.is_finite(values)
        if not self.any_number or pc.all(fits, min_count=0).as_py():
            return texts
        return pc.if_else(fits, texts, _quoted(texts))

    def _objects(self, values: pa.Array) -> pa.Array:
        parts: list[pa.Array | str] = []
        for i, (field, child) in enumerate(zip(values.type, values.flatten(), strict=True)):
            key = orjson.dumps(field.name).decode()
            parts += [f"{',' if i else '{'}{key}:", self.filled(child)]
        texts = pc.binary_join_element_wise(*(parts or [pa.repeat("{", len(values))]), "}", "")
        return pc.if_else(values.is_valid(), texts, None)

    def _lists(self, values: pa.Array) -> pa.Array:
        kind = values.type
        first, last = ("{", "}") if _T.is_map(kind) else ("[", "]")
        if _T.is_map(kind):
            entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
            values = values.cast(pa.list_(entry))
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
        items = values.flatten()
        texts = self._entries(items) if _T.is_map(kind) else self.filled(items)
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
        texts = pc.binary_join_element_wise(first, joined, last, "")
        return pc.if_else(values.is_valid(), texts, None)

    def _entries(self, items: pa.Array) -> pa.Array:
        keys, values = items.flatten()
        return pc.binary_join_element_wise(_quoted(_plain(keys)), self.filled(values), ":")


def _durations(values: pa.Array) -> pa.Array:
    if values.type.unit in ("us", "ns"):
        return micros(values)[0].cast(pa.int64()).cast(pa.string())
    counts = values.cast(pa.int64()).cast(pa.string())  # as microseconds they might need more bits
    zeros = "000" if values.type.unit == "ms" else "000000"
    return pc.if_else(pc.equal(counts, "0"), counts, pc.binary_join_element_wise(counts, zeros, ""))


def _bytes(values: pa.Array) -> pa.Array:
    values = values.cast(pa.binary())
    read = isolate(lambda part: part.cast(pa.string()), values, pa.string())
    texts = _quoted(read.values)
    if read.bad is None:
        return texts
    others = pa.array(read.bad)
    found = [
        f'{{"base64":"{base64.b64encode(v).decode()}"}}' for v in values.filter(others).to_pylist()
    ]
    return pc.replace_with_mask(texts, others, pa.array(found, pa.string()))


def _plain(values: pa.Array) -> pa.Array:
    """Return texts of values without parts, not quoted."""
    values = simple(values)
    kind = values.type
    if _T.is_timestamp(kind) or _T.is_date(kind):
        known = in_calendar(values)  # Arrow writes other years wrong
        numbers = values.cast(pa.int32() if _T.is_date32(kind) else pa.int64()).cast(pa.string())
        written = pc.if_else(known, values, None).cast(pa.string())
        return pc.if_else(known, written, numbers)
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # intervals, unions; bytes as keys
        return pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())


def _quoted(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, "[\x00-\x1f]")).as_py():
        for code in range(32):
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return pc.binary_join_element_wise('"', texts, '"', "")
