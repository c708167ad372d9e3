"""Texts in well-known forms, and names of things, a column at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.synthetic.patterns import matching

_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES: Final = (8, 13, 18, 23)
_UUID: Final = 36

_WORDS: Final = (
    "amber anchor apple april arrow aspen atlas autumn badge basin beacon birch blue bridge "
    "brook cabin canal cedar chalk cliff cloud clover coast cobalt copper coral cove crane "
    "creek crest delta dawn dune east echo ember falcon fern field fjord flint forest fox frost "
    "garden glade granite grove harbor hazel heron hill indigo iris island ivory jade juniper "
    "lake lark laurel linden lotus maple marble marsh meadow mesa mint mist moss north oak "
    "ocean olive onyx orchid otter pearl pebble pine plain pond poplar prairie quartz quiet "
    "raven reed ridge river robin rowan sage sand shore silver sky slate snow south spruce star "
    "stone stream summit swan teal thistle tide timber topaz tulip valley violet wave west "
    "wheat willow wind winter wren"
)


def uuids(count: int, rng: np.random.Generator) -> pa.StringArray:
    """Make up random UUIDs (version 4, RFC 9562) in their canonical form."""
    raw = rng.integers(0, 256, (count, 16), np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    digits = np.stack([_HEX[raw >> 4], _HEX[raw & 15]], axis=2).reshape(count, 32)
    text = np.full((count, _UUID), ord("-"), np.uint8)
    text[:, [at for at in range(_UUID) if at not in _DASHES]] = digits
    offsets = np.arange(0, (count + 1) * _UUID, _UUID, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))


def words(count: int, rng: np.random.Generator) -> pa.StringArray:
    """Pick words, the first ones of the list more often than the last."""
    known = pa.array(_WORDS.split(), pa.string())
    return known.take(pa.array(skewed(len(known), count, rng)))


def skewed(many: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pick numbers below `many`, small ones more often (density falls with the square root)."""
    return (many * rng.random(count) ** 2).astype(np.int64)


def _emails(count: int, rng: np.random.Generator) -> pa.StringArray:
    number = pa.array(skewed(1_000_000, count, rng)).cast(pa.string())
    return pc.binary_join_element_wise(words(count, rng), ".", number, "@example.com", "")


def _hostnames(count: int, rng: np.random.Generator) -> pa.StringArray:
    return pc.binary_join_element_wise(words(count, rng), ".example.org", "")


def _uris(count: int, rng: np.random.Generator) -> pa.StringArray:
    number = pa.array(skewed(10_000, count, rng)).cast(pa.string())
    return pc.binary_join_element_wise(
        "https://", _hostnames(count, rng), "/", words(count, rng), "/", number, ""
    )


# Networks that are kept for documentation: RFC 5737, RFC 3849.
FORMS: Final[dict[str, Callable[[int, np.random.Generator], pa.StringArray]]] = {
    "uuid": uuids,
    "email": _emails,
    "hostname": _hostnames,
    "uri": _uris,
    "ipv4": lambda count, rng: matching(
        r"(192\.0\.2|198\.51\.100|203\.0\.113)\.[1-9]\d?", count, rng
    ),
    "ipv6": lambda count, rng: matching(r"2001:db8:[0-9a-f]{1,4}::[0-9a-f]{1,4}", count, rng),
}
"""By the contract's word for a form."""
