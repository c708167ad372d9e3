"""`--set a.b.c=value`: any field of a pipeline file, replaced for one run."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas.errors import SpecError, UsageError
from schemas.located import Located, did_you_mean, parse


def overridden(located: Located, sets: Sequence[str]) -> Located:
    """Return the file with values replaced: `a.b.c=value`, the value in YAML.

    Args:
        located: The file; left as it is.
        sets: Overrides. A list's entry is named by its number or by its `name`.

    Raises:
        UsageError: One has another form, or leads nowhere.
    """
    if not sets:
        return located
    value, lines = copy.deepcopy(located.value), dict(located.lines)
    for text in sets:
        written, equals, new = text.partition("=")
        keys = written.split(".")
        if not equals or not all(keys):
            msg = f"--set must be path=value; got {text!r}; write --set aggregates.0.name=x"
            raise UsageError(msg)
        _put(value, keys, _value_of(new, text), text)
    return replace(located, value=value, lines=lines)


def values(sets: Sequence[str]) -> dict[str, Any]:
    """Read `name=value`s, the values in YAML; a later one of a name counts.

    Raises:
        UsageError: One has another form.
    """
    found = {}
    for text in sets:
        name, equals, new = text.partition("=")
        if not equals or not name:
            msg = f"--set must be path=value; got {text!r}; write --set runner.parallelism=2"
            raise UsageError(msg)
        found[name] = _value_of(new, text)
    return found


def _put(value: Any, keys: list[str], new: Any, text: str) -> None:
    at: Any = keys[0]
    for i, key in enumerate(keys):
        if i:
            value = value[at]
        if isinstance(value, list):
            at = _entry(value, key, text)
            continue
        at = key
        if i < len(keys) - 1 and not isinstance(value.get(key), dict | list):
            value[key] = {}  # what is no field, the schema will say
    value[at] = new


def _entry(entries: list[Any], key: str, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,6}", key) and int(key) < len(entries):
        return int(key)
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    if key in names:
        return names.index(key)
    written = text.partition("=")[0]  # the value may be a secret
    hint = did_you_mean(key, [n for n in names if n] or [str(i) for i in range(len(entries))])
    msg = (
        f"--set must name an entry of the list by number or name; got {key!r} in {written!r}; "
        f"{hint or 'the list is empty'}"
    )
    raise UsageError(msg)


def _value_of(new: str, text: str) -> Any:
    try:
        return parse(b"value: " + new.encode(), Path("--set")).value["value"]
    except SpecError as error:
        path = text.partition("=")[0]  # the value may be a secret
        msg = f"--set must have a YAML value; got another for {path!r}; {error.problems[0].message}"
        raise UsageError(msg) from None
