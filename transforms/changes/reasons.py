"""Why records are taken out that have what is not declared: each names the columns it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from transforms.changes.seen import Key
from transforms.decode.decoded import Numbers

_SHOWN: Final = 3
_NONE: Final = -1


def reasons_by_row(found: Mapping[Key, Sequence[Numbers]]) -> tuple[Numbers, list[str]]:
    """Return the rows that have some of the keys, ascending, and why each is taken out.

    Args:
        found: The rows that have each key, once or more often.
    """
    # Those that are not told by name come last, so that a row's first ones are those to show.
    keys = sorted(found, key=lambda key: (not key.name, key.called))
    each = [np.unique(np.concatenate([*found[key], np.arange(0)])) for key in keys]
    rows = np.concatenate([*each, np.arange(0)])
    codes = np.repeat(np.arange(len(keys)), [len(one) for one in each])
    order = np.lexsort((codes, rows))
    rows, codes = rows[order], codes[order]
    distinct, first, counts = np.unique(rows, return_index=True, return_counts=True)
    # Alike are rows whose first keys are the same, up to one more than is shown.
    ahead = np.arange(_SHOWN + 1)
    there = ahead < counts[:, None]
    at = np.minimum(first[:, None] + ahead, max(len(codes) - 1, 0))
    heads = np.where(there, codes[at], _NONE) if len(codes) else np.empty((0, _SHOWN + 1), np.int64)
    kinds, which = np.unique(heads, axis=0, return_inverse=True)
    texts = [_reason([keys[c] for c in head if c != _NONE]) for head in kinds.tolist()]
    return distinct, [texts[i] for i in which.ravel().tolist()]


def _reason(keys: Sequence[Key]) -> str:
    named = [f"`{key.called}`" for key in keys if key.called]
    shown = ", ".join(named[:_SHOWN])
    more = len(keys) > min(len(named), _SHOWN)
    got = f"{shown}{' and more' if more else ''}" if shown else "others"
    return f"columns of a record must be declared; got {got}"
