"""Whether a key that no contract declares is a name, and may be told, or data, and may not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names
from transforms.inference.persons import TWO_NAMES, first_names
from transforms.redaction import FORMS

_NAME: Final = re.compile(r"[\w .$%#/()-]{1,60}")
_DIGITS: Final = re.compile(r"\d{5}")
_NUMBERED: Final = re.compile(r"\d{6}")
"""Without signs between them: telephones, cards and the like are written in groups."""
_SIGNS: Final = re.compile(r"[ ().-]")
_NO_LETTER: Final = re.compile(r"[\W\d_]+")
_YEAR: Final = re.compile("(18|19|20)[0-9]{2}")
_FORMS: Final = tuple(
    re.compile(form) for form in (*(FORMS[kind] for kind in ("iban", "national", "phone")), "%40")
)
"""Other kinds have no letters, or signs that no name has. Keys come one by one: RE2 would take
milliseconds for each, since it compiles a form anew."""
_CASELESS: Final = "\u0590"
"""The first sign of Hebrew, Arabic and all scripts behind these, most of which have no capitals."""
_OF_HEADERS: Final = names(
    """
    total totals sum sales revenue cost costs price amount count number rate share margin profit
    budget actual forecast target plan average mean median min max minimum maximum change growth
    order orders unit units value values quantity level score index percent per date day week
    month quarter year time hours id code key type kind status state units income volume returns
    balance tax fee net gross umsatz kosten preis menge anzahl summe betrag ventas ventes
    """
)
"""What names of columns have among their words."""
_OTHERS: Final = names("jan mark grace bill art will drew")
"""First names that are other words beside these: `Jan Sales`."""


@lru_cache(maxsize=4096)
def told_by_name(key: str) -> bool:
    """Whether a key looks like a name; others may be values (of records that map ids to things).

    >>> told_by_name("Cost Total $"), told_by_name("ann@example.org"), told_by_name("u1234567")
    (True, False, False)
    >>> told_by_name("Jan Sales"), told_by_name("Ann Lee"), told_by_name("555-0147")
    (True, False, False)
    >>> told_by_name("2024"), told_by_name("Q1 2024"), told_by_name("17")
    (True, True, False)
    """
    if _NAME.fullmatch(key) is None or _DIGITS.search(key) or _NUMBERED.search(_SIGNS.sub("", key)):
        return False
    if _NO_LETTER.fullmatch(key):
        return _YEAR.fullmatch(key) is not None
    if any(form.search(key) for form in _FORMS):
        return False
    if key.isascii() and " " not in key:
        return True  # no name of a person, which would have two words
    spoken = key.split()  # as `TWO_NAMES` does, which is slow one by one
    two = len(spoken) > 1 and spoken[0][0].isupper() and spoken[-1][0].isupper()
    return not ((two or max(key) >= _CASELESS) and _has_first_name(key))


def named_after_persons(keys: Iterable[str]) -> set[str]:
    """Return the keys that look like names of persons: two words with capitals, one a first name.

    >>> sorted(named_after_persons(["Ann Lee", "Unit Price", "ann", "Jan Sales", "Ann Price"]))
    ['Ann Lee', 'Ann Price']
    """
    listed = list(keys)
    two = pc.match_substring_regex(pa.array(listed, pa.string()), TWO_NAMES).to_pylist()
    return {key for key, form in zip(listed, two, strict=True) if form and _has_first_name(key)}


def _has_first_name(key: str) -> bool:
    """Whether a word of a key is a first name, and not `Jan` beside a word of headers."""
    spoken = key.split()
    rest = [word for word in spoken if word.lower() not in _OF_HEADERS]
    if len(rest) < len(spoken):
        rest = [word for word in rest if word.lower() not in _OTHERS]
    return bool(rest) and first_names([" ".join(rest)]) > 0
