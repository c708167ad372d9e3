"""Records shown by their shape: letters as `a` and `A`, digits as `9`, names that we know in clear.

For screens. A record of a contract with personal data may hold such data anywhere once it is
refused: under another key, in a column that has none, or beside a quote that never closes.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from schemas.plan import Plan
from transforms.decode.attached_records import ATTACHED, apart_one

_LONGEST: Final = 24
_WIDEST: Final = 240
_MORE: Final = "..."


class Masks:
    """Masks records of one plan; those of a contract without personal data stay as they are."""

    def __init__(self, plan: Plan) -> None:
        """Learn the names that may be shown."""
        self._classified = plan.contract.classified
        self._delimiter = plan.source.delimiter
        self._known = {part for c in plan.contract.leaves() for part in c.path.split(".")}
        self._known |= {c.name for c in plan.contract.columns}

    def __call__(self, record: bytes, form: str, *, personal: bool = False) -> str:
        """Return a text that may be shown.

        Args:
            record: In clear.
            form: Its format.
            personal: Whether it holds personal data, even if the contract names none.
        """
        text = as_text(record)
        if not (self._classified or personal):
            return _cut(text, _WIDEST)
        if form == "json":
            return _cut(self._json(text), _WIDEST)
        if form == "csv":
            return _cut(self._csv(text), _WIDEST)
        if form == f"json{ATTACHED}":
            return _cut(self._attached(record), _WIDEST)
        return f"({len(record)} bytes of {form or 'unknown format'})"

    def _json(self, text: str) -> str:
        try:
            parsed = json.loads(
                text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number
            )
        except (ValueError, RecursionError):
            return shape(text, _WIDEST)
        return self._value(parsed)

    def _value(self, value: Any) -> str:
        if isinstance(value, _Pairs):
            inside = (f"{self._name(k)}: {self._value(v)}" for k, v in value)
            return "{" + ", ".join(inside) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._value, value)) + "]"
        if isinstance(value, _Number):
            return shape(value)
        if isinstance(value, str):
            return json.dumps(shape(value), ensure_ascii=False)
        return json.dumps(value)

    def _name(self, name: str) -> str:
        return json.dumps(name if name in self._known else shape(name), ensure_ascii=False)

    def _csv(self, text: str) -> str:
        header, _, line = text.partition("\n")
        names, fields = self._fields(header), self._fields(line)
        if len(names) != len(fields):
            return shape(line, _WIDEST)
        named = (n if n in self._known else shape(n) for n in names)
        return ", ".join(f"{n}={shape(f)}" for n, f in zip(named, fields, strict=True))

    def _attached(self, record: bytes) -> str:
        payload, key, headers = apart_one(record) or (record, None, [])
        shown = [] if key is None else [f"key={shape(as_text(key))}"]
        for header in headers:
            value = "" if header["value"] is None else f"={shape(as_text(header['value']))}"
            shown.append(f"{shape(header['name'])}{value}")
        return ", ".join([*shown, self._json(as_text(payload))])

    def _fields(self, line: str) -> list[str]:
        rows = list(csv.reader(io.StringIO(line), delimiter=self._delimiter))
        return rows[0] if len(rows) == 1 else []


def as_text(record: bytes) -> str:
    """Return a record as text, bytes that are no UTF-8 escaped."""
    return record.decode("utf-8", "backslashreplace")


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values, with keys that are there twice."""


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def shape(text: str, longest: int = _LONGEST) -> str:
    """Return the shape of a text: what it looks like, not what it says.

    >>> shape("Ann-9@example.org")
    'Aaa-9@aaaaaaa.aaa'
    """
    return _cut("".join(map(_shape, text[: longest + 1])), longest)


def _shape(letter: str) -> str:
    if letter.isdigit() or letter.isnumeric():
        return "9"
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return letter if letter.isascii() and letter.isprintable() else "?"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + _MORE
