"""Dates and times as people write them, a column at a time; unreadable text becomes null.

ISO 8601 is `2026-01-31T09:30[:00[.fraction]][Z|+09[[:]00]]` with `T`, `t` or a space; a fraction
has one to nine digits, of which the seventh and on are cut off. Other forms are strptime-like
(`%Y %y %m %b %B %d %j %a %A %H %I %M %S %p %z %f`), fields zero-padded, names in English; `%-m`,
`%-d`, `%-H` and `%-I` need no zero.
"""

from __future__ import annotations

import calendar
import re
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import TIMESTAMP

_DAY_US: Final = 86_400_000_000
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Years 1 to 9999, which is what Python and the warehouses can show."""

_DATE: Final = (
    r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-"
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE: Final = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_ZONED: Final = f"^{_DATE}[T ]{_TIME}{_ZONE}$"  # Arrow reads exactly these, and more
_MANY: Final = 64
_TEXTS: Final = 2048
_WIDTHS: Final = (20, *range(22, 28))
_FIELDS: Final = {
    "Y": r"(?P<Y>[0-9]{4})", "y": r"(?P<y>[0-9]{2})", "m": r"(?P<m>[0-9]{2})",
    "d": r"(?P<d>[0-9]{2})", "j": r"(?P<j>[0-9]{3})", "H": r"(?P<H>[0-9]{2})",
    "I": r"(?P<I>[0-9]{2})", "M": r"(?P<M>[0-9]{2})", "S": r"(?P<S>[0-9]{2})",
    "f": r"(?P<f>[0-9]{1,6})", "p": r"(?P<p>[AaPp][Mm])",
    "z": r"(?P<z>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)",
    **{f"-{code}": f"(?P<{code}>[0-9]{{1,2}})" for code in "mdHI"},
}  # fmt: skip
_ISO_DATE: Final = f"{_FIELDS['Y']}-{_FIELDS['m']}-{_FIELDS['d']}"
_ISO_TIME: Final = rf"{_FIELDS['H']}:{_FIELDS['M']}(?::{_FIELDS['S']}(?:\.(?P<f>[0-9]{{1,9}}))?)?"
_ISO: Final = f"^{_ISO_DATE}[Tt ]{_ISO_TIME}{_FIELDS['z']}?$"


def timestamps(texts: pa.Array, forms: tuple[str, ...] = (), timezone: str = "UTC") -> pa.Array:
    """Read timestamps.

    Args:
        texts: pa.string().
        forms: Forms to try in order; ISO 8601 if there are none.
        timezone: IANA name of the zone of texts that name none. Of a local time that a clock
            shows twice the earlier is meant; one that it never shows is unreadable.

    Returns:
        timestamp[us, UTC]; null where the text is null or unreadable, or not in years 1 to 9999.
    """
    if forms:
        return _first_of(
            [_instants(texts, form_pattern(form), timezone) for form in forms], TIMESTAMP
        )
    alike = _alike(texts)
    if alike is not None:
        rows, read = alike
        if rows.all():
            return _in_range(read)
        others = pa.array(~rows)
        spread = pa.array(np.cumsum(rows) - 1, mask=~rows)
        return pc.replace_with_mask(
            _in_range(read).take(spread), others, timestamps(texts.filter(others), (), timezone)
        )
    simple = pc.match_substring_regex(texts, _ZONED)
    if pc.all(simple, min_count=0).as_py():
        return _in_range(pc.cast(texts, TIMESTAMP))
    simple = pc.fill_null(simple, fill_value=False)
    fast = pc.cast(pc.if_else(simple, texts, None), TIMESTAMP)
    rest = _instants(texts.filter(pc.invert(simple)), _ISO, timezone)
    return _in_range(pc.replace_with_mask(fast, pc.invert(simple), rest))


def _alike(texts: pa.Array) -> tuple[np.ndarray, pa.Array] | None:
    """Read texts of the most common form, `2026-01-31T09:30:00[.123456]Z`, without a search.

    Returns:
        Which rows have the length of the first one, and their timestamps; None if those are few
        or not all of that form.
    """
    if len(texts) < _MANY or texts.null_count:
        return None
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    width = int(offsets[1] - offsets[0])
    rows = np.diff(offsets) == width
    if width not in _WIDTHS or np.count_nonzero(rows) < len(texts) - len(texts) // 8:
        return None
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    items = np.ndarray((len(data) - width + 1,), f"V{width}", data, 0, (1,))[offsets[:-1][rows]]
    if not _has_form(items.view(np.uint8), width):
        return None
    edges = pa.py_buffer(np.arange(0, (len(items) + 1) * width, width, dtype=np.int32))
    plain = pa.StringArray.from_buffers(len(items), edges, pa.py_buffer(items))
    try:
        return rows, pc.cast(plain, TIMESTAMP)
    except pa.ArrowInvalid:  # a month 13, for example: look at each
        return None


def _has_form(letters: np.ndarray, width: int) -> bool:
    """Whether texts of equal width, one behind the other, have digits and marks in their places."""
    low, span = _form_of(width)
    for at in range(0, len(letters), len(low)):
        some = letters[at : at + len(low)]
        if (some - low[: len(some)] > span[: len(some)]).any():
            return False
    return True


@cache
def _form_of(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Least byte of each place, and how far it may be from that; for many texts in a row."""
    form = b"0000-00-00T00:00:00.000000Z"
    form = form[: width - 1] + b"Z" if width > 20 else form[:19] + b"Z"
    low = np.tile(np.frombuffer(form, np.uint8), _TEXTS)
    return low, np.where(low == ord("0"), np.uint8(9), np.uint8(0))


def dates(texts: pa.Array, forms: tuple[str, ...] = ()) -> pa.Array:
    """Read dates (date32) of years 1 to 9999; null where the text is null or unreadable."""
    forms = tuple(map(form_pattern, forms)) or (f"^{_ISO_DATE}$",)
    kind = pa.date32()
    return _first_of([_masked(*_days(_parts(texts, form)), kind) for form in forms], kind)


def times(texts: pa.Array, forms: tuple[str, ...] = ()) -> pa.Array:
    """Read times of day without a zone (time64[us]); null where null or unreadable."""
    forms = tuple(map(form_pattern, forms)) or (f"^{_ISO_TIME}$",)
    kind = pa.time64("us")
    return _first_of([_masked(*_clock(_parts(texts, form)), kind) for form in forms], kind)


def _first_of(tries: list[pa.Array], kind: pa.DataType) -> pa.Array:
    return pc.coalesce(*tries) if tries else pa.nulls(0, kind)


def _masked(values: np.ndarray, good: np.ndarray, kind: pa.DataType) -> pa.Array:
    whole = values.astype(np.int32) if kind == pa.date32() else values
    return pa.array(whole, mask=~good).cast(kind)


def _in_range(instants: pa.Array) -> pa.Array:
    us = instants.cast(pa.int64())
    good = pc.and_(pc.greater_equal(us, _FIRST), pc.less_equal(us, _LAST))
    return instants if pc.all(good, min_count=0).as_py() else pc.if_else(good, instants, None)


@cache
def form_pattern(form: str) -> str:
    """Return what a text of a strptime form is, as a regular expression."""
    out, codes = "", iter(re.split(r"%(-?.)", form))
    for literal in codes:
        out += re.escape(literal)
        code = next(codes, None)
        if code in _FIELDS:
            out += _FIELDS[code]
        elif code in ("b", "B", "a", "A"):
            out += f"(?P<{code}>{'|'.join(_names(code))})"
        elif code is not None:
            out += re.escape(code)
    return f"^{out}$"


def _names(code: str) -> list[str]:
    months = calendar.month_name[1:] if code == "B" else calendar.month_abbr[1:]
    days = list(calendar.day_name) if code == "A" else list(calendar.day_abbr)
    return months if code in ("b", "B") else days


def _parts(texts: pa.Array, form: str) -> dict[str, pa.Array]:
    """Named groups as strings, `` where optional and absent; null where the form does not fit."""
    found = pc.extract_regex(texts, form)
    names = [found.type.field(i).name for i in range(found.type.num_fields)]
    return dict(zip(names, found.flatten(), strict=True))


def _number(parts: dict[str, pa.Array], code: str, default: int = 0) -> np.ndarray:
    if code not in parts:
        return np.full(len(next(iter(parts.values()))), default)
    text = pc.fill_null(parts[code], str(default))
    text = pc.if_else(pc.equal(text, ""), str(default), text)
    return pc.cast(text, pa.int64()).to_numpy(zero_copy_only=False)


def _days(parts: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Days since the epoch, and which rows name a day."""
    good = next(iter(parts.values())).is_valid().to_numpy(zero_copy_only=False)
    if "Y" in parts:
        year = _number(parts, "Y", 1)
    else:  # POSIX: 69 to 99 are of the twentieth century
        year = _number(parts, "y")
        year = year + np.where(year >= 69, 1900, 2000)
    good = good & (year >= 1)
    start = (year - 1970).astype("M8[Y]").astype("M8[D]")
    if "j" in parts:
        day = start + (_number(parts, "j", 1) - 1)
        good &= day.astype("M8[Y]") == start.astype("M8[Y]")
        return day.astype(np.int64), good
    month = _month(parts)
    first = start.astype("M8[M]") + (np.clip(month, 1, 12) - 1)
    day = first.astype("M8[D]") + (_number(parts, "d", 1) - 1)
    good &= (month >= 1) & (month <= 12) & (day.astype("M8[M]") == first)
    return day.astype(np.int64), good


def _month(parts: dict[str, pa.Array]) -> np.ndarray:
    for code in ("b", "B"):
        if code in parts:
            index = pc.index_in(parts[code], value_set=pa.array(_names(code)))
            return pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    return _number(parts, "m", 1)


def _clock(parts: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since midnight, and which rows name a time."""
    good = next(iter(parts.values())).is_valid().to_numpy(zero_copy_only=False)
    hour = _number(parts, "H")
    if "I" in parts:
        hour = _number(parts, "I", 12)
        good = good & (hour >= 1) & (hour <= 12)
        late = pc.equal(pc.utf8_lower(parts["p"]), "pm") if "p" in parts else None
        hour = hour % 12
        if late is not None:
            hour += 12 * pc.fill_null(late, fill_value=False).to_numpy(zero_copy_only=False)
    minute, second = _number(parts, "M"), _number(parts, "S")
    us = np.zeros(len(good), np.int64)
    if "f" in parts:
        digits = pc.utf8_slice_codeunits(pc.utf8_rpad(parts["f"], 6, "0"), 0, 6)
        us = _number({"f": digits}, "f")
    good = good & (hour < 24) & (minute < 60) & (second < 60)
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + us, good


def _instants(texts: pa.Array, form: str, timezone: str) -> pa.Array:
    parts = _parts(texts, form)
    days, good = _days(parts)
    clock, fits = _clock(parts)
    good &= fits
    local = np.where(good, days * _DAY_US + clock, 0)
    zoned = np.zeros(len(good), bool)
    if "z" in parts:
        text = pc.fill_null(parts["z"], "")
        zoned = pc.not_equal(text, "").to_numpy(zero_copy_only=False)
        shift, fits = _offset(text)
        good &= fits
        local -= shift
    if timezone != "UTC" and not zoned.all():
        naive = pa.array(local, mask=zoned).cast(pa.timestamp("us"))
        known = pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="earliest")
        real = pc.equal(pc.local_timestamp(known), naive)
        good &= pc.fill_null(real, fill_value=True).to_numpy(zero_copy_only=False)
        utc = pc.fill_null(known.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        local = np.where(zoned, local, utc)
    return _in_range(_masked(local, good, TIMESTAMP))


def _offset(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds east of Greenwich, and which are fewer than 24 hours; `Z` and `` are none."""
    parts = _parts(text, r"^(?P<s>[+-])(?P<H>[0-9]{2}):?(?P<M>[0-9]{2})?$")
    hour, minute = _number(parts, "H"), _number(parts, "M")
    sign = np.where(pc.fill_null(pc.equal(parts["s"], "-"), fill_value=False), -1, 1)
    return sign * (hour * 60 + minute) * 60_000_000, (hour < 24) & (minute < 60)
