"""YAML as people write it: block style, quotes only where they are needed."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Final

_PLAIN: Final = re.compile(r"(?:[A-Za-z(/]|\.\.?/)[\w /().$%+*='-]*|[0-9]+(?:ms|[smhd])")
_WORDS: Final = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"])
_WIDTH: Final = 100


def scalar(value: object) -> str:
    """Return a value as it stands in YAML.

    >>> scalar("a b"), scalar("no"), scalar("7"), scalar(7), scalar(True), scalar("a: b")
    ('a b', '"no"', '"7"', '7', 'true', '"a: b"')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS and value == value.strip()
    return (
        value
        if plain and value.isascii()
        else json.dumps(value, ensure_ascii=not value.isprintable())
    )


def flow(values: dict[str, object]) -> str:
    """Return a mapping of scalars in one line."""
    return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in values.items()) + "}"


def sequence(values: Iterable[object]) -> str:
    """Return a list of scalars in one line."""
    return "[" + ", ".join(map(scalar, values)) + "]"


def comment(text: str, indent: int) -> Iterator[str]:
    """Yield lines of a comment."""
    lead = " " * indent + "# "
    yield from textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=lead, subsequent_indent=lead,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def editor_line(schema: str, folder: Path) -> str:
    """Return the line by which editors find the JSON Schema of a file in a folder."""
    published = resources.files("schemas") / "json_schema" / f"{schema}.schema.json"
    return f"# yaml-language-server: $schema={os.path.relpath(str(published), folder)}"
