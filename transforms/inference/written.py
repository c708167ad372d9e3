"""How a CSV file writes booleans and numbers, found out from all of its columns together.

One file has one way: a decimal comma in one column says what `1.234` is in another. A column that
is written otherwise stays text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column
from schemas.functions import names
from schemas.plan import Written
from transforms.decode.casts import cast_text
from transforms.decode.written_texts import plain

_TEXT: Final = Column(name="", path="", type=pa.string(), logical="string")
_BOOLEAN: Final = Column(name="", path="", type=pa.bool_(), logical="boolean")
_NUMBER: Final = Column(name="", path="", type=pa.float64(), logical="number")
_FAMILIES: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("yes", "y"), ("no", "n")),
    (("true", "t"), ("false", "f")),
    (("on",), ("off",)),
    (("ja",), ("nein",)),
    (("oui",), ("non",)),
    (("si", "sí"), ("no",)),
)
_MOST_WORDS: Final = 8
_CURRENCIES: Final = names("$ € £ ¥ ₹ R$ US$ kr zł CHF USD EUR GBP JPY")
_PERCENT: Final = "%"
_MARKS: Final = "[0-9.,' \u00a0\u202f-]"
_HEAD: Final = 200
_PLAIN: Final = r"^-?[0-9]*\.?[0-9]*$"
_INTEGER: Final = "^-?[0-9]+$"
_BY_THOUSANDS: Final = r"^-?([1-9][0-9]{0,2}(\.[0-9]{3})+|[0-9]+)$"
_WHOLE: Final = r"^[^0-9]*[0-9]+[^0-9]*$"
_SOME_PLAIN: Final = r"^[^0-9]*[0-9]+[^0-9]*$|[.,][0-9]{1,2}[^0-9]*$"
_LEADING: Final = "^[^0-9]*0[0-9]"
_GROUPS: Final = {".": ("", ",", " ", "'"), ",": ("", ".", " ", "'")}

_Marks = tuple[str, str]
"""What stands before decimals, and between thousands."""


@dataclass(frozen=True)
class _Numbers:
    """A column that is of numbers, however they are written.

    Attributes:
        texts: Without nulls.
        sign: That stands beside them; empty: none.
    """

    texts: pa.Array
    sign: str


def is_padded(columns: Sequence[pa.Array]) -> bool:
    """Whether a column begins, or ends, with spaces in all of its texts."""
    return any(_all(t, "^[ \t]") or _all(t, "[ \t]$") for t in columns if t.null_count < len(t))


def trimmed(texts: pa.Array) -> pa.Array:
    """Return texts without the spaces around them."""
    read, _ = plain(texts, _TEXT, Written(trim=True))
    return read


def written_of(columns: Sequence[pa.Array], delimiter: str) -> Written:
    """Return how a file has booleans and numbers.

    Args:
        columns: Texts of each; null where there is none.
        delimiter: A comma between fields speaks against a decimal comma.
    """
    known = [texts.drop_null() for texts in columns]
    known = [texts for texts in known if len(texts)]
    numbers = [found for texts in known if (found := _numbers_of(texts)) is not None]
    trues, falses = _words(known)
    return replace(_written(numbers, delimiter), trues=trues, falses=falses)


def undressed(texts: pa.Array, written: Written) -> tuple[pa.Array, str]:
    """Return the texts of a column as `true`, `false` or plain numbers, if all are such.

    Returns:
        The texts, and how they were written; as they came and nothing, if they are no others.
    """
    for column, note in (
        (_BOOLEAN, "true and false in other words, which the source names"),
        (_NUMBER, "numbers with marks or signs, which the source names: the number alone lands"),
    ):
        read, bad = plain(texts, column, written)
        if bad is None and not read.equals(texts) and cast_text(read, column).bad is None:
            return read, note
    return texts, ""


def reads_numbers(texts: pa.Array, written: Written) -> bool:
    """Whether all of a column could be numbers as a file writes them."""
    return plain(texts, _NUMBER, written).bad is None


def _words(columns: Sequence[pa.Array]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words for true and for false of the columns that have both."""
    trues: dict[str, str] = {}
    falses: dict[str, str] = {}
    for texts in columns:
        seen = pc.unique(texts.slice(0, _HEAD))
        if len(seen) > _MOST_WORDS or len(seen := pc.unique(texts)) > _MOST_WORDS:
            continue
        spoken = {text.lower(): text for text in seen.to_pylist()}
        for true, false in _FAMILIES:
            said = spoken.keys()
            if said <= {*true, *false} and said & {*true} and said & {*false}:
                trues |= {w: spoken[w] for w in true if w in spoken and w != "true"}
                falses |= {w: spoken[w] for w in false if w in spoken and w != "false"}
                break
    return tuple(trues.values()), tuple(falses.values())


def _numbers_of(texts: pa.Array) -> _Numbers | None:
    """Return a column if nothing but digits, marks and one sign is in it."""
    rest: set[str] = set()
    for some in (texts.slice(0, _HEAD), texts):
        if _all(some, _PLAIN):
            continue
        if not _all(some, "[0-9]"):
            return None
        rest = {*pc.unique(pc.replace_substring_regex(some, _MARKS, "")).to_pylist()} - {""}
        if len(rest) > 1 or not rest <= {*_CURRENCIES, _PERCENT}:
            return None
    if _any(texts, _LEADING):  # a number of something
        return None
    return _Numbers(texts, next(iter(rest), ""))


def _written(numbers: Sequence[_Numbers], delimiter: str) -> Written:
    """Choose the one way in which most columns of numbers are written."""
    found = [one.sign for one in numbers if one.sign]
    money = sorted({s for s in found if s != _PERCENT}, key=lambda s: (-found.count(s), s))
    signs = (*money[:1], _PERCENT)  # of two currencies none is taken for the other
    numbers = [one for one in numbers if one.sign in ("", *signs)]
    ways = {
        (decimal, group): Written(decimal=decimal, thousands=group, signs=signs)
        for decimal, groups in _GROUPS.items()
        for group in groups
    }
    dressed = {
        i: {marks for marks in ways if _reads(one.texts, ways[marks])}
        for i, one in enumerate(numbers)
        if not _all(one.texts, _PLAIN)
    }
    if not any(dressed.values()):  # plain numbers, dates and the like
        return Written()
    reads = [
        dressed[i] if i in dressed else _reading_plain(one.texts) for i, one in enumerate(numbers)
    ]
    marks = _marks(numbers, reads, delimiter)
    used = {one.sign for one, read in zip(numbers, reads, strict=True) if marks in read}
    return replace(ways[marks], signs=tuple(sign for sign in signs if sign in used))


def _marks(numbers: Sequence[_Numbers], reads: Sequence[set[_Marks]], delimiter: str) -> _Marks:
    """Choose what stands before decimals, then what stands between thousands."""
    decimals = [{decimal for decimal, _ in found} for found in reads]
    points, commas = decimals.count({"."}), decimals.count({","})
    decimal = "," if commas > points else "."
    votes: Counter[str] = Counter()
    for one, found in zip(numbers, reads, strict=True):
        groups = {group for mark, group in found if mark == decimal}
        # A telephone number has spaces in each of its values, and as many.
        if "" not in groups and (groups != {" "} or _any(one.texts, _SOME_PLAIN)):
            votes.update(groups)
    group = max(votes, key=votes.__getitem__, default="")
    if decimal == "." and group == "," and not points and delimiter != ",":
        # `1,234`: 1234 if numbers below a thousand have no comma; with three decimals all have.
        some = [
            one.texts
            for one, found in zip(numbers, reads, strict=True)
            if (".", ",") in found and (".", "") not in found
        ]
        group = group if any(_any(texts, _WHOLE) for texts in some) else ""
    return decimal, group


def _reading_plain(texts: pa.Array) -> set[_Marks]:
    """Return which marks plain numbers could be read by, too."""
    found = {(".", group) for group in _GROUPS["."]}
    if _all(texts, _INTEGER):
        return found | {(",", group) for group in _GROUPS[","]}
    return found | ({(",", ".")} if _all(texts, _BY_THOUSANDS) else set())


def _reads(texts: pa.Array, way: Written) -> bool:
    for some in (texts.slice(0, _HEAD), texts):
        read, bad = plain(some, _NUMBER, way)
        if bad is not None or cast_text(read, _NUMBER).bad is not None:
            return False
    return True


def _all(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _any(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())
