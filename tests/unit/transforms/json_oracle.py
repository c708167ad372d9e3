"""What decode must do to a line of JSON, in slow and plain Python: the oracle of the tests."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.names import TIMESTAMP


def column(name: str, kind: pa.DataType, logical: str, path: str = "", **more: Any) -> Column:
    return Column(name=name, path=path or name, type=kind, logical=logical, **more)


JSON, TWICE, TYPE, REQUIRED = "json", "duplicate_key", "type", "required"


class Refused(Exception):
    pass


class Num(str):
    """A JSON number, as written."""

    __slots__ = ()


def parse(line: bytes) -> dict[str, Any]:
    """Read one strict JSON object; raise Refused(rule)."""
    twice = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice |= len({k for k, _ in items}) != len(items)
        for key, value in items:
            check(key)
            check(value)
        return dict(items)

    def constant(_: str) -> Any:
        raise Refused(JSON)

    try:
        text = line.decode()
        if depth(text) > 200:
            raise Refused(JSON)
        value = json.loads(
            text, object_pairs_hook=pairs, parse_constant=constant, parse_float=Num, parse_int=Num
        )
    except ValueError:
        raise Refused(JSON) from None
    if not isinstance(value, dict):
        raise Refused(JSON)
    if twice:
        raise Refused(TWICE)
    return value


def depth(text: str) -> int:
    deepest = now = 0
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    for char in bare:
        now += (char in "[{") - (char in "]}")
        deepest = max(deepest, now)
    return deepest


def check(value: Any) -> None:
    if isinstance(value, Num):
        if float(value) in (float("inf"), float("-inf")):
            raise Refused(JSON)
    elif isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise Refused(JSON)
    elif isinstance(value, list):
        for v in value:
            check(v)


STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"([Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)  # fmt: skip


def stamp(text: str) -> dt.datetime:
    found = STAMP.fullmatch(text)
    if not found:
        raise Refused(TYPE)
    y, mo, d, h, mi, s, f, z = found.groups()
    us = int((f or "0")[:6].ljust(6, "0"))
    zone = dt.UTC
    try:
        if z and z not in "Zz":
            hours, minutes = int(z[1:3]), int(z[-2:]) if len(z) > 3 else 0
            if hours > 23 or minutes > 59:
                raise Refused(TYPE)
            shift = dt.timedelta(hours=hours, minutes=minutes)
            zone = dt.timezone(-shift if z[0] == "-" else shift)
        at = dt.datetime(int(y), int(mo), int(d), int(h), int(mi), int(s or 0), us, zone)
        return at.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Refused(TYPE) from None


def convert(value: Any, c: Column) -> Any:
    """Value of a column, or Refused."""
    if value is None:
        if c.required:
            raise Refused(REQUIRED)
        return None
    kind = c.type
    if c.open or pa.types.is_struct(kind):
        expect(value, dict)
        inner = {k.name: convert(value.get(k.name), k) for k in c.children}
        return value if c.open else inner
    if pa.types.is_list(kind):
        items = c.items or column("items", kind.value_type, "string")
        return [convert(v, items) for v in expect(value, list)]
    if pa.types.is_boolean(kind):
        return expect(value, bool)
    return scalar(value, kind)


def scalar(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_floating(kind):
        return float(expect(value, Num))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return exact(expect(value, Num), kind)
    if isinstance(value, Num):
        raise Refused(TYPE)
    text = expect(value, str)
    readers = {TIMESTAMP: stamp, pa.date32(): date, pa.time64("us"): clock}
    return readers[kind](text) if kind in readers else text


def date(text: str) -> dt.date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise Refused(TYPE)
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Refused(TYPE) from None


def clock(text: str) -> dt.time:
    found = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", text, re.ASCII)
    if not found:
        raise Refused(TYPE)
    h, m, s, f = found.groups()
    try:
        return dt.time(int(h), int(m), int(s or 0), int((f or "0")[:6].ljust(6, "0")))
    except ValueError:
        raise Refused(TYPE) from None


def expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Refused(TYPE)
    return value


def exact(text: str, kind: pa.DataType) -> Any:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused(TYPE) from None
    sign, digits, exponent = value.as_tuple()
    if not any(digits):
        return 0 if pa.types.is_integer(kind) else Decimal(0)
    number = "".join(map(str, digits))
    zeros = len(number) - len(number.rstrip("0"))
    number, exponent = number.rstrip("0"), exponent + zeros
    scale = 0 if pa.types.is_integer(kind) else kind.scale
    if -exponent > scale or exponent > 400:
        raise Refused(TYPE)
    whole = int(number) * 10 ** (exponent + scale) * (-1 if sign else 1)
    if pa.types.is_integer(kind):
        if not -(2 ** (kind.bit_width - 1)) <= whole < 2 ** (kind.bit_width - 1):
            raise Refused(TYPE)
        return whole
    if abs(whole) >= 10**kind.precision:
        raise Refused(TYPE)
    return Decimal(whole).scaleb(-scale)


def decode(data: bytes, c: Contract, start: int = 0) -> tuple[dict[int, Any], dict[int, Any]]:
    """Rows by position, and (rule, record) of the refused by position."""
    rows: dict[int, Any] = {}
    refused: dict[int, Any] = {}
    at = start
    for piece in data.split(b"\n"):
        position, line = at, piece
        at += len(piece) + 1
        if position == 0 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        line = line.removesuffix(b"\r")
        if not line.strip(b" \t\r"):
            continue
        try:
            value = parse(line)
            row = {x.name: convert(value.get(x.name), x) for x in c.columns}
            for p in c.path_columns():
                inner: Any = value
                for key in p.path.split("."):
                    inner = inner.get(key) if isinstance(inner, dict) else None
                row[p.path] = convert(inner, p) if inner is not None else None
            rows[position] = row
        except Refused as reason:
            refused[position] = (reason.args[0], line)
    return rows, refused


def as_json(text: str) -> Any:
    """The value of a JSON text, numbers as written."""
    return json.loads(text, parse_float=Num, parse_int=Num)
