"""Arrow types of a property: the lake's types, chosen by logical type, size and decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from schemas.contract import Rule
from schemas.located import quoted
from schemas.names import TIMESTAMP

_SIMPLE: Final = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP,
    "time": pa.time64("us"),
}
# The lake has integers of 32 and 64 bits; narrower ones are ranges over those.
_INTEGERS: Final = {
    "i8": (pa.int32(), -(2**7), 2**7 - 1),
    "i16": (pa.int32(), -(2**15), 2**15 - 1),
    "i32": (pa.int32(), None, None),
    "i64": (pa.int64(), None, None),
    "u8": (pa.int32(), 0, 2**8 - 1),
    "u16": (pa.int32(), 0, 2**16 - 1),
    "u32": (pa.int64(), 0, 2**32 - 1),
}
_PHYSICAL_INTEGERS: Final = {
    "tinyint": "i8",
    "smallint": "i16",
    "int2": "i16",
    "int": "i32",
    "integer": "i32",
    "int4": "i32",
}
_DECIMAL: Final = re.compile(r"(?:decimal|numeric)\s*(?:\((.*)\))?|number\s*\((.*)\)")


@dataclass(frozen=True)
class Typed:
    """An Arrow type, the ranges that narrower physical types add, and what is wrong with them."""

    type: pa.DataType
    rules: tuple[Rule, ...] = ()
    problem: str | None = None


def scalar_type(logical: str, physical: str | None, size: str | None) -> Typed:
    """Choose the type of a property that is neither object nor array.

    Args:
        logical: The standard's logicalType.
        physical: physicalType: sizes integers, and makes numbers exact (`DECIMAL(p,s)`).
        size: logicalTypeOptions.format of integers (i8 to u32) and numbers (f32, f64); it wins
            over `physical`. Integers are 64 bits wide by default, numbers are doubles.
    """
    name = (physical or "").strip().lower()
    if logical == "integer":
        kind, low, high = _INTEGERS[size or _PHYSICAL_INTEGERS.get(name, "i64")]
        bounds = (("minimum", low), ("maximum", high))
        return Typed(kind, tuple(Rule(kind=k, value=v) for k, v in bounds if v is not None))
    if logical == "number":
        if size is None and (exact := _DECIMAL.fullmatch(name)):
            return _decimal(exact[1] or exact[2], physical)
        single = size == "f32" or (size is None and name in ("real", "float4"))
        return Typed(pa.float32() if single else pa.float64())
    return Typed(_SIMPLE[logical])


def _decimal(arguments: str | None, physical: str | None) -> Typed:
    match = re.fullmatch(r"\s*([0-9]{1,3})\s*(?:,\s*([0-9]{1,3})\s*)?", arguments or "")
    precision, scale = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if 1 <= precision <= 38 and scale <= precision:
        return Typed(pa.decimal128(precision, scale))
    message = (
        "physicalType of an exact number must be DECIMAL(precision, scale) with "
        f"precision 1 to 38 and scale up to it; got {quoted(physical)}; write DECIMAL(18,2) or so"
    )
    return Typed(pa.float64(), problem=message)
