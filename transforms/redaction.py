"""What names a person inside a free text, and such texts without it.

Told by form alone, so names of persons, streets and the like stay. Forms are wide where a wide one
hides more (any number that begins as a card's does), and narrow where other things look alike:
versions (`Chrome/120.0.0.0`), times, numbers of orders. In queries of URLs `@` is `%40`, and Java
writes a slash before addresses of the net.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from transforms.formats import IPV4

_IPV6: Final = (
    r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    r"|[0-9A-Fa-f]{2,4}(?::[0-9A-Fa-f]{1,4}){0,5}::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?"
)
FORMS: Final = {
    "email": (
        r"()[\pL\pM0-9._%+'-]+(?:@|%40)[\pL\pM0-9-]+(?:\.[\pL\pM0-9-]+)*"
        r"\.(?:xn--[a-z0-9-]+|[\pL\pM]{2,})"
    ),
    "iban": r"()\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    "national": (
        r"()\b(?:[0-9]{3}-[0-9]{2}-[0-9]{4}|[A-Z]{2} ?(?:[0-9]{2} ?){3}[A-D]"
        r"|[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2})\b"
    ),
    "card": (
        r"()\b[2-6](?:[0-9]{12,18}|[0-9]{3}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?"
        r"|[0-9]{3}[ -][0-9]{6}[ -][0-9]{5})\b"
    ),
    "phone": (
        r"()(?:\+[1-9](?:[ ./()-]{0,3}[0-9]){7,13}"
        r"|(?:\(?\b[0-9]{3}\)[ -]?|\b[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}"
        r"|\b00[1-9][0-9](?:[ ./-]?[0-9]){7,12}"
        r"|\(?\b0[0-9]{2,4}(?:\) ?|[ /-])"
        r"(?:[0-9]{3,4}[ -]?[0-9]{3,4}|[0-9]{2,3}(?:[ -][0-9]{2}){2,3})"
        r"|\b0[1-9](?:(?: [0-9]{2}){4}|(?:\.[0-9]{2}){4}|(?:-[0-9]{2}){4}))\b"
    ),
    "ip": rf"(//|^/?|[^\w./-]/?)(?:\b{IPV4}\b|\b(?:{_IPV6}))",
}
"""RE2, by the kinds of `schemas.protection.KINDS`; the first group stays. Social security,
national insurance, codice fiscale and CPF are the national numbers."""


def holding(texts: pa.Array, kind: str) -> pa.BooleanArray:
    """Tell which texts hold something of a kind; null where there is no text."""
    return pc.match_substring_regex(texts, FORMS[kind])


def redacted(texts: pa.StringArray, kinds: Sequence[str]) -> pa.StringArray:
    """Replace what is of some kinds by the kind in brackets: `call [phone]`; null stays null.

    In the order of `FORMS`, whatever the order of `kinds`: an account number holds what looks like
    a card's.
    """
    for kind, form in FORMS.items():
        # Replacing copies all texts, and most columns have few of most kinds.
        if kind in kinds and pc.any(holding(texts, kind)).as_py():
            texts = pc.replace_substring_regex(texts, form, rf"\1[{kind}]")
    return texts
