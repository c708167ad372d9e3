"""Objects that map something to something: their keys are data, and no names of columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from transforms.changes.naming import named_after_persons, told_by_name
from transforms.inference.found import share
from transforms.redaction import FORMS

PERSONAL: Final = ("names of persons", "addresses of mail")
"""What keys are that cannot stay in clear."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2}.*)?|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}")
_NUMBER: Final = re.compile("[0-9]{4,}")
_HALF: Final = 0.5
_SEVERAL: Final = 2
_PERSONS: Final = 3


def persons_among(keys: Sequence[str]) -> set[str]:
    """Return the keys that look like names of persons, if several do: one may be another thing.

    >>> persons_among(["Jan Sales", "Feb Sales"])
    set()
    """
    found = named_after_persons(keys)
    return found if len(found) >= _PERSONS else set()


def kind_of(keys: Sequence[str]) -> str:
    """Return what the keys of an object are if they are data; empty: names, as far as one sees.

    >>> kind_of(["2024-01-01", "2024-01-02"]), kind_of(["Ann Lee", "Peter Ott"])
    ('days', 'names of persons')
    >>> kind_of(["mail", "phone"])
    ''
    """
    if len(keys) < _SEVERAL:
        return ""
    for what, form in (("days", _DAY), ("numbers", _NUMBER)):
        if all(map(form.fullmatch, keys)):
            return what
    texts = pa.array(keys, pa.string())
    if share(texts, f"^{FORMS['email']}$") > _HALF:
        return "addresses of mail"
    if len(named_after_persons(keys)) > _HALF * len(keys):
        return "names of persons"
    strange = sum(1 for key in keys if not told_by_name(key) and not key.isdigit())
    return "identifiers" if strange > _HALF * len(keys) else ""
