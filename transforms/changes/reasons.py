"""Why records are taken out that have what is not declared: each names the columns it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.changes.seen import Key
from transforms.decode.decoded import Numbers

_SHOWN: Final = 3
_OTHERS: Final = "others"
_MUST: Final = "columns of a record must be declared; got "


def reasons_by_row(
    found: Mapping[Key, Sequence[Numbers]], left: Numbers
) -> tuple[Numbers, list[str]]:
    """Return where rows that have some of the keys stand in `left`, and why each is taken out.

    Args:
        found: The rows that have each key, once or more often.
        left: Those that there still are.
    """
    # Keys that are not told by name come last, so that a row's first ones are those to show.
    keys = sorted(found, key=lambda key: (not key.called, not key.name, key.called))
    each = [np.intersect1d(np.concatenate(found[key]), left) for key in keys]
    rows = np.concatenate([*each, left[:0]])
    if not len(rows):
        return rows, []
    codes = np.repeat(np.arange(len(keys)), [len(one) for one in each])
    order = np.argsort(rows, kind="stable")
    codes = codes[order]
    distinct, first, counts = np.unique(rows[order], return_index=True, return_counts=True)
    names = pa.array([f"`{key.called}`" if key.called else _OTHERS for key in keys], pa.string())
    unnamed = [n for n, key in enumerate(keys) if not key.called]
    shown = np.clip(counts - np.isin(codes[first + counts - 1], unnamed), 1, _SHOWN)
    parts = [
        names.take(pa.array(codes[np.minimum(first + i, len(codes) - 1)], mask=shown <= i))
        for i in range(_SHOWN)
    ]
    told = pc.binary_join_element_wise(*parts, ", ", null_handling="skip")
    more = pc.if_else(pa.array(counts > shown), " and more", "")
    reasons = pc.binary_join_element_wise(_MUST, told, more, "")
    return np.flatnonzero(np.isin(left, distinct)), reasons.to_pylist()
