"""The many Arrow types that files have, as the few that are read.

Dictionaries and runs are spread, views and large types become plain ones, decimals have 128 bits
(or 256), half floats 32, and an extension type becomes what it stands for: `arrow.uuid` text,
`arrow.json` text, `arrow.bool8` booleans, any other its storage.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.sources.views import values_without_views

_T: Final = pa.types
_STANDS_FOR: Final = {
    "arrow.uuid": pa.string(),
    "arrow.json": pa.string(),
    "arrow.bool8": pa.bool_(),
}
_UUID_BYTES: Final = 16
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES: Final = (8, 13, 18, 23)
_MICROS: Final = 1000


def simple_type(kind: pa.DataType) -> pa.DataType:  # a line a type
    """Return the type that `simple` gives values of a type; what is inside stays as it is."""
    if isinstance(kind, pa.BaseExtensionType):
        known = _STANDS_FOR.get(kind.extension_name)
        return simple_type(kind.storage_type) if known is None else known
    if _T.is_dictionary(kind) or _T.is_run_end_encoded(kind):
        return simple_type(kind.value_type)
    if _T.is_large_string(kind) or _T.is_string_view(kind):
        return pa.string()
    if _T.is_large_binary(kind) or _T.is_binary_view(kind):
        return pa.binary()
    if _T.is_decimal32(kind) or _T.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if _T.is_float16(kind):
        return pa.float32()
    if is_list(kind):
        return pa.list_(kind.value_field)
    return kind


def simple(values: pa.Array) -> pa.Array:
    """Return values as one of the types that are read (see the module's text)."""
    kind = values.type
    wanted = simple_type(kind)
    if wanted == kind:
        return values
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return uuid_texts(values.storage)
        found = simple(values.storage)
        return found if found.type == wanted else found.cast(wanted)
    if _T.is_dictionary(kind):
        return simple(values.dictionary.take(values.indices))
    if _T.is_run_end_encoded(kind):
        return simple(pc.run_end_decode(values))
    if _T.is_list_view(kind) or _T.is_large_list_view(kind):
        return values_without_views(values)
    return values.cast(wanted)


def is_list(kind: pa.DataType) -> bool:
    """Return whether values of a type are lists, however they are held."""
    known = (
        _T.is_list,
        _T.is_large_list,
        _T.is_fixed_size_list,
        _T.is_list_view,
        _T.is_large_list_view,
    )
    return any(is_a(kind) for is_a in known)


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type, once `simple`, are bytes."""
    return bool(_T.is_binary(kind) or _T.is_fixed_size_binary(kind))


def is_uuid_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type may be UUIDs as bytes."""
    return bool(_T.is_fixed_size_binary(kind) and kind.byte_width == _UUID_BYTES)


def uuid_texts(values: pa.Array) -> pa.Array:
    """Return UUIDs of 16 bytes as texts: lower case, with dashes."""
    raw = _uuid_bytes(values)
    digits = _HEX[np.stack((raw >> 4, raw & 15), axis=2).reshape(len(raw), 2 * _UUID_BYTES)]
    texts: NDArray[np.uint8] = np.full((len(raw), 2 * _UUID_BYTES + 4), ord("-"), np.uint8)
    texts[:, np.delete(np.arange(texts.shape[1]), _DASHES)] = digits
    ends = np.arange(len(raw) + 1, dtype=np.int32) * texts.shape[1]
    found = pa.StringArray.from_buffers(len(raw), pa.py_buffer(ends), pa.py_buffer(texts))
    return pc.if_else(values.is_valid(), found, None) if values.null_count else found


def look_like_uuids(values: pa.Array) -> bool:
    """Return whether values of 16 bytes all have the variant and a version of RFC 9562."""
    raw = _uuid_bytes(values.drop_null())
    return bool(((raw[:, 8] >> 6 == 2) & (raw[:, 6] >> 4 >= 1) & (raw[:, 6] >> 4 <= 8)).all())


def _uuid_bytes(values: pa.Array) -> NDArray[np.uint8]:
    held: Any = values.buffers()[1]
    raw = np.frombuffer(held, np.uint8)[values.offset * _UUID_BYTES :]
    return raw[: len(values) * _UUID_BYTES].reshape(len(values), _UUID_BYTES)


def micros(values: pa.Array) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Return timestamps, times or durations in microseconds, and which had more digits.

    What is below a microsecond is cut, as it is cut of texts: towards the past. Other units are
    exact.

    Raises:
        ArrowInvalid: One is too far away for microseconds of 64 bits.
    """
    kind = values.type
    if _T.is_timestamp(kind):
        wanted: pa.DataType = pa.timestamp("us", kind.tz)
    else:
        wanted = pa.duration("us") if _T.is_duration(kind) else pa.time64("us")
    if getattr(kind, "unit", "") != "ns":
        return values.cast(wanted), None
    counts = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()
    whole, rest = np.divmod(counts, _MICROS)
    mask = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    return pa.array(whole, mask=mask).cast(wanted), (rest != 0 if rest.any() else None)
