"""Columns that name persons, and what else is about them: birth, home, identifiers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final

import pyarrow as pa

from schemas.functions import names
from transforms.inference.first_names import ENDINGS, FIRST_NAMES, HAN, HANGUL
from transforms.inference.found import Found, share, texts_of
from transforms.inference.names import words
from transforms.inference.properties import Property

PERSON_WORDS: Final = names(
    """
    user customer client patient person employee member subscriber passenger contact student
    candidate applicant visitor guest buyer donor voter
    kunde kunden kundin mitarbeiter cliente paciente empleado usuario utilisateur
    """
)
ABOUT_PERSONS: Final = names(
    """
    email mail phone mobile birth birthdate birthday dob surname lastname firstname ssn
    passport vorname nachname geburtsdatum telefon prenom apellido apellidos cognome
    """
)
_CLEAR: Final = re.compile(
    r"(^|_)(first|last|full|given|family|middle|maiden|user|customer|patient|employee|contact|"
    r"passenger|author|owner|student|member|teacher|holder|cardholder|person|doctor|driver|"
    r"manager|guest|applicant|employer_contact)_?names?$|surname|"
    r"(^|_)contact_person$|"
    r"(^|_)(lastname|firstname|fullname|username|login)$|"
    # German, Dutch, French, Spanish, Portuguese, Italian, Polish, Czech, Nordic, Finnish,
    # Hungarian, Turkish, Russian in Latin letters
    r"(^|_)(vorname|nachname|familienname|geburtsname|ansprechpartner(in)?|sachbearbeiter(in)?|"
    r"voornaam|achternaam|prenoms?|nom_(de_)?(famille|naissance|usage)|apellidos?|"
    r"(primer|segundo)_apellido|sobrenome|cognome|nazwisko|prijmeni|jmeno_a_prijmeni|"
    r"f[oø]rnamn|fornavn|efternamn|efternavn|etternavn|etunimi|sukunimi|vezeteknev|keresztnev|"
    r"soyad[i]?|ad_soyad|familiya|otchestvo|fio)$"
)
_NATIVE: Final = names(
    "имя фамилия отчество фио прізвище 姓名 氏名 名前 姓 이름 성명 όνομα επώνυμο الاسم नाम"
)
_NAME_WORDS: Final = names(
    "name names nom nome nombre nombres naam navn namn nimi imie jmeno nev nama isim"
)
"""Also said of things."""
_ROLES: Final = names(
    """
    person author authors owner manager teacher professor director actor actress artist singer
    player driver doctor physician nurse senator president leader captain reporter reviewer
    assignee tenant landlord lawyer attorney judge witness suspect victim inventor composer
    painter writer editor translator coach referee pilot speaker trainer instructor advisor
    supervisor mentor agent representative salesperson signatory beneficiary payee payer
    sender recipient holder spouse husband wife father mother child guardian sibling heir
    deceased defendant plaintiff nominee winner laureate athlete assigned requester requestor
    approver by
    autor autora lehrer arzt chef leiter auteur medecin medico profesor maestro
    auftraggeber empfaenger empfanger absender besteller inhaber kontoinhaber mieter vermieter
    bearbeiter betreuer verfasser zahler titular beneficiario remitente destinatario solicitante
    titulaire destinataire expediteur beneficiaire mittente
    """
)
_OF_THINGS: Final = names(
    """
    company companies firm organisation organization org corporation business employer vendor
    supplier brand manufacturer make product item article title model species genus breed
    city town country state county region province place station airport street road hotel
    restaurant venue club team league school university college hospital department dept
    project file column table field variable event movie film song album book game show
    channel category type group class ship vessel car plane drug disease gene protein store
    shop branch bank currency language color colour food dish wine beer building park lake
    river mountain island domain host server device app campaign
    firma marke produkt artikel stadt ort land verein ville pays ciudad pais azienda societe
    empresa
    """
)
_PART: Final = r"\p{Lu}[\p{L}'\x{2019}.-]*"
_BETWEEN: Final = (
    "(?:van|von|de|der|den|del|della|di|da|do|dos|du|la|le|el|al|bin|bint|ibn|ben|zu|y|e|ter|ten)"
)
_NO_CASE: Final = (
    r"[\p{Arabic}\p{Devanagari}\p{Thai}\p{Hebrew}\p{Bengali}\p{Tamil}]{2,}"
    r"( [\p{Arabic}\p{Devanagari}\p{Thai}\p{Hebrew}\p{Bengali}\p{Tamil}]{2,}){1,3}"
)
TWO_NAMES: Final = (
    rf"^{_NO_CASE}$|{HAN}|{HANGUL}|^{_PART},? (?:(?:{_PART}|{_BETWEEN}),? ){{0,4}}{_PART}$"
)
_TWO_OR_THREE: Final = rf"^{_PART},? (?:(?:{_PART}|{_BETWEEN}) ){{0,2}}{_PART}$"
_FIRMS: Final = (
    r"(?i)\b(inc|ltd|llc|gmbh|ag|kg|corp|co|company|plc|s\.?a|srl|bv|nv|group|bank|university|"
    r"school|hospital|hotel|club|airport|station|street|park|city|county|island|lake|fc|"
    r"ab|oy|aps|hb|ltda|pty|kft|sarl|spa|"
    r"calle|avenida|plaza|paseo|rua|travessa|via|viale|piazza|rue|boulevard|allee|strasse|weg|"
    r"road|lane|drive|avenue|blvd|square)\b\.?"
)
_TITLES: Final = (
    r"(?i)\b(mr|mrs|ms|miss|dr|prof|herr|frau|mme|mlle|sir|sr|sra|señor|señora|sig)\b\.?"
)
_BIRTH: Final = names(
    """
    birth birthdate birthday dob born geburtsdatum geburtstag geboren naissance nacimiento
    nascimento nascita geboortedatum fodselsdato fodelsedatum geb gebdat gebdatum geburt nac
    """
)
_POINT: Final = r"^\(?-?[0-9]{1,2}\.[0-9]{2,}[,; ]\s*-?[0-9]{1,3}\.[0-9]{2,}\)?$"
"""Latitude and longitude in one text."""
_HOME: Final = names(
    "street address addr strasse anschrift adresse direccion domicilio endereco indirizzo adres rue"
)
_SOME, _SURE_TWO = 0.12, 0.7
"""Of names of persons at least so many begin with a common first name, and have two parts."""
_FEW_FIRMS: Final = 0.05
_DIGITS: Final = 0.5
"""Of texts that have some: then they are months (`Jan-24`) and the like."""
_EASTERN: Final = "\u2e80"
"""The first sign of Chinese, Japanese and Korean."""
_ENOUGH, _REPEATED = 10, 5
"""Values that a role must have, and how often each may come."""
_PLACES: Final = names("san santa santo saint sankt st sao fort port mount lake new los las el")
"""Before the names of saints and founders, in names of places."""


def person(prop: Property, texts: pa.Array | None, *, people: bool) -> Found | None:
    """Return what speaks for names of persons in a text column.

    A name that leaves no doubt is enough. One that things have as well, or that of a role, needs
    values that look like names: common first names, or where the records are about persons or
    the column is named after a role, two or three words with capitals, hardly any twice. In
    records about persons such values are enough. A column that is said to be of things is none,
    whatever they are called after.
    """
    spoken = words(prop.name)
    said = set(spoken)
    clear = bool(_CLEAR.search("_".join(spoken))) or prop.name.lower() in _NATIVE
    titles, first, two = share(texts, _TITLES), first_names(texts), share(texts, TWO_NAMES)
    things = share(texts, _FIRMS)
    firms = things > _FEW_FIRMS
    like_names = (first > 0.3 and two > 0.5 and things < first) or (
        first > _SOME and two > _SURE_TWO and not firms
    )
    shaped = (people or bool(said & _ROLES)) and not firms and _differ_as_names(prop, texts)
    called = bool(said & (_NAME_WORDS | _ROLES | PERSON_WORDS))
    by_values = called and (titles > 0.5 or like_names or shaped)
    by_values = by_values or (people and like_names and two > _SURE_TWO)
    by_values = (by_values or (titles > 0.8 and two > 0.2)) and not said & _OF_THINGS
    if not clear and not by_values:
        return None
    told = ["its name"] if clear or called else []
    told += [f"{first:.0%} have a common name of persons"] if first > 0.1 else []
    told += [f"{titles:.0%} have a title"] if titles > 0.1 else []
    told += [f"{two:.0%} have the form of a name"] if two > 0.1 and not clear else []
    why = "Names a person; sameness is all that analysis needs."
    return Found("name of a person", ", ".join(told), "restricted", "pseudonymize", why)


def _differ_as_names(prop: Property, texts: pa.Array | None) -> bool:
    """Whether texts are two or three words with capitals each, and many different ones."""
    if texts is None or len(texts) < _ENOUGH or prop.distinct * _REPEATED < len(texts):
        return False
    return share(texts, _TWO_OR_THREE) > _SURE_TWO


def may_be_persons(prop: Property, texts: pa.Array) -> bool:
    """Whether values look like names of persons, though the column's name does not say so."""
    said = set(words(prop.name))
    if said & _OF_THINGS or share(texts, "[0-9]") > _DIGITS:
        return False
    first = first_names(texts)
    named = first > (0.1 if said & _NAME_WORDS else 0.5)
    if said & _NAME_WORDS and share(texts, r"^\P{Latin}+$") > _SURE_TWO:  # few of these are known
        named = named or _differ_as_names(prop, texts)
    like = first > _SOME or bool(said & (_ROLES | PERSON_WORDS))
    return named or (like and share(texts, TWO_NAMES) > _SURE_TWO)


def first_names(texts: pa.Array | Sequence[str] | None) -> float:
    """Return which share of texts has a common name among its first three words."""
    if texts is None or not len(texts):
        return 0.0
    listed = texts[:2000].to_pylist() if isinstance(texts, pa.Array) else texts[:2000]
    some = [re.split(r"[\s,.;()'-]+", _plain(text))[:3] for text in listed]
    found = sum(1 for t in some if _is_named(t)) / len(some)
    eastern = [text for text in listed if text and max(text) >= _EASTERN]
    signs = share(pa.array(eastern, pa.string()), f"{HAN}|{HANGUL}") * len(eastern) / len(listed)
    return max(found, signs)


def _is_named(spoken: Sequence[str]) -> bool:
    named = not _first_names().isdisjoint(spoken) or any(word.endswith(ENDINGS) for word in spoken)
    return named and spoken[0] not in _PLACES


@cache
def _first_names() -> frozenset[str]:
    return frozenset(map(_plain, FIRST_NAMES))


def _plain(text: str) -> str:
    """Return a text in small letters, without marks on them."""
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parted if not unicodedata.combining(c)).lower()


def names_persons(texts: pa.Array) -> bool:
    """Whether some texts begin with a common first name: such values are quoted nowhere."""
    return first_names(texts) > 0.01


def birth(said: set[str], logical: str) -> Found | None:
    """Return what speaks for a day of birth."""
    if not said & _BIRTH or said & {"weight", "rate", "order", "place"}:
        return None
    why = "With a place and a sex a day of birth singles out most people; the year does not."
    if logical in ("date", "timestamp"):
        return Found(
            "date of birth", "its name", "confidential", "generalize", why, (("to", "year"),)
        )
    if logical == "string":
        return Found("date of birth", "its name", "confidential", "pseudonymize", why)
    return None


def place(said: set[str], prop: Property) -> Found | None:
    """Return what speaks for where a person is or lives; ask only of records about persons."""
    why = "Where a person is or lives; this much tells the region, and not the house."
    told = "its name, beside other columns about persons"
    if prop.logical == "number" and prop.physical is None and is_coordinate(prop.name):
        return Found("place of a person", told, "confidential", "generalize", why, (("step", 0.1),))
    if prop.logical == "string" and share(texts_of(prop), _POINT) > _SURE_TWO:
        why = "Where a person is, to the metre; the whole is sameness enough."
        return Found("place of a person", told, "restricted", "pseudonymize", why)
    if prop.logical == "string" and said & _HOME and not said & {"ip", "mac"}:
        return Found("postal address", told, "restricted", "drop", "A home; no analysis needs it.")
    if prop.logical == "string" and said & {"zip", "zipcode", "postcode", "postal", "plz"}:
        return Found("postal code", told, "confidential", "generalize", why, (("prefix", 3),))
    return None


def is_coordinate(name: str) -> bool:
    """Whether a name is that of a latitude or longitude."""
    return bool(set(words(name)) & {"lat", "latitude", "lon", "lng", "long", "longitude"})


def identity(spoken: list[str], prop: Property) -> Found | None:
    """Return what speaks for an identifier that a system made up for a person."""
    if len(spoken) < 2 or spoken[-1] not in ("id", "uuid", "key", "number", "no"):
        return None
    if not set(spoken) & (PERSON_WORDS | {"device", "session", "cookie", "account"}):
        return None
    why = (
        "An identifier that a system made up for a person: personal data, kept since tables are "
        "joined by it. Where it is a login or an e-mail, pseudonymize it."
    )
    if prop.logical not in ("string", "integer"):
        return None
    return Found("identifier of a person", "its name", "confidential", "keep", why)
