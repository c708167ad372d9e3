"""What of a sample may come out as it stands: what many of its rows share, and is not personal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Protection

LEAST: Final = 20
"""Rows of a sample that must share a value, or be put together, before it says anything."""

_HASH_SEED: Final = 11
_UNWRITABLE: Final = r"[\x00-\x1f\x7f\x{e000}\x{e001}]"


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Decides which values of a sample may be used as they are.

    Attributes:
        least: Rows that must share a value.
        never: Texts that the file to be made would read as null.
    """

    least: int = LEAST
    never: tuple[str, ...] = ()

    def shared(
        self, values: pa.Array, rows: np.ndarray, *, personal: bool
    ) -> tuple[pa.Array, np.ndarray]:
        """Return the values that may be used, most frequent first, and how often each is there.

        Args:
            values: Not null.
            rows: The record of each: an array may hold a value many times.
            personal: None of these may be used.
        """
        coded = values.dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int64)
        counts = np.bincount(codes, minlength=len(coded.dictionary))
        holders = counts
        if len(rows) and len(np.unique(rows)) < len(rows):
            pairs = np.unique(np.stack([codes, rows], axis=1), axis=0)
            holders = np.bincount(pairs[:, 0], minlength=len(coded.dictionary))
        usable = np.zeros(len(holders), bool) if personal else holders >= self.least
        if pa.types.is_string(values.type):
            wrong = pc.match_substring_regex(coded.dictionary, _UNWRITABLE)
            wrong = pc.or_(wrong, pc.is_in(coded.dictionary, pa.array(self.never, pa.string())))
            usable &= ~wrong.to_numpy(zero_copy_only=False)
        kept = np.flatnonzero(usable)
        kept = kept[np.argsort(-counts[kept], kind="stable")]
        return coded.dictionary.take(pa.array(kept)), counts[kept]


@dataclass(frozen=True, eq=False)
class Seen:
    """Values of a sample that must not come out; holds only their hashes.

    Attributes:
        hashes: uint64, ascending.
    """

    hashes: np.ndarray

    @classmethod
    def of(cls, values: pa.Array) -> Seen:
        """Keep what these are."""
        return cls(np.unique(hashes_of(values)))

    def among(self, values: pa.Array) -> np.ndarray:
        """Return which values are of the sample."""
        return found_in(self.hashes, hashes_of(values))


def is_personal(column: Column) -> bool:
    """Whether nothing of a column's values may be used: it is classified, or protected."""
    return column.classification is not None or column.protect is not Protection.KEEP


def hashes_of(values: pa.Array) -> np.ndarray:
    """Return a hash of each value."""
    series = pl.Series(values=values)
    return series.hash(_HASH_SEED).to_numpy()


def found_in(known: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return which hashes are among those known, which are in ascending order."""
    at = np.searchsorted(known, hashes)
    there = at < len(known)
    there[there] = known[at[there]] == hashes[there]
    return there


def repeated(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which hashes are known, or came before among these."""
    again = np.ones(len(hashes), bool)
    again[np.unique(hashes, return_index=True)[1]] = False
    return again | found_in(known, hashes)
