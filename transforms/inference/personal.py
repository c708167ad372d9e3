"""Columns that are likely about persons: by name, by values, and how each would be protected.

A name alone is evidence where it leaves no doubt (`email`, `ssn`); where a word has other uses
(`name`, `address`, `latitude`) something else must speak for it: its values, or other columns that
are about persons. What stays a doubt is a note, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pyarrow.compute as pc

from schemas.functions import names
from transforms.inference.found import Found, texts_of
from transforms.inference.free_text import doubt, free_text, held
from transforms.inference.names import words
from transforms.inference.personal_forms import (
    NETWORK,
    address_of_net,
    card,
    mail,
    number,
    phone,
)
from transforms.inference.persons import (
    ABOUT_PERSONS,
    PERSON_WORDS,
    birth,
    identity,
    may_be_persons,
    person,
    place,
)
from transforms.inference.properties import Property

_FREE: Final = names("comment comments message notes review body text description")
_LONG: Final = 40


def protected(properties: Sequence[Property], *, people: bool = False) -> tuple[Property, ...]:
    """Return the properties, those that are likely personal classified and protected.

    Args:
        properties: Of records.
        people: Whether the records are known to be about persons.
    """
    every = [one for prop in properties for _, one in prop.walk()]
    spoken = {word for prop in every for word in words(prop.name)}
    people = (
        people
        or bool(spoken & (PERSON_WORDS | ABOUT_PERSONS))
        or any(
            find(prop, people=False)
            for prop in every
            if prop.logical in ("string", "integer", "date")
        )
    )
    return tuple(_protect(prop, people=people) for prop in properties)


def _protect(prop: Property, *, people: bool, inside: str = "") -> Property:
    here = f"{inside} {prop.name}"
    children = tuple(_protect(child, people=people, inside=here) for child in prop.children)
    items = None if prop.items is None else _protect_items(prop.items, people=people)
    prop = replace(prop, children=children, items=items)
    if prop.logical in ("object", "array", "boolean"):
        return prop
    found, doubts = find(prop, people=people) or identity(words(here), prop), ()
    if found is None:
        found, doubts = _inside(prop)
    if found is None:
        return replace(prop, notes=(*prop.notes, *doubts))
    note = f"likely personal: {found.what} ({found.evidence})"
    return replace(
        prop,
        classification=found.classification,
        protect=found.protect,
        protect_options=dict(found.options),
        reason=found.reason,
        # Bits of an address, and not letters of a text: the contract tells them by the format.
        options={"format": "ipv4"} if found.options == NETWORK else prop.options,
        notes=(*prop.notes, note),
    )


def _protect_items(items: Property, *, people: bool) -> Property:
    children = tuple(_protect(child, people=people) for child in items.children)
    return replace(items, children=children)


def find(prop: Property, *, people: bool) -> Found | None:
    """Return what speaks for personal data in a scalar column, or None."""
    said = set(words(prop.name))
    texts = texts_of(prop)
    textual = prop.logical == "string"
    for look in (mail, card, number, address_of_net, phone):
        if found := look(said, texts, textual=textual):
            return found
    if textual and (found := person(prop, texts, people=people)):
        return found
    if found := birth(said, prop.logical):
        return found
    if people and (found := place(said, prop)):
        return found
    return None


def _inside(prop: Property) -> tuple[Found | None, tuple[str, ...]]:
    """Return what stands inside the texts of a column, and what may be personal in them."""
    texts = texts_of(prop)
    if prop.logical != "string" or texts is None or prop.options.get("format") == "uuid":
        return None, ()
    inside = held(texts)
    if found := free_text(inside):
        return found, ()
    notes = [doubt(inside)] if inside.shares else []
    if set(words(prop.name)) & _FREE and pc.mean(pc.utf8_length(texts)).as_py() > _LONG:
        notes.append("free text: it may name persons; classify it if so")
    elif may_be_persons(prop, texts):
        notes.append("may be names of persons: classify it if so")
    return None, tuple(notes)
