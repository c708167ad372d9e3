"""What speaks for personal data in a column: found by name, by values or by both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.inference.properties import Property

_LOOKED_AT: Final = 20_000
MOST: Final = 0.9
"""Share of values from which on a column is of a form."""


@dataclass(frozen=True)
class Found:
    """What speaks for personal data in a column, and what would be done.

    Attributes:
        what: In words.
        evidence: Of name, values or both.
        classification: The standard's.
        protect: How; with options.
        reason: Goes into the contract.
    """

    what: str
    evidence: str
    classification: str
    protect: str
    reason: str
    options: tuple[tuple[str, object], ...] = ()


def texts_of(prop: Property) -> pa.Array | None:
    """Return texts of a property, from all over the sample if it has many; None: it has none."""
    values = None if prop.field is None else prop.field.values
    if values is None:
        return None
    some = values.drop_null()
    if len(some) > _LOOKED_AT:
        some = some.take(pa.array(np.linspace(0, len(some) - 1, _LOOKED_AT).astype(np.int64)))
    if pa.types.is_integer(some.type):
        return some.cast(pa.string())
    return some if pa.types.is_string(some.type) and len(some) else None


def share(texts: pa.Array | None, pattern: str) -> float:
    """Return which share of texts a pattern is found in."""
    if texts is None or not len(texts):
        return 0.0
    return float(pc.mean(pc.match_substring_regex(texts, pattern).cast(pa.float64())).as_py())


def evidence(said: bool, part: float, what: str) -> str:  # noqa: FBT001
    """Say what speaks for it: the name, and which share of values are such."""
    told = ["its name"] if said else []
    if part:
        told.append(f"{part:.0%} of values are {what}")
    return ", ".join(told)
