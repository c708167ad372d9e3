"""Whether texts have a well-known form: uuid, email, ipv4, ipv6, uri, hostname."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_SHAPE: Final = b"0" * 8 + b"-" + (b"0" * 4 + b"-") * 3 + b"0" * 12
_SHAPES: Final = _SHAPE * 2048
_HEX_TO_ZERO: Final = bytes(
    ord("0") if chr(byte) in "0123456789abcdefABCDEF" else byte if byte == ord("-") else 0
    for byte in range(256)
)

_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
IPV4: Final = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_HEX4: Final = r"[0-9A-Fa-f]{1,4}"
_LAST: Final = rf"(?:{_HEX4}:{_HEX4}|{IPV4})"


def _ipv6() -> str:
    """The nine forms of RFC 3986, section 3.2.2 (`IPv6address`)."""
    forms = [rf"(?:{_HEX4}:){{6}}{_LAST}"]
    for after in range(5, -1, -1):
        before = 5 - after
        head = rf"(?:{_HEX4}(?::{_HEX4}){{0,{before - 1}}})?" if before else ""
        forms.append(rf"{head}::(?:{_HEX4}:){{{after}}}{_LAST}")
    forms.append(rf"(?:{_HEX4}(?::{_HEX4}){{0,5}})?::{_HEX4}")
    forms.append(rf"(?:{_HEX4}(?::{_HEX4}){{0,6}})?::")
    return "|".join(forms)


PATTERNS: Final = {
    "email": rf"^[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}@{_HOSTNAME}$",
    "ipv4": rf"^{IPV4}$",
    "ipv6": rf"^(?:{_ipv6()})$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$",
    "hostname": rf"^{_HOSTNAME}$",
}
"""RE2. E-mail is the HTML form's (one rule, no quoted local parts); uri is RFC 3986's alphabet."""

FORMATS: Final = ("uuid", *PATTERNS)


def format_test(name: str) -> Callable[[pa.Array], pa.BooleanArray | None]:
    """Return a test of string arrays: true where a text has the form, null where there is none.

    The test returns None when every text has the form, which for `uuid` it finds out without
    making an array.

    Raises:
        KeyError: When the form is none of FORMATS.
    """
    if name == "uuid":
        return are_uuids
    pattern = PATTERNS[name]

    def test(texts: pa.Array) -> pa.BooleanArray:
        matches = pc.match_substring_regex(texts, pattern)
        if name == "hostname":
            return pc.and_(matches, pc.less_equal(pc.binary_length(texts), 253))
        return matches

    return test


def are_uuids(texts: pa.Array) -> pa.BooleanArray | None:
    """Test for the canonical form 8-4-4-4-12, any version and case (RFC 9562, section 4).

    Hex digits become `0`, other bytes NUL, and what comes out must be the shape repeated:
    0.03 µs a text, a fifth of what RE2 takes.
    """
    full = texts.drop_null() if texts.null_count else texts
    block = _block(full)
    if block is not None and all(piece == _SHAPES[: len(piece)] for piece in _folded(block)):
        return None
    right = np.zeros(len(texts), np.bool_)
    candidates = pc.fill_null(pc.equal(pc.binary_length(texts), len(_SHAPE)), fill_value=False)
    folded = b"".join(_folded(_block(texts.filter(candidates)) or memoryview(b"")))
    shapes = np.frombuffer(folded, np.uint8).reshape(-1, len(_SHAPE))
    right[np.flatnonzero(candidates)] = (shapes == np.frombuffer(_SHAPE, np.uint8)).all(axis=1)
    return pa.array(right, mask=np.asarray(texts.is_null()))


def _block(texts: pa.Array) -> memoryview | None:
    """Bytes of texts without nulls as they lie in memory, or None unless each has 36."""
    if not len(texts):
        return memoryview(b"")
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data = texts.buffers()
    offsets: NDArray[Any] = np.frombuffer(offset_buffer, width)[
        texts.offset : texts.offset + len(texts) + 1
    ]
    if (offsets[1:] - offsets[:-1] != len(_SHAPE)).any():
        return None
    return memoryview(data)[offsets[0] : offsets[-1]]


def _folded(block: memoryview) -> Iterator[bytes]:
    # Pieces that stay in the cache and below malloc's mmap threshold: 3x the speed of one piece.
    for start in range(0, len(block), len(_SHAPES)):
        yield bytes(block[start : start + len(_SHAPES)]).translate(_HEX_TO_ZERO)
