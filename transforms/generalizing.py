"""Masks and coarser values: what is left of a value that need not be exact."""

from __future__ import annotations

import ipaddress

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.protection import Generalize, Mask
from transforms.formats import PATTERNS
from transforms.redaction import redacted


def masked(texts: pa.StringArray, options: Mask) -> pa.StringArray:
    """Fill all characters but the first and last few; the length in characters stays.

    A text with no more characters than would be kept is filled whole. With `within` only what is
    found in a text is replaced: see `transforms.redaction`. Null stays null.
    """
    if options.within:
        return redacted(texts, options.within)
    kept = options.keep_first + options.keep_last
    length = pc.utf8_length(texts)
    short = pc.less_equal(length, kept)
    fill = pc.binary_repeat(options.fill, pc.if_else(short, length, pc.subtract(length, kept)))
    parts = [fill]
    if options.keep_first:
        first = pc.utf8_slice_codeunits(texts, 0, options.keep_first)
        parts.insert(0, pc.if_else(short, "", first))
    if options.keep_last:
        parts.append(pc.if_else(short, "", pc.utf8_slice_codeunits(texts, -options.keep_last)))
    return pc.binary_join_element_wise(*parts, "").cast(pa.string())


def generalized(values: pa.Array, options: Generalize, *, address: str | None = None) -> pa.Array:
    """Round values down as `schemas.protection.Generalize` says; the type stays, null stays null.

    Args:
        values: Timestamps (rounded in UTC), dates, numbers or strings.
        options: To what.
        address: `ipv4` or `ipv6` where the strings are addresses: then the result is the network
            of the first `prefix` bits (`10.1.2.0/24`), and of a text that is no such address the
            network that holds all of them.
    """
    if options.to is not None:
        kind = values.type
        if pa.types.is_timestamp(kind) and kind.tz not in (None, "UTC"):
            utc = values.cast(pa.timestamp(kind.unit, "UTC"))
            return pc.floor_temporal(utc, unit=options.to).cast(kind)
        return pc.floor_temporal(values, unit=options.to)
    if options.step is not None:
        step = pa.scalar(options.step).cast(values.type)
        return pc.round_to_multiple(values, multiple=step, round_mode="down")
    size = options.prefix or 0
    if address == "ipv4":
        return _ipv4_networks(values, size)
    if address == "ipv6":
        return _ipv6_networks(values, size)
    return pc.utf8_slice_codeunits(values, 0, size)


def _ipv4_networks(texts: pa.StringArray, bits: int) -> pa.StringArray:
    size = 1 << (32 - bits)
    octets = pl.col("v").str.split_exact(".", 3)
    number = pl.lit(0, pl.Int64)
    for place in range(4):
        octet = octets.struct.field(f"field_{place}").cast(pl.Int64, strict=False)
        number = number * 256 + octet
    network = number // size * size
    digits = [(network // (1 << shift) % 256).cast(pl.String) for shift in (24, 16, 8, 0)]
    frame = pl.DataFrame({"v": pl.from_arrow(texts)}).select(
        pl.when(pl.col("v").str.contains(PATTERNS["ipv4"]))
        .then(pl.concat_str(pl.concat_str(digits, separator="."), pl.lit(f"/{bits}")))
        .when(pl.col("v").is_not_null())
        .then(pl.lit("0.0.0.0/0"))
        .alias("v")
    )
    return frame["v"].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def _ipv6_networks(texts: pa.StringArray, bits: int) -> pa.StringArray:
    def network(text: str) -> str:
        try:
            return str(ipaddress.IPv6Network((ipaddress.IPv6Address(text), bits), strict=False))
        except ValueError:
            return "::/0"

    coded = texts.dictionary_encode()  # each distinct address once
    networks = pa.array([network(text) for text in coded.dictionary.to_pylist()], pa.string())
    return networks.take(coded.indices)
