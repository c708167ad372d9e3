"""Free texts in which addresses, numbers of cards, telephones and the like stand among words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.protection import KINDS
from transforms.inference.found import Found
from transforms.inference.personal_forms import luhn
from transforms.redaction import FORMS, holding, redacted

_SHARE: Final = 0.01
"""Of the texts that must hold something: fewer are a note."""
_CHECKED: Final = 0.5
"""Of numbers like those of cards that must pass their check; of other numbers one in ten does."""
_SPOKEN: Final = {
    "email": "an e-mail address",
    "iban": "an account number",
    "national": "a national number",
    "card": "a card number",
    "phone": "a telephone number",
    "ip": "an IP address",
}
_WHY: Final = (
    "A free text: what the mask finds in it goes, the rest stays. Names and streets have no form "
    "of their own and are not found: drop the column if nobody needs its words."
)


class Held(NamedTuple):
    """What texts hold among their words.

    Attributes:
        shares: Kind -> share of the texts that hold it.
        any: Share of the texts that hold something.
    """

    shares: dict[str, float]
    any: float


def held(texts: pa.Array) -> Held:
    """Return which kinds of personal data stand inside texts (no nulls, at least one)."""
    shares: dict[str, float] = {}
    some: pa.BooleanArray | None = None
    for kind in KINDS:
        found = holding(texts, kind)
        part = float(pc.mean(found.cast(pa.float64())).as_py())
        if not part or (kind == "card" and not _are_cards(texts.filter(found))):
            continue
        shares[kind] = part
        texts = redacted(texts, (kind,))  # an account number holds what looks like a telephone's
        some = found if some is None else pc.or_(some, found)
    whole = 0.0 if some is None else float(pc.mean(some.cast(pa.float64())).as_py())
    return Held(shares, whole)


def _are_cards(texts: pa.Array) -> bool:
    named = f"(?P<card>{FORMS['card'].removeprefix('()')})"
    return luhn(pc.struct_field(pc.extract_regex(texts, named), "card")) >= _CHECKED


def free_text(found: Held) -> Found | None:
    """Return how a text column is protected inside its texts; None: it holds too little."""
    if found.any < _SHARE:
        return None
    told = ", ".join(f"{part:.0%} hold {_SPOKEN[kind]}" for kind, part in _most(found))
    what = "free text with personal data in it"
    return Found(what, told, "restricted", "mask", _WHY, (("within", list(KINDS)),))


def uncovered(texts: pa.Array, known: Sequence[pa.Array]) -> str:
    """Say what JSON texts of objects hold beside values that are known; empty: too little.

    Args:
        texts: Of objects; no nulls, at least one.
        known: Values that stand in them and will be protected.
    """
    inside = held(texts)
    more = {
        kind: part
        for kind, part in inside.shares.items()
        if part >= _SHARE and _count(texts, kind) > sum(_count(values, kind) for values in known)
    }
    return ", ".join(f"{part:.0%} hold {_SPOKEN[kind]}" for kind, part in more.items())


def _count(texts: pa.Array, kind: str) -> int:
    return int(pc.sum(pc.count_substring_regex(texts, FORMS[kind])).as_py() or 0)


def doubt(found: Held) -> str:
    """Say that few texts hold something; empty: none does."""
    if not found.shares:
        return ""
    told = ", ".join(_SPOKEN[kind] for kind, _ in _most(found))
    return (
        f"free text: less than 1% hold {told}. Decide: leave it, or classify it and protect it "
        f"(mask within: {', '.join(found.shares)})"
    )


def _most(found: Held) -> list[tuple[str, float]]:
    return sorted(found.shares.items(), key=lambda pair: -pair[1])
