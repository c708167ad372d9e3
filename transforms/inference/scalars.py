"""The type of a scalar field, by reading all of its values as decode would."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column
from schemas.contract_forms import strptime_forms
from schemas.functions import names
from transforms.decode.casts import cast_text
from transforms.decode.text_times import dates, timestamps
from transforms.inference.fields import Field, Kind
from transforms.inference.names import words
from transforms.inference.properties import Property
from transforms.inference.times import form_of, is_compact_date, part_of_time

TEXT_IDS: Final = names(
    """
    zip zipcode postal postcode plz phone tel mobile fax ssn isbn iban account fips sku card
    ean upc barcode cusip isin
    """
)
"""Digits that are no numbers: a zero may lead them tomorrow."""
_MONEY: Final = names(
    """
    price amount cost fee balance salary revenue payment tax subtotal tip fare usd eur
    gbp charge refund discount spend budget sales profit income wage wages receipts gross cash
    debt debts loan loans
    """
)
_SUMS: Final = names("order orders invoice grand cart basket line sub net bill sum")
"""With one of these, or alone, a total is one of money."""
_TIME_WORDS: Final = names(
    """
    time timestamp ts date datetime created updated epoch at modified unixtime when day dt
    start end started ended occurred received sent seen login
    """
)
_EPOCHS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SINCE, _UNTIL = 946_684_800, 2_208_988_800  # 2000 to 2040
_FORMATS: Final = {
    "uri": r"^(https?|ftp|s3|gs)://\S+$",
    "uuid": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "email": r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    "ipv4": r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$",
}
_BEYOND: Final = "integers beyond 64 bits: exact"
_WHOLE: Final = "all are whole so far: an integer, perhaps"
_POINTED: Final = "whole numbers written as 3.0, as pandas writes those beside gaps: "
_IN_CSV: Final = f"{_POINTED}a run takes none of these for an integer"
_IN_JSON: Final = f"{_POINTED}an integer, if none may have a fraction, as a run reads these"
_ID_IN_JSON: Final = f"{_POINTED}an integer, since it is an identifier, and a run reads these"
_CURRENCY: Final = (
    r"[$€£¥₹]|R\$|US\$|\b(?:CHF|USD|EUR|GBP|JPY|CAD|AUD|CNY|INR|SEK|NOK|DKK|PLN|kr|zł)\b"
)
_AMOUNT: Final = rf"^-?({_CURRENCY})\s?-?[0-9][0-9.,' ]*$|^-?[0-9][0-9.,' ]*?\s?({_CURRENCY})$"
_ACCOUNTED: Final = r"^\([$€£¥]? ?[0-9][0-9.,']*\)$|^[$€£¥]? ?[0-9][0-9.,']*$"
_CURRENCIES: Final = 12
_SEEN: Final = 20
_FEW: Final = 0.05
MEASURED: Final = ("integer", "number")


@dataclass(frozen=True)
class _Said:
    """What the values of a field are."""

    logical: str
    notes: tuple[str, ...] = ()
    physical: str | None = None
    options: tuple[tuple[str, object], ...] = ()
    epoch: str | None = None


def scalar(field: Field, name: str, inside: str = "") -> Property | None:
    """Return the property of a scalar field; None if the contract cannot have it.

    Args:
        field: `values` may be None inside arrays: then its kind is all that is known.
        name: Of the property.
        inside: Names of the objects that it is in, which say what it is, too: `at.ms` is a time.
    """
    said = _said(field, f"{inside} {name}")
    if said is None:
        return None
    if said.notes == (_ID_IN_JSON,):
        plain = pc.replace_substring_regex(field.values, r"\.0$", "")
        field = replace(field, values=plain)
    values = field.values
    distinct = -1 if values is None else _distinct(values)
    return Property(
        name=name,
        key=field.key,
        logical=said.logical,
        physical=said.physical,
        options=dict(said.options),
        epoch=said.epoch,
        notes=(*([field.note] if field.note else ()), *said.notes),
        distinct=distinct,
        field=field,
    )


def _distinct(values: pa.Array) -> int:
    series: Any = pl.from_arrow(values)  # Arrow counts decimals and nulls not
    return int(series.drop_nulls().n_unique())


def _said(field: Field, name: str) -> _Said | None:
    if field.values is None:
        logical = {Kind.NOTHING: "string", Kind.TEXT: "string"}.get(field.kind, str(field.kind))
        return None if field.kind in (Kind.OTHER, Kind.MIXED) else _Said(logical)
    values = field.values.drop_null()
    kind = values.type
    if not len(values) and (pa.types.is_string(kind) or pa.types.is_null(kind)):
        return _Said("string", ("no value in the sample: the type is a guess",))
    if not pa.types.is_string(kind):
        return _typed(field.kind, values, name)
    if field.kind is Kind.TEXT:
        return _text(values)
    if field.kind is Kind.BOOLEAN:
        return _Said("boolean")
    return _json_number(field.kind, values, name)


def text_said(field: Field, prop: Property) -> Property:
    """Read the text of a CSV field as more than text, where all of it can be."""
    if field.values is None or prop.logical != "string" or field.kind is not Kind.TEXT:
        return prop
    values = field.values.drop_null()
    if not len(values):
        return prop
    said = _csv(values, prop.name)
    if said is not None and said.logical in MEASURED and not field.numbers:
        note = "numbers, but not as others of the file are written: text"
        said = _Said("string", (note,))
    if said is None:
        return replace(prop, notes=(*prop.notes, *_empty(values)))
    return replace(
        prop,
        logical=said.logical,
        physical=said.physical,
        options=dict(said.options),
        epoch=said.epoch,
        notes=(*([field.written] if field.written else []), *said.notes),
    )


def _empty(texts: pa.Array) -> tuple[str, ...]:
    """Say that texts are empty in quotes, which is no null, and what the others are."""
    filled = texts.filter(pc.not_equal(texts, ""))
    number = len(texts) - len(filled)
    if not number:
        return ()
    told = f"empty in {number:,} of {len(texts):,}, in quotes: no null"
    numbers = len(filled) and _reads(filled, "number", pa.float64())
    return (f"{told}; the others are numbers" if numbers else told,)


def _csv(texts: pa.Array, name: str) -> _Said | None:
    if _reads(texts, "boolean", pa.bool_()):
        return _Said("boolean")
    if pc.all(pc.match_substring_regex(texts, "^-?[0-9]+$")).as_py():
        return _digits(texts, name)
    return _number(texts, name) if _reads(texts, "number", pa.float64()) else _almost(texts)


def _digits(texts: pa.Array, name: str) -> _Said:
    zeros = pc.sum(pc.match_substring_regex(texts, "^-?0[0-9]")).as_py()
    spoken = set(words(name))
    if zeros:
        note = (
            f"text: {zeros:,} of {len(texts):,} values begin with a zero that a number would lose"
        )
        return _Said("string", (note,))
    if spoken & TEXT_IDS:
        return _Said("string", ("text: digits that name something, and no number",))
    if not _reads(texts, "integer", pa.int64()):
        return _Said("string", ("text: digits beyond 64 bits",))
    if spoken & {"date", "day", "dt", "datum", "yyyymmdd"} and is_compact_date(texts):
        return _Said("date", ("days written as yyyyMMdd",), options=(("format", "yyyyMMdd"),))
    return _integer(texts.cast(pa.int64()), name)


def _integer(values: pa.Array, name: str) -> _Said:
    ends = pc.min_max(values).as_py()
    low, high = ends["min"], ends["max"]
    if low is not None and set(words(name)) & _TIME_WORDS:
        for unit, factor in _EPOCHS.items():
            if _SINCE * factor <= low and high < _UNTIL * factor:
                long = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
                note = f"{long.get(unit, 'nanoseconds')} since 1970, by name and size"
                return _Said("integer", (note,), epoch=unit)
    return _Said("integer")


def _number(texts: pa.Array, name: str) -> _Said:
    fraction = pc.match_substring_regex(texts, r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$")
    if is_money(name) and pc.all(fraction).as_py():
        return _Said("number", ("money, by its name: exact",), physical="DECIMAL(18,4)")
    return _Said("number", _whole(texts, _IN_CSV))


def is_money(name: str) -> bool:
    """Whether a name is one of money."""
    spoken = set(words(name))
    return bool(spoken & _MONEY) or ("total" in spoken and not spoken - _SUMS - {"total"})


def _whole(texts: pa.Array, pointed: str) -> tuple[str, ...]:
    """Say of numbers that all are whole, and in another way if all are written as 3.0."""
    if _all(texts, r"^-?[0-9]+\.0$"):
        return (pointed,)
    return (_WHOLE,) if _all(texts, r"^-?[0-9]+(\.0+)?$") else ()


def _all(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _json_number(kind: Kind, texts: pa.Array, name: str) -> _Said:
    if kind is Kind.INTEGER and _reads(texts, "integer", pa.int64()):
        return _integer(texts.cast(pa.int64()), name)
    if pc.all(pc.match_substring_regex(texts, "^-?[0-9]{1,38}$")).as_py():
        return _Said("number", (_BEYOND,), physical="DECIMAL(38,0)")
    if is_money(name):
        return _number(texts, name)
    notes = _whole(texts, _IN_JSON) if kind is Kind.NUMBER else ()
    spoken = words(name)
    if notes == (_IN_JSON,) and spoken and spoken[-1] in ("id", "no", "number", "key"):
        return _Said("integer", (_ID_IN_JSON,))
    return _Said("number", notes)


def _almost(texts: pa.Array) -> _Said | None:
    """Say of texts that they are numbers to people, written in another way than the file's."""
    if signs := _currencies(texts):
        told = f"amounts in several currencies ({', '.join(signs)}): text, since a number alone "
        return _Said("string", (f"{told}would lose which; derive the number and the currency",))
    for pattern, what in (
        (r"^[$€£¥]\s?-?[0-9][0-9,.]*$|^-?[0-9][0-9,.]*\s?[$€£¥]$", "amounts with a currency"),
        (r"^-?[0-9]+([.,][0-9]+)?\s?%$", "percentages with their sign"),
        (r"^-?[0-9][0-9.,' ]*$", "numbers with other marks"),
        (_ACCOUNTED, "numbers, negative ones in brackets, as accountants write them"),
    ):
        if _all(texts, pattern):
            return _Said("string", (f"{what}: text, since the file has one way of writing them",))
    others = pc.sum(pc.invert(pc.match_substring_regex(texts, r"^-?[0-9]+(\.[0-9]+)?$"))).as_py()
    if 0 < others <= _FEW * len(texts):
        found = f"all but {others:,} of {len(texts):,} values are numbers"
        return _Said("string", (f"{found}: text, so that none is refused",))
    return None


def _currencies(texts: pa.Array) -> list[str]:
    """Return the signs of currencies, if all texts are amounts with one and there are several."""
    if not _all(texts.slice(0, 200), _AMOUNT) or not _all(texts, _AMOUNT):
        return []
    signs = pc.utf8_trim(pc.replace_substring_regex(texts, r"[0-9.,'\s-]", ""), " ")
    found = sorted(pc.unique(signs).to_pylist())
    return found if 1 < len(found) <= _CURRENCIES else []


def _text(texts: pa.Array) -> _Said:
    if form := form_of(texts):
        notes = []
        if form.other:
            notes.append(f"day and month may be the other way round: {form.other} reads all, too")
        if form.logical == "timestamp" and not form.zoned:
            notes.append("no zone in the texts: taken as UTC; else set defaultTimezone")
        options: tuple[tuple[str, object], ...] = (
            (("format", form.pattern),) if form.pattern else ()
        )
        if form.logical == "timestamp" and not form.zoned:
            options += (("timezone", False), ("defaultTimezone", "UTC"))
        return _Said(form.logical, tuple(notes), options=options)
    if said := part_of_time(texts):
        return _Said("string", (said,))
    for what, pattern in _FORMATS.items():
        if len(texts) >= _SEEN and pc.all(pc.match_substring_regex(texts, pattern)).as_py():
            return _Said("string", options=(("format", what),))
    head = texts.slice(0, 200)
    words_alone = r"^(?i:yes|no|y|n|t|f|on|off)$"
    if _all(head, words_alone) and _all(texts, words_alone):
        return _Said("string", ("yes or no in words: text, unless a CSV source has both",))
    if pc.all(pc.match_substring_regex(head, r"^\s*[\[{].*[\]}]\s*$")).as_py():
        return _Said("string", ("JSON inside text: left as it is",))
    if pc.all(pc.match_substring_regex(texts, r"^[$€£¥]?-?[0-9][0-9.,]*%?$")).as_py():
        return _Said("string", ("numbers as texts: text, since that is what the file has",))
    return _Said("string")


def _typed(kind: Kind, values: pa.Array, name: str) -> _Said | None:
    at = values.type
    if kind is Kind.DECIMAL:
        if pa.types.is_decimal128(at) and 0 <= at.scale <= at.precision:
            return _Said("number", physical=f"DECIMAL({at.precision},{at.scale})")
        return _Said("number")
    if kind is Kind.INTEGER:
        if pa.types.is_uint64(at) and len(values) and pc.max(values).as_py() >= 1 << 63:
            return _Said("number", (_BEYOND,), physical="DECIMAL(38,0)")
        return _integer(values.cast(pa.int64()), name)
    if kind is Kind.TIMESTAMP:
        if at.tz is None:
            notes = ("no zone in the file: taken as UTC; else set defaultTimezone",)
            options = (("timezone", False), ("defaultTimezone", "UTC"))
            return _Said("timestamp", notes, options=options)
        return _Said("timestamp")
    if kind in (Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.TIME):
        return _Said(str(kind))
    return None


def _reads(texts: pa.Array, logical: str, kind: pa.DataType) -> bool:
    column = Column(name="", path="", type=kind, logical=logical)
    head = cast_text(texts.slice(0, 1000), column)
    return head.bad is None and cast_text(texts, column).bad is None


def micros(prop: Property) -> pa.Array | None:
    """Return the times that a property holds (us, UTC) where it is a timestamp or a day."""
    if prop.field is None or prop.field.values is None:
        return None
    values = prop.field.values.drop_null()
    if prop.epoch:
        whole = values.cast(pa.int64())
        factor = _EPOCHS[prop.epoch]
        if factor > 10**6:
            return pc.divide(whole, factor // 10**6)
        return pc.multiply(whole, 10**6 // factor)
    if prop.logical not in ("timestamp", "date"):
        return None
    if pa.types.is_string(values.type):
        pattern = str(prop.options.get("format", ""))
        forms = strptime_forms(pattern, prop.logical) if pattern else ()
        assert not isinstance(forms, str)  # noqa: S101  # it was chosen since it reads
        values = timestamps(values, forms) if prop.logical == "timestamp" else dates(values, forms)
    return values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
