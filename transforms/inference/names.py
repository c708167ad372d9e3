"""Names of columns and tables, made of whatever a file or a record calls them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from schemas.sql_engine import connect

_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_LETTERS: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
)
"""Those that are no plain letter with a mark."""
_WORDS: Final = {"%": " percent ", "#": " number ", "&": " and ", "+": " plus "}
_ENDINGS: Final = re.compile(
    r"(\.(jsonl|ndjson|json|csv|tsv|tab|txt|parquet|pq|avro|gz|gzip|zst|zstd|zip))+$",
    re.IGNORECASE,
)


def identifier(name: str) -> str:
    """Return a name as an identifier: itself if it is one, else small words with `_` between.

    >>> identifier("Cost Total $"), identifier("flights-3m"), identifier("eventTime")
    ('cost_total', 'flights_3m', 'eventTime')
    >>> identifier("Größe"), identifier("Łódź")
    ('grosse', 'lodz')
    """
    if _IDENTIFIER.fullmatch(name):
        return name
    text = name
    for sign, word in _WORDS.items():
        text = text.replace(sign, word)
    text = text.translate(_LETTERS)
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", folded).lower())
    made = "_".join(words)
    if not made:  # of another script, or of signs alone
        kept = re.sub(r'[."\s]+', "_", name).strip("_")
        return kept[:100] if any(c.isalnum() for c in kept) and kept.isprintable() else "unnamed"
    return (made if made[0].isalpha() else f"c_{made}")[:100]


def behind(word: str, name: str, number: int) -> str:
    """Return a plain name for what is made of a column: with a number where it has no such.

    >>> behind("mean", "price", 1), behind("mean", "Цена", 1)
    ('mean_price', 'mean_1')
    """
    made = f"{word}_{name}"
    return made if _IDENTIFIER.fullmatch(made) else f"{word}_{number}"


def identifiers(keys: Iterable[str]) -> dict[str, str]:
    """Return a name for each key; they differ in more than case."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        made[key] = free(identifier(key), taken)
        taken.add(_folded(made[key]))
    return made


def free(name: str, taken: Iterable[str]) -> str:
    """Return a name, with a number behind it where it is taken (names in small letters)."""
    known, found, number = {_folded(t) for t in taken}, name, 2
    while _folded(found) in known:
        found, number = f"{name}_{number}", number + 1
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def pipeline_name(path: str) -> str:
    """Return the name of a pipeline over some files: small letters, digits and `_`.

    >>> pipeline_name("data/flights-3m.jsonl.gz"), pipeline_name("logs/2024-*.csv")
    ('flights_3m', 'logs')
    """
    last = Path(path.rstrip("/"))
    stem = re.sub(r"[*?\[\]]+", "", _ENDINGS.sub("", last.name)).strip(" -_.")
    if not any(c.isalpha() for c in stem):
        stem = last.parent.name or "pipeline"
    made = re.sub(r"[^a-z0-9_]", "", identifier(stem).lower()).strip("_")
    return made[:60] if made and made[0].isalpha() else f"pipeline_{made}".rstrip("_")[:60]


def words(name: str) -> list[str]:
    """Return the words of a name, in small letters: `createdAt` and `created_at` are two."""
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower())


def sql(name: str) -> str:
    """Return a column's name as it stands in an expression."""
    if _IDENTIFIER.fullmatch(name) and name.lower() not in _keywords():
        return name
    return f'"{name}"'


@cache
def _keywords() -> frozenset[str]:
    found = connect().execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    )
    return frozenset(row[0] for row in found.fetchall())
