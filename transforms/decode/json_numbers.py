"""Texts of JSON numbers as exact Arrow values; what a type cannot hold exactly becomes null."""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_INTEGER: Final = r"^(-?[0-9]{1,18})(?:\.0+)?$"


def numbers(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read JSON numbers.

    Args:
        texts: pa.string(); each a JSON number in the range of doubles, or null.
        kind: An integer type: values must be whole (`1.0` and `1e2` are). A floating type: rounded
            to the nearest. A decimal type: values must have no more digits than fit.

    Returns:
        The values; null where the text is null, or its value is not one of the type.
    """
    if pa.types.is_floating(kind):
        values = pc.cast(pc.cast(texts, pa.float64()), kind)
        return pc.if_else(pc.is_finite(values), values, None) if kind != pa.float64() else values
    if pa.types.is_decimal(kind):
        whole = kind.precision - kind.scale
        lead = f"[0-9]{{1,{whole}}}" if whole else "0"
        tail = rf"(?:\.[0-9]{{1,{kind.scale}}})?" if kind.scale else ""
        simple = _matches(texts, f"^-?{lead}{tail}$")
        return _filled(pc.cast(pc.if_else(simple, texts, None), kind), texts, simple, kind)
    simple = _matches(texts, _INTEGER)
    digits = pc.if_else(simple, texts, None)
    if pc.any(pc.match_substring(digits, "."), min_count=0).as_py():
        digits = pc.replace_substring_regex(digits, _INTEGER, r"\1")
    values = _filled(pc.cast(digits, pa.int64()), texts, simple, pa.int64())
    bits = kind.bit_width - 1
    if bits == 63:
        return values
    inside = pc.and_(pc.less(values, 2**bits), pc.greater_equal(values, -(2**bits)))
    return pc.cast(pc.if_else(inside, values, None), kind)


def _matches(texts: pa.Array, form: str) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(texts, form), fill_value=False)


def _filled(fast: pa.Array, texts: pa.Array, simple: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read what the fast way left out one by one: exponents, many digits."""
    left = pc.and_(pc.invert(simple), texts.is_valid())
    if not pc.any(left, min_count=0).as_py():
        return fast
    exact = [_exact(text, kind) for text in texts.filter(left).to_pylist()]
    return pc.replace_with_mask(fast, left, pa.array(exact, kind))


def _exact(text: str, kind: pa.DataType) -> int | Decimal | None:
    scale = 0 if pa.types.is_integer(kind) else kind.scale
    precision = 19 if pa.types.is_integer(kind) else kind.precision
    try:
        value = Decimal(text).quantize(
            Decimal(1).scaleb(-scale), context=Context(prec=precision, traps=[Inexact])
        )
    except DecimalException:
        return None
    if scale or not pa.types.is_integer(kind):
        return value if value.is_finite() else None
    return int(value) if value.is_finite() and -(2**63) <= value < 2**63 else None
