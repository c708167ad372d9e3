"""Dates and times as texts: which of the forms that people use all of them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract_forms import strptime_forms
from schemas.names import TIMESTAMP
from schemas.sql_engine import connect
from transforms.decode.text_times import dates, times, timestamps

_TIMESTAMPS: Final = (
    "yyyy/MM/dd HH:mm[:ss]",
    "dd.MM.yyyy HH:mm[:ss]",
    "MM/dd/yyyy HH:mm[:ss]",
    "dd/MM/yyyy HH:mm[:ss]",
    "MM/dd/yyyy hh:mm[:ss] a",
    "dd/MM/yyyy hh:mm[:ss] a",
    "dd-MM-yyyy HH:mm[:ss]",
    "MM-dd-yyyy HH:mm[:ss]",
    "yyyy-MM-dd HH:mm:ss,SSS",
    "yyyy-MM-dd hh:mm[:ss] a",
    "yyyy-MM-dd HH:mm:ss XX",
    "MM/dd/yy HH:mm[:ss]",
    "dd/MMM/yyyy:HH:mm:ss XX",
    "EEE, dd MMM yyyy HH:mm:ss XX",
    "EEE, dd MMM yyyy HH:mm:ss 'GMT'",
    "EEE MMM dd HH:mm:ss XX yyyy",
    "dd MMM yyyy HH:mm[:ss]",
    "MMM dd yyyy HH:mm[:ss]",
    "yyyyMMdd'T'HHmmss[XX]",
)
_DATES: Final = (
    "dd.MM.yyyy",
    "MM/dd/yyyy",
    "dd/MM/yyyy",
    "yyyy/MM/dd",
    "yyyy.MM.dd",
    "dd-MM-yyyy",
    "MM-dd-yyyy",
    "dd-MMM-yyyy",
    "dd MMM yyyy",
    "MMM dd yyyy",
    "MMM dd, yyyy",
    "MMMM dd, yyyy",
    "dd MMMM yyyy",
    "dd.MM.yy",
    "MM/dd/yy",
    "dd/MM/yy",
)
# Fields that are not padded: the contract cannot read them, DuckDB can.
_LOOSE: Final = (
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y-%m-%d", "%b %d %Y", "%d %b %Y", "%B %d, %Y",
    "%b %d, %Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%y %H:%M",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M", "%m/%d/%y", "%d-%b-%y",
    "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M", "%b %d %Y %H:%M:%S", "%a %b %d %Y", "%d-%b-%Y",
)  # fmt: skip
_TIMELIKE: Final = r"^[A-Za-z]{0,4},? ?[A-Za-z0-9]{1,9}[-/.: ,].*[0-9]"
_HEAD: Final = 200


@dataclass(frozen=True)
class Form:
    """How texts are read as times.

    Attributes:
        logical: date, timestamp or time; `string` where only an expression reads them.
        pattern: The contract's `format`; empty: ISO 8601.
        strptime: DuckDB's form, where the contract has none.
        other: Another pattern that reads all of them too: day and month the other way round.
        zoned: Whether texts name their zone.
    """

    logical: str
    pattern: str = ""
    strptime: str | None = None
    other: str | None = None
    zoned: bool = False


def form_of(texts: pa.Array) -> Form | None:
    """Return how all of some texts (no nulls, at least one) are read as times, or None."""
    head = texts.slice(0, _HEAD)
    if not pc.all(pc.match_substring_regex(head, _TIMELIKE)).as_py():
        return None
    compact = r"([0-9]T[0-9]{4,6}|:[0-9]{2}).*(Z|[+-][0-9]{2}:?([0-9]{2})?)$"
    zoned = bool(pc.all(pc.match_substring_regex(texts, compact)).as_py())
    for logical, patterns in (("timestamp", _TIMESTAMPS), ("date", _DATES), ("time", ())):
        found = [
            p for p in ("", *patterns) if _reads(head, logical, p) and _reads(texts, logical, p)
        ]
        if found:
            return Form(logical, found[0], other=_mirrored(found), zoned=zoned)
    connection = connect()
    loose = [f for f in _LOOSE if not read_loose(head, f, connection).null_count]
    loose = [f for f in loose if not read_loose(texts, f, connection).null_count]
    if not loose:
        return None
    other = next((f for f in loose[1:] if sorted(f) == sorted(loose[0])), None)
    return Form("string", strptime=loose[0], other=other)


def is_compact_date(texts: pa.Array) -> bool:
    """Whether texts are days written as `20240131`."""
    eight = pc.match_substring_regex(texts, "^(19|20)[0-9]{6}$")
    return bool(pc.all(eight).as_py()) and _reads(texts, "date", "yyyyMMdd")


def _mirrored(found: list[str]) -> str | None:
    """Return a second pattern of the same parts as the first."""
    return next((p for p in found[1:] if found[0] and sorted(p) == sorted(found[0])), None)


def _reads(texts: pa.Array, logical: str, pattern: str) -> bool:
    forms = strptime_forms(pattern, logical) if pattern else ()
    assert not isinstance(forms, str)  # noqa: S101  # the patterns above are good
    if logical == "timestamp":
        return bool(timestamps(texts, forms).null_count == 0)
    return bool((dates if logical == "date" else times)(texts, forms).null_count == 0)


def read_loose(
    texts: pa.Array, form: str, connection: duckdb.DuckDBPyConnection | None = None
) -> pa.Array:
    """Read texts as DuckDB does (us, UTC); null where that fails."""
    connection = connection or connect()
    connection.register("texts", pa.table({"t": texts}))
    read = duckdb.FunctionExpression(
        "try_strptime", duckdb.ColumnExpression("t"), duckdb.ConstantExpression(form)
    )
    table = connection.table("texts").select(read.alias("t")).to_arrow_table()
    return table.column(0).combine_chunks().cast(pa.timestamp("us")).cast(TIMESTAMP)
