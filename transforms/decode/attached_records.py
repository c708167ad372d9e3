"""Records of messages together with what stands beside their payloads: key and headers.

A dead letter of a contract that reads these is decoded again only with them. Its record is text
lines, an empty line, then the payload as it came:

    key: de
    header time: 2026-03-01T00:00:00Z

    {"n": 1}

Values are percent-encoded where they are not printable ASCII; a key or header without a value has
a line without colon, and no key no line.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.decode.decoded import Decoded
from transforms.sources.streams.raw import HEADERS, HEADERS_FIELD, KEY, find_rows

ATTACHED: Final = "+attached"
"""Ends the format of such records: `json+attached`."""

_NAMES: Final = " !\"#$&'()*+,-./;<=>?@[\\]^_`{|}~"
_VALUES: Final = f"{_NAMES}:"
_KEY, _HEADER = b"key", b"header "


class Parts(NamedTuple):
    """Records taken apart.

    Attributes:
        payloads: pa.binary; null where there was no record, or none of this form.
        keys: pa.binary.
        headers: Lists of name and value.
        broken: Which are not of this form (bool).
    """

    payloads: pa.Array
    keys: pa.Array
    headers: pa.Array
    broken: NDArray[np.bool_]


def with_attached(raw: pa.RecordBatch, decoded: Decoded) -> Decoded:
    """Return what was decoded of raw messages, keys and headers put to their records.

    Messages that came without either (the source was not asked for them) stay as they are.
    """
    if not {KEY, HEADERS} & {*raw.schema.names}:
        return decoded
    refused = decoded.refused
    if refused is not None:
        records = together(refused["record"], raw, refused)
        forms = pa.array([f"{form}{ATTACHED}" for form in refused["format"].to_pylist()])
        for name, column in (("record", records), ("format", forms)):
            at = refused.schema.get_field_index(name)
            refused = refused.set_column(at, refused.schema.field(at), column)
    return decoded._replace(
        refused=refused,
        records=partial(_records, raw, decoded.records),
        format=f"{decoded.format}{ATTACHED}",
    )


def _records(raw: pa.RecordBatch, payloads: Any, asked: pa.RecordBatch) -> pa.Array:
    return together(payloads(asked), raw, asked)


def together(payloads: pa.Array, raw: pa.RecordBatch, asked: pa.RecordBatch) -> pa.Array:
    """Put payloads together with the keys and headers of their messages; null stays null.

    Args:
        payloads: One for each row of `asked`.
        raw: The messages.
        asked: Rows at places of these.
    """
    beside = raw.take(pa.array(find_rows(raw, asked)))
    none = [None] * beside.num_rows
    keys = beside[KEY].to_pylist() if KEY in beside.schema.names else none
    headers = beside[HEADERS].to_pylist() if HEADERS in beside.schema.names else none
    return pa.array(
        [
            None if payload is None else b"".join([*_lines(key, found or ()), b"\n", payload])
            for payload, key, found in zip(payloads.to_pylist(), keys, headers, strict=True)
        ],
        pa.binary(),
    )


def apart(records: pa.Array) -> Parts:
    """Take records apart that `together` made, or a person mended."""
    found = [None if record is None else apart_one(record) for record in records.to_pylist()]
    broken = [f is None and r.is_valid for f, r in zip(found, records, strict=True)]
    payloads, keys, headers = zip(*(f or (None, None, None) for f in found), strict=True)
    return Parts(
        pa.array(payloads, pa.binary()),
        pa.array(keys, pa.binary()),
        pa.array(headers, HEADERS_FIELD.type),
        np.array(broken, np.bool_),
    )


def _lines(key: bytes | None, headers: Any) -> list[bytes]:
    lines = [] if key is None else [_line(_KEY, key)]
    for header in headers:
        name = quote_from_bytes(header["name"].encode(), _NAMES).encode()
        lines.append(_line(_HEADER + name, header["value"]))
    return lines


def _line(what: bytes, value: bytes | None) -> bytes:
    said = b"" if value is None else b": " + quote_from_bytes(value, _VALUES).encode()
    return what + said + b"\n"


def apart_one(record: bytes) -> tuple[bytes, bytes | None, list[dict[str, Any]]] | None:
    """Return payload, key and headers of a record; None if it is not of this form."""
    key: bytes | None = None
    headers: list[dict[str, Any]] = []
    while not record.startswith(b"\n"):
        line, end, record = record.partition(b"\n")
        what, colon, text = line.partition(b": ")
        value = unquote_to_bytes(text) if colon else None
        if not end or not (what == _KEY or what.startswith(_HEADER)):
            return None
        if what == _KEY:
            key = value
            continue
        name = unquote_to_bytes(what.removeprefix(_HEADER))
        headers.append({"name": name.decode("utf-8", "replace"), "value": value})
    return record[1:], key, headers
