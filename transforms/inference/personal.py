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
from transforms.inference.fields import Field
from transforms.inference.found import Found, texts_of
from transforms.inference.free_text import doubt, free_text, held, uncovered
from transforms.inference.map_keys import PERSONAL
from transforms.inference.names import words
from transforms.inference.personal_forms import (
    NETWORK,
    address_of_net,
    card,
    device,
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
from transforms.inference.properties import HARMFUL, MAY_BE_PERSONS, Property
from transforms.inference.sensitive import sensitive

_FREE: Final = names("comment comments message notes review body text description")
_LONG: Final = 40
_LIKELY: Final = "likely personal: "


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
    if prop.open and (found := _in_open(prop)):
        return _as_found(replace(prop, children=()), found)
    children = tuple(_protect(child, people=people, inside=here) for child in prop.children)
    if found := _in_items(prop, people=people):
        return _as_found(prop, found)
    items = None if prop.items is None else _protect(prop.items, people=people)
    prop = replace(prop, children=children, items=items)
    if prop.logical in ("object", "array"):
        return prop
    if kind := sensitive(prop.name):
        told = f"{HARMFUL} ({kind}): classify and protect it if so"
        prop = replace(prop, notes=(*prop.notes, told))
    if prop.logical == "boolean":
        return prop
    doubts: tuple[str, ...] = ()
    found = find(prop, people=people) or identity(words(here), prop)
    if found is None:
        found, doubts = _inside(prop)
    if found is None:
        return replace(prop, notes=(*prop.notes, *doubts))
    return _as_found(prop, found)


def _as_found(prop: Property, found: Found) -> Property:
    note = f"{_LIKELY}{found.what}" + (f" ({found.evidence})" if found.evidence else "")
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


def _in_items(array: Property, *, people: bool) -> Found | None:
    """Return what is personal in the texts that an array holds, which are called as it is."""
    items = array.items
    if items is None or items.logical in ("object", "array"):
        return None
    items = _protect(replace(items, name=array.name), people=people)
    if items.classification is None or items.protect is None:
        return None
    how, options = items.protect, tuple(items.protect_options.items())
    if options == NETWORK:  # told by a format, which an array has not
        how, options = "pseudonymize", ()
    told = items.notes[-1].removeprefix(_LIKELY)
    return Found(f"items: {told}", "", items.classification, how, items.reason, options)


def _in_open(prop: Property) -> Found | None:
    """Return what is personal in an open object beside the keys that can be declared and protected.

    Keys cannot be masked, and what is not declared stays in clear: then the object goes.
    """
    field = prop.field
    if field is None or field.texts is None:
        return None
    why = "It cannot be protected in place: declare its keys, or keep the object with a reason."
    if keyed := _keyed(field):
        return Found("object with personal keys", keyed, "restricted", "drop", why)
    texts = field.texts.drop_null()
    if not len(texts):
        return None
    known = [texts_of(child) for child in prop.children if is_personal(child)]
    more = uncovered(texts, [found for found in known if found is not None])
    if not more:
        return None
    what = "open object with personal data among keys that differ"
    return Found(what, more, "restricted", "drop", why)


def _keyed(field: Field) -> str:
    """Return what keys of an object, or of one inside it, tell of persons; empty: nothing."""
    return next(
        filter(None, map(_keyed, field.children)), field.keyed if field.keyed in PERSONAL else ""
    )


def is_personal(prop: Property) -> bool:
    """Whether a scalar column is likely personal, by itself."""
    return (find(prop, people=False) or _inside(prop)[0]) is not None


def find(prop: Property, *, people: bool) -> Found | None:
    """Return what speaks for personal data in a scalar column, or None."""
    said = set(words(prop.name))
    texts = texts_of(prop)
    textual = prop.logical == "string"
    for look in (mail, device, card, number, address_of_net, phone):
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
        notes.append(MAY_BE_PERSONS)
    return None, tuple(notes)
