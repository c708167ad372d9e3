"""How a stream marks what lives in its savepoints, so that another release's is known as such.

State outlives the program that wrote it, and is read by one that may lay it out otherwise. Each
piece of it (a parcel, an answer, a shipment, ids: never a row) begins with two bytes: what it is,
and the layout.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

from schemas.errors import UsageError

LAYOUT: Final = 2
"""Of everything that a savepoint holds; to be raised when any of it is laid out otherwise."""

UNMARKED: Final = 1
"""The layout of state that does not say."""

MARK_BYTES: Final = 2


class LayoutError(UsageError):
    """A savepoint or checkpoint that another release of Penstock wrote."""


def prefix(kind: bytes) -> bytes:
    """Return what state of a kind (one byte) begins with."""
    return kind + bytes([LAYOUT])


def check(encoded: bytes, kind: bytes) -> None:
    """Hold that these bytes are of this kind and layout.

    Raises:
        LayoutError: They are not.
    """
    if encoded[:MARK_BYTES] != prefix(kind):
        # What has no mark is of the layout that had none, whatever its first bytes are.
        known = encoded[:1] == kind and len(encoded) >= MARK_BYTES
        raise other_layout(encoded[1] if known else UNMARKED)


def other_layout(got: object) -> LayoutError:
    """Return the error of state whose layout is another one."""
    return LayoutError(
        f"a savepoint or checkpoint must hold state of layout {LAYOUT}, which this release reads; "
        f"got layout {got}, of another release; go on behind what is in the lake with --from-lake, "
        "or run it with the release that wrote it and end it there with penstock stop --drain"
    )


def dumped(value: object, kind: bytes) -> bytes:
    """Return a value of ours as state: marked, and pickled."""
    return prefix(kind) + pickle.dumps(value)


def loaded(encoded: bytes, kind: bytes) -> Any:
    """Read what `dumped` wrote.

    Raises:
        LayoutError: Another release wrote it.
    """
    check(encoded, kind)
    return pickle.loads(memoryview(encoded)[MARK_BYTES:])  # noqa: S301 - our own state
