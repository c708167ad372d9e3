"""Properties that are proposed, by parts of a source: joined, and as JSON without their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import reduce
from typing import Any, Final, NamedTuple

from transforms.inference.properties import Property

_LEFT_OUT: Final = frozenset({"field", "enum", "distinct", "strptime"})
"""What holds values, or is told of a sample only."""
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_MOST_DIGITS: Final = 38


class Digits(NamedTuple):
    """What a `DECIMAL` holds.

    Attributes:
        whole: Digits before the point.
        after: Digits after it.
    """

    whole: int
    after: int

    @classmethod
    def of(cls, physical: str | None) -> Digits | None:
        """Read a physical type; None if it is no `DECIMAL`."""
        found = _DECIMAL.fullmatch(physical or "")
        return None if found is None else cls(int(found[1]) - int(found[2]), int(found[2]))

    def also(self, other: Digits) -> Digits:
        """Return what holds the numbers of both."""
        return Digits(max(self.whole, other.whole), max(self.after, other.after))

    @property
    def physical(self) -> str | None:
        """The physical type; None if there is none so wide."""
        digits = self.whole + self.after
        return f"DECIMAL({digits},{self.after})" if digits <= _MOST_DIGITS else None


def to_json(prop: Property) -> dict[str, Any]:
    """Return a property as JSON values; none of the values that it was inferred from."""
    told = {f.name: getattr(prop, f.name) for f in fields(prop) if f.name not in _LEFT_OUT}
    items = None if prop.items is None else to_json(prop.items)
    return told | {"children": [to_json(c) for c in prop.children], "items": items}


def of_json(told: Mapping[str, Any]) -> Property:
    """Read what `to_json` wrote."""
    items = None if told["items"] is None else of_json(told["items"])
    children = tuple(of_json(child) for child in told["children"])
    notes = tuple(told["notes"])
    return Property(**{**told, "children": children, "items": items, "notes": notes})


def bare(prop: Property) -> Property:
    """Return a property without what it was inferred from, nothing demanded of its values."""
    return of_json(to_json(prop))


def either(one: Property, other: Property, *, texts: bool) -> Property | None:
    """Return a property that takes the values of both; None if there is none.

    Args:
        one: Of some values.
        other: Of others.
        texts: Whether all values are texts (CSV), which text takes.
    """
    made = _type_of_both(one, other, texts=texts)
    if made is None:
        return None
    personal = one if one.classification else other
    if not personal.classification or made.protect == personal.protect:
        return made
    # How it is protected hangs on the type: by default, if that is another now.
    same = made.logical == personal.logical and made.options == personal.options
    return replace(
        made,
        classification=personal.classification,
        protect=personal.protect if same else None,
        protect_options=personal.protect_options if same else {},
        reason=personal.reason if same else "",
    )


def _type_of_both(one: Property, other: Property, *, texts: bool) -> Property | None:
    kinds = {one.logical, other.logical}
    if kinds == {"object"}:
        return one if _same(one, other) else _open(one, other)
    if kinds == {"array"}:
        return one if _same(one, other) else None
    if kinds <= {"integer", "number"}:
        number = one if one.logical == "number" else other
        return replace(number, physical=_exact(one, other), options={})
    if len(kinds) == 1 and one.options == other.options:
        return one
    written = {"string", "date", "timestamp", "time"}
    if (texts and not kinds & {"object", "array"}) or kinds <= written:
        return replace(one, logical="string", physical=None, options={})
    return None


def _same(one: Property, other: Property) -> bool:
    return to_json(replace(one, notes=())) == to_json(replace(other, notes=()))


def _open(one: Property, other: Property) -> Property:
    """Return an object of any keys; personal as a whole if a key is in either."""
    kinds = (p.classification for c in (one, other) for _, p in c.walk() if p.classification)
    return Property(
        name=one.name, key=one.key, logical="object", open=True, classification=next(kinds, None)
    )


def _exact(one: Property, other: Property) -> str | None:
    """Return the exact type of two kinds of numbers; None if one is not exact, or none is wide."""
    numbers = [p for p in (one, other) if p.logical == "number"]
    sizes = [digits for p in numbers if (digits := Digits.of(p.physical)) is not None]
    if not sizes or len(sizes) < len(numbers):
        return None
    return reduce(Digits.also, sizes).physical
