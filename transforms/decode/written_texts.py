"""Fields with spaces, booleans in words, numbers with marks: as the plain texts that `casts` reads.

Strict as casts are: groups are of three digits, a sign stands once at an end, and a text that is
written otherwise does not fit. `1,234.50`, `$5`, `-$5`, `$-5`, `12 %` are numbers; `1,23`, `$5 %`
of a file without such signs are none.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column
from schemas.plan import Written
from transforms.decode.casts import Cast, expected

_SPACES: Final = " \u00a0\u202f"
_AROUND: Final = f"{_SPACES}\t"
_PLAIN: Final = Written()


def plain(texts: pa.Array, column: Column, written: Written) -> Cast:
    """Return texts of a column as `cast_text` reads them, and which are written otherwise.

    Where fields are trimmed, one of nothing but spaces is null.

    Args:
        texts: `pa.string()`.
        column: Of any scalar type.
        written: How the file has them.
    """
    if written == _PLAIN:
        return Cast(texts, None)
    if written.trim:
        bare = pc.utf8_trim(texts, _AROUND)
        blank = pc.and_(pc.equal(bare, ""), pc.not_equal(texts, ""))
        texts = pc.if_else(blank, None, bare)
    if pa.types.is_boolean(column.type):
        return Cast(_words(texts, written), None)
    if column.logical in ("integer", "number") and _dresses(written):
        return _numbers(texts, written)
    return Cast(texts, None)


def expected_as_written(column: Column, written: Written) -> str:
    """Say what a value must be, for the reason of a refusal."""
    said = expected(column)
    if pa.types.is_boolean(column.type):
        words = [*written.trues, *written.falses]
        return f"{said} (or {', '.join(words)})" if words else said
    if column.logical in ("integer", "number") and _dresses(written):
        decimals = "" if column.logical == "integer" else f"{written.decimal}5"
        signs = f", perhaps with {' or '.join(written.signs)}" if written.signs else ""
        return f"{said} written as 1{written.thousands}234{decimals}{signs}"
    return said


def _dresses(written: Written) -> bool:
    return written.decimal != "." or bool(written.thousands or written.signs)


def _words(texts: pa.Array, written: Written) -> pa.Array:
    lower = pc.utf8_lower(texts)
    for words, meant in ((written.trues, "true"), (written.falses, "false")):
        known = pa.array([word.lower() for word in words], pa.string())
        texts = pc.if_else(pc.is_in(lower, value_set=known), meant, texts)
    return texts


def _numbers(texts: pa.Array, written: Written) -> Cast:
    fits = pc.match_substring_regex(texts, _pattern(written))
    bad = None
    if not pc.all(fits, min_count=0).as_py():
        bad = ~pc.fill_null(fits, fill_value=True).to_numpy(zero_copy_only=False)
        texts = pc.if_else(fits, texts, None)
    for sign in sorted(written.signs, key=len, reverse=True):
        texts = pc.replace_substring(texts, sign, "")
    if written.signs or written.thousands == " ":
        texts = pc.replace_substring_regex(texts, f"[{_SPACES}]", "")
    if written.thousands.strip():
        texts = pc.replace_substring(texts, written.thousands, "")
    if written.decimal != ".":
        texts = pc.replace_substring(texts, written.decimal, ".")
    return Cast(texts, bad)


@cache
def _pattern(written: Written) -> str:
    """Return what all of a text must be."""
    group = f"[{_SPACES}]" if written.thousands == " " else re.escape(written.thousands)
    point = re.escape(written.decimal)
    whole = f"(?:[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[0-9]+)" if group else "[0-9]+"
    number = f"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    if not written.signs:
        return f"^-?{number}$"
    sign, gap = f"(?:{'|'.join(map(re.escape, written.signs))})", f"[{_SPACES}]?"
    before = f"(?:-?(?:{sign}{gap})?|{sign}-)"
    return f"^(?:{before}{number}|-?{number}{gap}{sign})$"
