"""What is personal in a column once rows are protected, and how it came there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from schemas.contract import Column, Contract, Protection
from schemas.protection import items, mask


class Level(IntEnum):
    """How much of a person a value shows; the greater counts where several come together."""

    GENERALIZED = 1
    """Many persons may share a value: it may form groups."""
    PROTECTED = 2
    """Pseudonymized or masked: not the value, but one for each person, or nearly."""
    CLEAR = 3
    """The value as it came, or most of it, or something computed from it."""


_LEVELS = {
    Protection.PSEUDONYMIZE: Level.PROTECTED,
    Protection.MASK: Level.PROTECTED,
    Protection.GENERALIZE: Level.GENERALIZED,
}


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The way of personal data into a column.

    Attributes:
        level: How much of it is left.
        hops: The contract's property with its protection, or a lookup's column; then step, column,
            step, column ...
    """

    level: Level
    hops: tuple[str, ...]

    @property
    def original(self) -> bool:
        """Whether this is the contract's own column, which no step made."""
        return len(self.hops) == 1

    def through(self, *hops: str) -> Trace:
        """Return the trace led on."""
        return replace(self, hops=(*self.hops, *hops))

    def drawn(self, *to: str) -> str:
        """Return the way as text: `phone (keep) -> derive-1 -> size -> processed_data.orders`."""
        return " -> ".join((*self.hops, *to))


Traces = dict[str, Trace]
"""By the name of the column or path; what is not personal is not in it."""


def strongest(traces: Iterable[Trace | None]) -> Trace | None:
    """Return the trace that shows most, the first of equals; None if there is none."""
    return max((t for t in traces if t is not None), key=lambda t: t.level, default=None)


def origins(contract: Contract) -> Traces:
    """Return the traces of contract columns and paths, as protection leaves them."""
    found = {column.name: strongest(_inside(column)) for column in contract.columns}
    for column in contract.columns:
        if column.open:
            found |= {path: strongest(traces) for path, traces in _paths(column, ())}
    return {name: trace for name, trace in found.items() if trace is not None}


def kept(column: Column) -> bool:
    """Whether a column itself, not only what is in it, is personal and kept as it came.

    That takes a reason. A property computed from personal ones may be kept with nothing else, and
    objects and arrays that only hold what is protected are kept without one.
    """
    personal = column.classification is not None or column.transform is not None
    if column.protect is not Protection.KEEP or not personal or not column.protect_reason:
        return False
    inner = (*column.children, *((column.items,) if column.items else ()))
    return column.open or not inner or any(map(_holds, inner))


def _holds(column: Column) -> bool:
    """Whether anything in a column stays as it came."""
    inner = (*column.children, *((column.items,) if column.items else ()))
    return column.protect is Protection.KEEP and (not inner or any(map(_holds, inner)))


def of_path(contract: Contract, path: str) -> Trace | None:
    """Return the trace of one property: its own, or that of an object around it that is kept."""
    around = (c for c in contract.leaves() if c.path == path or path.startswith(f"{c.path}."))
    return strongest(map(_own, around))


def _own(column: Column) -> Trace | None:
    level = Level.CLEAR if kept(column) or _within(column) else _LEVELS.get(column.protect)
    hop = f"{column.path} ({column.protect})"
    return None if level is None else Trace(level=level, hops=(hop,))


def _within(column: Column) -> bool:
    """Whether a mask takes some kinds out of a text and leaves the rest of it as it came."""
    return column.protect is Protection.MASK and bool(mask(column).within)


def _inside(column: Column) -> Iterator[Trace | None]:
    """Yield the traces of a column and of everything in it that protection leaves."""
    if column.protect is Protection.DROP:
        return
    yield _own(column)
    inner = (*column.children, *((items(column),) if column.items else ()))
    for each in inner:
        yield from _inside(each)


def _paths(
    column: Column, around: tuple[Trace | None, ...]
) -> Iterator[tuple[str, tuple[Trace | None, ...]]]:
    """Yield the paths of an open object: an object that is kept in clear keeps its keys so."""
    if column.protect is Protection.DROP:
        return
    traces = (*around, _own(column))
    for child in column.children:
        if child.children:
            yield from _paths(child, traces)
        elif child.protect is not Protection.DROP:
            own = tuple(_inside(child))
            yield child.path, (*own, *(t for t in traces if child.protect is Protection.KEEP))
