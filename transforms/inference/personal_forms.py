"""Personal data that its own form tells: addresses of mail and net, telephones, cards, numbers.

For each kind a function of the words of a column's name, its texts, and whether it is one of text.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names
from transforms.formats import PATTERNS
from transforms.inference.found import MOST, Found, evidence, share

NETWORK: Final = (("prefix", 24),)
_PHONE: Final = names(
    """
    phone mobile cell tel telephone fax msisdn telefon telefono telefone handy movil celular
    cellulare
    """
)
_PLATES: Final = names("kennzeichen numberplate licenseplate licenceplate matricula targa")
_OF_CARS: Final = names("license licence number registration vehicle car")
_NATIONAL: Final = names(
    """
    ssn passport iban nino taxid dni nif cpf pesel bsn personnummer aadhaar curp steuerid
    codicefiscale nhs steuernummer steuernr svnr ahv
    """
)


def mail(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for addresses of mail, alone or behind names."""
    part = share(
        texts, r"^(mailto:)?[^@\s/?=]+@[^@\s/?=&]+\.[A-Za-z]{2,}$|^[^@<>]*<[^@\s]+@[^@\s>]+>$"
    )
    named = (
        bool(said & {"email", "mail", "correo", "courriel"})
        and textual
        and (part > 0.1 or texts is None)
    )
    if not named and part < MOST:
        return None
    told = evidence(named, part, "addresses of mail")
    why = "Names a person; sameness is all that analysis needs."
    return Found("e-mail address", told, "restricted", "pseudonymize", why)


def device(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for numbers of what one person carries or drives."""
    part = share(texts, r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$")
    phone = bool(said & {"imei", "imsi", "iccid", "idfa", "gaid", "aaid"})
    plate = bool(said & _PLATES) or ("plate" in said and bool(said & _OF_CARS))
    if part < MOST and not phone and not plate:
        return None
    what = "plate of a car" if plate else "number of a device"
    told = evidence(phone or plate or "mac" in said, part, "addresses of network cards")
    why = "What one person carries or drives; sameness is all that analysis needs."
    return Found(what, told, "restricted", "pseudonymize" if textual else "drop", why)


def card(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for numbers of payment cards."""
    if texts is None or len(texts) < 10 or share(texts, r"^[0-9](?:[ -]?[0-9]){12,18}$") < MOST:
        return None
    part = luhn(texts)
    if part < MOST:
        return None
    told = evidence(bool(said & {"card", "pan", "cc"}), part, "numbers that pass the Luhn check")
    why = "A payment card; the last four digits are enough to tell cards apart."
    if not textual:
        return Found("card number", told, "restricted", "drop", "A payment card, not needed whole.")
    return Found("card number", told, "restricted", "mask", why, (("keep_last", 4),))


def luhn(texts: pa.Array) -> float:
    """Return which share of texts passes the check of card numbers (ISO/IEC 7812-1)."""
    digits = pc.utf8_lpad(pc.replace_substring_regex(texts[:1000], "[ -]", ""), 19, "0").to_pylist()
    table = np.array([[ord(c) - 48 for c in d] for d in digits if len(d) == 19], np.int64)
    if not len(table):
        return 0.0
    doubled = table[:, 1::2] * 2
    total = table[:, ::2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1)
    return float((total % 10 == 0).mean())


def number(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for national and account numbers."""
    kind = next(
        (
            (what, pattern)
            for what, pattern in (
                ("social security number", r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$"),
                (
                    "account number (IBAN)",
                    r"^[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,4})?$",
                ),
                ("national insurance number", r"^[A-Z]{2} ?([0-9]{2} ?){3}[A-D]$"),
                (
                    "codice fiscale",
                    "^[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]$",
                ),
                ("CPF", r"^[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}$"),
            )
            if share(texts, pattern) >= MOST
        ),
        None,
    )
    named = bool(said & _NATIONAL) or {"national", "id"} <= said
    named = (
        named
        or ("tax" in said and bool(said & {"id", "number", "no", "nr"}))
        or {"social", "security"} <= said
    )
    if kind is None and not named:
        return None
    what = kind[0] if kind else "number of a person given by a state or bank"
    told = evidence(named, share(texts, kind[1]) if kind else 0.0, "of that form")
    how = "pseudonymize" if textual else "drop"
    why = "Names a person for good; sameness is all that analysis needs."
    return Found(what, told, "restricted", how, why)


def address_of_net(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for addresses of the net."""
    if not textual:
        return None
    four = share(texts, r"^([0-9]{1,3}\.){3}[0-9]{1,3}$")
    part = four + share(texts, PATTERNS["ipv6"])
    if part < MOST or said & {"version", "release", "build", "firmware"}:
        return None
    told = evidence(bool(said & {"ip", "addr"}), part, "addresses of the net")
    if four < 1:
        why = "An address leads to a household; sameness is all that analysis needs."
        return Found("IP address", told, "confidential", "pseudonymize", why)
    why = "An address leads to a household; the network is enough to count and to locate."
    return Found("IP address", told, "confidential", "generalize", why, NETWORK)


def phone(said: set[str], texts: pa.Array | None, *, textual: bool) -> Found | None:
    """Return what speaks for numbers of telephones."""
    named = bool(said & _PHONE)
    part = share(texts, r"^\+?[0-9(][0-9 ().\-/x]{5,}[0-9]$")
    strong = share(texts, r"^(\+[0-9]{1,3}[ -]?[0-9(]|\([0-9]{3}\) ?[0-9]{3}-)[0-9 ().-]{4,}$")
    if not (named and (part > 0.5 or texts is None)) and strong < MOST:
        return None
    if share(texts, r"^[0-9]*\.[0-9]+$") > 0.5:  # measured, whatever the name
        return None
    told = evidence(named, max(part, strong), "numbers of telephones")
    how = "pseudonymize" if textual else "drop"
    why = "Reaches a person; sameness is all that analysis needs."
    return Found("telephone number", told, "restricted", how, why)
