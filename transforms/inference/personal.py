"""Columns that are likely about persons: by name, by values, and how each would be protected.

A name alone is evidence where it leaves no doubt (`email`, `ssn`); where a word has other uses
(`name`, `address`, `latitude`) something else must speak for it: its values, or other columns that
are about persons. What stays a doubt is a note, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names
from transforms.inference.names import words
from transforms.inference.properties import Property

_LOOKED_AT: Final = 20_000
_NETWORK: Final = (("prefix", 24),)
_MOST: Final = 0.9
_FIRST_NAMES: Final = names(
    """
    james john robert michael william david richard joseph thomas charles mary patricia
    jennifer linda elizabeth barbara susan jessica sarah karen anna maria peter paul hans
    klaus jean pierre marie jose juan carlos ana luis mohammed ahmed ali fatima wei li chen
    yuki hiroshi priya raj anita ivan olga elena sofia emma olivia noah liam lucas mia alice
    bob carol eve daniel mark laura julia george edward henry frank arthur walter harry
    albert
    """
)
_TWO_NAMES: Final = r"^\p{Lu}[\p{L}'.-]+,? (\p{Lu}[\p{L}'.-]* )*\p{Lu}[\p{L}'.-]+$"
_SOME, _SURE_TWO = 0.12, 0.7
"""Of names of persons at least so many begin with a common first name, and have two parts."""
_TITLES: Final = r"(?i)\b(mr|mrs|ms|miss|dr|herr|frau|mme|sir)\b\.?"
_PERSON_WORDS: Final = names(
    """
    user customer client patient person employee member subscriber passenger contact student
    candidate applicant visitor guest buyer donor voter
    """
)
_ABOUT_PERSONS: Final = names(
    """
    email mail phone mobile birth birthdate birthday dob surname lastname firstname ssn
    passport
    """
)


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
        or bool(spoken & (_PERSON_WORDS | _ABOUT_PERSONS))
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
    found = find(prop, people=people) or _identity(words(here), prop)
    if found is None:
        return replace(prop, notes=(*prop.notes, *_doubts(prop)))
    note = f"likely personal: {found.what} ({found.evidence})"
    return replace(
        prop,
        classification=found.classification,
        protect=found.protect,
        protect_options=dict(found.options),
        reason=found.reason,
        # Bits of an address, and not letters of a text: the contract tells them by the format.
        options={"format": "ipv4"} if found.options == _NETWORK else prop.options,
        notes=(*prop.notes, note),
    )


def _protect_items(items: Property, *, people: bool) -> Property:
    children = tuple(_protect(child, people=people) for child in items.children)
    return replace(items, children=children)


def find(prop: Property, *, people: bool) -> Found | None:
    """Return what speaks for personal data in a scalar column, or None."""
    spoken = words(prop.name)
    said = set(spoken)
    texts = _texts(prop)
    textual = prop.logical == "string"
    for look in (_mail, _card, _number, _address_of_net):
        if found := look(said, texts, textual=textual):
            return found
    if found := _phone(said, texts, textual=textual):
        return found
    if found := _person(spoken, texts, textual=textual):
        return found
    if found := _birth(said, prop.logical):
        return found
    if people and (found := _place(said, prop)):
        return found
    return None


def _texts(prop: Property) -> pa.Array | None:
    values = None if prop.field is None else prop.field.values
    if values is None:
        return None
    some = values.drop_null()[:_LOOKED_AT]
    if pa.types.is_integer(some.type):
        return some.cast(pa.string())
    return some if pa.types.is_string(some.type) and len(some) else None


def _share(texts: pa.Array | None, pattern: str) -> float:
    if texts is None or not len(texts):
        return 0.0
    return float(pc.mean(pc.match_substring_regex(texts, pattern).cast(pa.float64())).as_py())


def _evidence(said: bool, share: float, what: str) -> str:  # noqa: FBT001
    told = ["its name"] if said else []
    if share:
        told.append(f"{share:.0%} of values are {what}")
    return ", ".join(told)


def _mail(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    share = _share(texts, r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$")
    named = bool(said & {"email", "mail"}) and textual and (share > 0.1 or texts is None)
    if not named and share < _MOST:
        return None
    told = _evidence(named, share, "addresses of mail")
    why = "Names a person; sameness is all that analysis needs."
    return Found("e-mail address", told, "restricted", "pseudonymize", why)


def _card(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    if texts is None or len(texts) < 10 or _share(texts, r"^[0-9](?:[ -]?[0-9]){12,18}$") < _MOST:
        return None
    share = _luhn(texts)
    if share < _MOST:
        return None
    told = _evidence(bool(said & {"card", "pan", "cc"}), share, "numbers that pass the Luhn check")
    why = "A payment card; the last four digits are enough to tell cards apart."
    if not textual:
        return Found("card number", told, "restricted", "drop", "A payment card, not needed whole.")
    return Found("card number", told, "restricted", "mask", why, (("keep_last", 4),))


def _luhn(texts: pa.Array) -> float:
    """Return which share of texts passes the check of card numbers (ISO/IEC 7812-1)."""
    digits = pc.utf8_lpad(pc.replace_substring_regex(texts[:1000], "[ -]", ""), 19, "0").to_pylist()
    table = np.array([[ord(c) - 48 for c in d] for d in digits if len(d) == 19], np.int64)
    if not len(table):
        return 0.0
    doubled = table[:, 1::2] * 2
    total = table[:, ::2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1)
    return float((total % 10 == 0).mean())


def _number(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """National and account numbers."""
    kind = next(
        (
            (what, pattern)
            for what, names, pattern in (
                ("social security number", {"ssn", "social"}, r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$"),
                (
                    "account number (IBAN)",
                    {"iban"},
                    r"^[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,4})?$",
                ),
                ("national insurance number", {"nino"}, r"^[A-Z]{2} ?([0-9]{2} ?){3}[A-D]$"),
            )
            if _share(texts, pattern) >= _MOST
        ),
        None,
    )
    named = bool(said & {"ssn", "passport", "iban", "nino", "taxid"}) or {"national", "id"} <= said
    named = named or {"tax", "id"} <= said or {"social", "security"} <= said
    if kind is None and not named:
        return None
    what = kind[0] if kind else "number of a person given by a state or bank"
    told = _evidence(named, _share(texts, kind[1]) if kind else 0.0, "of that form")
    how = "pseudonymize" if textual else "drop"
    why = "Names a person for good; sameness is all that analysis needs."
    return Found(what, told, "restricted", how, why)


def _address_of_net(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    share = _share(texts, r"^([0-9]{1,3}\.){3}[0-9]{1,3}$") if textual else 0.0
    if share < _MOST:
        return None
    told = _evidence(bool(said & {"ip", "addr"}), share, "addresses of the net")
    if share < 1:
        why = "An address leads to a household; sameness is all that analysis needs."
        return Found("IP address", told, "confidential", "pseudonymize", why)
    why = "An address leads to a household; the network is enough to count and to locate."
    return Found("IP address", told, "confidential", "generalize", why, _NETWORK)


def _phone(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    named = bool(said & {"phone", "mobile", "cell", "tel", "telephone", "fax", "msisdn"})
    share = _share(texts, r"^\+?[0-9(][0-9 ().\-/x]{5,}[0-9]$")
    strong = _share(texts, r"^(\+[0-9]{1,3}[ -]?[0-9(]|\([0-9]{3}\) ?[0-9]{3}-)[0-9 ().-]{4,}$")
    if not (named and (share > 0.5 or texts is None)) and strong < _MOST:
        return None
    told = _evidence(named, max(share, strong), "numbers of telephones")
    how = "pseudonymize" if textual else "drop"
    why = "Reaches a person; sameness is all that analysis needs."
    return Found("telephone number", told, "restricted", how, why)


def _person(spoken: list[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    if not textual:
        return None
    joined = "_".join(spoken)
    clear = re.search(
        r"(^|_)(first|last|full|given|family|middle|maiden|user|customer|patient|employee|contact|"
        r"passenger|author|owner)_?name$|surname|(^|_)(lastname|firstname|fullname|username|login)$",
        joined,
    )
    titles, first, two = _share(texts, _TITLES), _first_names(texts), _share(texts, _TWO_NAMES)
    like_names = (first > 0.3 and two > 0.5) or (first > _SOME and two > _SURE_TWO)
    by_values = "name" in spoken and (titles > 0.5 or like_names)
    by_values = by_values or (titles > 0.8 and two > 0.2)
    if not clear and not by_values:
        return None
    told = ["its name"] if clear or "name" in spoken else []
    told += [f"{first:.0%} begin with a common first name"] if first > 0.1 else []
    told += [f"{titles:.0%} have a title"] if titles > 0.1 else []
    why = "Names a person; sameness is all that analysis needs."
    return Found("name of a person", ", ".join(told), "restricted", "pseudonymize", why)


def _first_names(texts: pa.Array | None) -> float:
    if texts is None or not len(texts):
        return 0.0
    some = pc.utf8_lower(texts[:2000]).to_pylist()
    return sum(1 for t in some if set(re.findall(r"[a-z]+", t)[:3]) & _FIRST_NAMES) / len(some)


def _birth(said: set[str], logical: str) -> Found | None:
    if not said & {"birth", "birthdate", "birthday", "dob", "born"} or said & {"weight", "rate"}:
        return None
    why = "With a place and a sex a day of birth singles out most people; the year does not."
    if logical in ("date", "timestamp"):
        return Found(
            "date of birth", "its name", "confidential", "generalize", why, (("to", "year"),)
        )
    if logical == "string":
        return Found("date of birth", "its name", "confidential", "pseudonymize", why)
    return None


def _place(said: set[str], prop: Property) -> Found | None:
    """Where a person is or lives; only asked where the records are about persons."""
    why = "Where a person is or lives; this much tells the region, and not the house."
    told = "its name, beside other columns about persons"
    if prop.logical == "number" and prop.physical is None and is_coordinate(prop.name):
        return Found("place of a person", told, "confidential", "generalize", why, (("step", 0.1),))
    if (
        prop.logical == "string"
        and said & {"street", "address", "addr"}
        and not said & {"ip", "mac"}
    ):
        return Found("postal address", told, "restricted", "drop", "A home; no analysis needs it.")
    if prop.logical == "string" and said & {"zip", "zipcode", "postcode", "postal", "plz"}:
        return Found("postal code", told, "confidential", "generalize", why, (("prefix", 3),))
    return None


def names_persons(texts: pa.Array) -> bool:
    """Whether some texts begin with a common first name: such values are quoted nowhere."""
    return _first_names(texts) > 0.01


def is_coordinate(name: str) -> bool:
    """Whether a name is that of a latitude or longitude."""
    return bool(set(words(name)) & {"lat", "latitude", "lon", "lng", "long", "longitude"})


def _identity(spoken: list[str], prop: Property) -> Found | None:
    if len(spoken) < 2 or spoken[-1] not in ("id", "uuid", "key", "number", "no"):
        return None
    if not set(spoken) & (_PERSON_WORDS | {"device", "session", "cookie", "account"}):
        return None
    why = (
        "An identifier that a system made up for a person: personal data, kept since tables are "
        "joined by it. Where it is a login or an e-mail, pseudonymize it."
    )
    if prop.logical not in ("string", "integer"):
        return None
    return Found("identifier of a person", "its name", "confidential", "keep", why)


def _doubts(prop: Property) -> tuple[str, ...]:
    """Say what may be personal, though too little speaks for it."""
    texts, said = _texts(prop), set(words(prop.name))
    if prop.logical != "string" or texts is None:
        return ()
    if said & {"comment", "comments", "message", "notes", "review", "body", "text", "description"}:
        long = pc.mean(pc.utf8_length(texts)).as_py() > 40
        return ("free text: it may name persons; classify it if so",) if long else ()
    first = _first_names(texts)
    named = first > (0.1 if "name" in said else 0.5)
    if named or (first > _SOME and _share(texts, _TWO_NAMES) > _SURE_TWO):
        return ("may be names of persons: classify it if so",)
    return ()
