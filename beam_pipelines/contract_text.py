"""A contract's text changed where it must be: comments, order and style of the rest stay.

Every edit is checked: the new text must say what was meant, and nothing else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from beam_pipelines.init_yaml import flow, scalar
from schemas.errors import PenstockError, SpecError
from schemas.located import Located, NodePath, parse

_PROPERTIES: Final[NodePath] = ("schema", 0, "properties")
_VALUE: Final = r"""("[^"]*"|'[^']*'|[A-Za-z]+\(\d+(?:,\s*\d+)?\)|[^\s,}#]+)"""
_VERSION: Final = re.compile(r"(\d+)(?:\.(\d+))?((?:\.\d+)*)")


class EditError(PenstockError):
    """A contract is written in a way that cannot be changed safely line by line."""


@dataclass(frozen=True)
class ContractText:
    """The text of a contract and what it says."""

    text: str
    located: Located

    def with_property(self, lines: Sequence[str], inside: str = "") -> ContractText:
        """Return it with one more property behind the last.

        Args:
            lines: Those of a list with one entry, not indented; comments first.
            inside: Path of the object that gets it (`address`, `items[]`); empty: the record.

        Raises:
            EditError: The properties are not one below the other.
        """
        (added,) = parse("\n".join(["p:", *lines]).encode(), self.located.file).value["p"]
        wanted = copy.deepcopy(self.located.value)
        node, properties = _properties_of(wanted, inside)
        rows = self.text.split("\n")
        at = self.located.line((*node, len(properties) - 1)) - 1
        while at > 0 and not rows[at].lstrip().startswith("-"):
            at -= 1
        properties.append(added)
        return self._checked(_behind(rows, at, lines), wanted, lines)

    def with_type(self, name: str, logical: str, physical: str | None) -> ContractText:
        """Return it with another type of a property; `physical` only where it has one already.

        Raises:
            EditError: Its type does not stand on a line of its own.
        """
        wanted = copy.deepcopy(self.located.value)
        properties = wanted["schema"][0]["properties"]
        number = next(i for i, p in enumerate(properties) if p["name"] == name)
        own, at = properties[number], (*_PROPERTIES, number)
        rows = self.text.split("\n")
        self._put(rows, (*at, "logicalType"), logical)
        own["logicalType"] = logical
        if "physicalType" in own:
            self._put(rows, (*at, "physicalType"), physical)
            own |= {"physicalType": physical}
            if physical is None:
                del own["physicalType"]
        said = [f"logicalType: {logical}", *([f"physicalType: {physical}"] if physical else ())]
        return self._checked(rows, wanted, said)

    def with_values(self, name: str, values: Sequence[str | int]) -> ContractText:
        """Return it with more values in the enumeration of a property (`enum`, `validValues`).

        Raises:
            EditError: It has not one enumeration, or that is neither on one line nor in lines.
        """
        wanted = copy.deepcopy(self.located.value)
        properties = wanted["schema"][0]["properties"]
        number = next(i for i, p in enumerate(properties) if p["name"] == name)
        own, node = properties[number], _enumeration(properties[number])
        there = _at(own, node) or own.setdefault("enum", [])
        of_enum = node == ("enum",)
        entries = [{"value": value} if of_enum else value for value in values]
        said = [flow({"value": value}) if of_enum else scalar(value) for value in values]
        last = self.located.line((*_PROPERTIES, number, *node, len(there) - 1)) - 1
        first = self.located.line((*_PROPERTIES, number, *node)) - 1
        there += entries
        rows = self.text.split("\n")
        if last > first and rows[last].lstrip().startswith("-"):
            rows = _behind(rows, last, [f"- {one}" for one in said])
        else:
            more = "".join(f", {one}" for one in said)
            of_key = rf"(\b{node[-1]}\s*:\s*\[[^\]]*?)(\s*\])"
            rows[last] = re.sub(of_key, lambda m: f"{m[1]}{more}{m[2]}", rows[last], count=1)
        return self._checked(rows, wanted, [f"{node[-1]} of {name}: {', '.join(said)}"])

    def with_version(self, version: str) -> ContractText:
        """Return it with another version.

        Raises:
            EditError: It does not stand on a line of its own.
        """
        rows = self.text.split("\n")
        self._put(rows, ("version",), version)
        wanted = self.located.value | {"version": version}
        return self._checked(rows, wanted, [f"version: {scalar(version)}"])

    def _put(self, rows: list[str], node: NodePath, value: str | None) -> None:
        """Change the value of a key on its line; None: take the key out."""
        at, key = self.located.line(node) - 1, node[-1]
        if value is None:
            rows[at] = re.sub(rf",\s*{key}\s*:\s*{_VALUE}", "", rows[at], count=1)
            rows[at] = re.sub(rf"^\s*{key}\s*:\s*{_VALUE}\s*(#.*)?$", "", rows[at])
            if not rows[at].strip():
                del rows[at]
            return

        def written(match: re.Match[str]) -> str:
            quote = match[2][0] if match[2][0] in "\"'" else ""
            return f"{match[1]}{quote}{value}{quote}"

        rows[at] = re.sub(rf"(\b{key}\s*:\s*){_VALUE}", written, rows[at], count=1)

    def _checked(
        self, rows: list[str], wanted: dict[str, Any], said: Sequence[str]
    ) -> ContractText:
        out = "\n".join(rows)
        try:
            made = read_text(out, self.located)
        except SpecError:
            made = None
        if made is None or made.located.value != wanted:
            msg = (
                f"{self.located.file} must have a property, and a key, a line to be changed; got "
                "another style; write it by hand:\n" + "\n".join(said)
            )
            raise EditError(msg)
        return made


def _properties_of(contract: dict[str, Any], inside: str) -> tuple[NodePath, list[Any]]:
    """Return the properties of an object, and where they stand."""
    node: NodePath = _PROPERTIES
    properties: list[Any] = contract["schema"][0]["properties"]
    for part in inside.split(".") if inside else ():
        name = part.rstrip("[]")
        number = next(i for i, one in enumerate(properties) if one["name"] == name)
        holder, node = properties[number], (*node, number)
        for _ in range(part.count("[]")):
            holder, node = holder["items"], (*node, "items")
        properties, node = holder["properties"], (*node, "properties")
    return node, properties


def read_text(text: str, located: Located) -> ContractText:
    """Return a text as that of a file that was read before.

    Raises:
        SpecError: It is no YAML that a person may write here.
    """
    return ContractText(text, parse(text.encode(), located.file))


def minor(version: str) -> str | None:
    """Return the next minor version; None of a version that is not made of numbers.

    >>> minor("1.0.0"), minor("2"), minor("1.9"), minor("2026-01")
    ('1.1.0', '2.1', '1.10', None)
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    zeros = re.sub(r"\d+", "0", found[3])
    return f"{found[1]}.{int(found[2] or 0) + 1}{zeros}"


def _behind(rows: Sequence[str], at: int, lines: Sequence[str]) -> list[str]:
    """Put lines behind an entry of a list that begins in row `at`, as far in as it stands."""
    indent = _indent(rows[at])
    end = at + 1
    for i, row in enumerate(rows[at + 1 :], at + 1):
        if row.strip() and _indent(row) <= indent:
            break
        if row.strip():
            end = i + 1
    ending = "\r" if rows[at].endswith("\r") else ""
    return [*rows[:end], *(f"{' ' * indent}{line}{ending}" for line in lines), *rows[end:]]


def _enumeration(prop: dict[str, Any]) -> NodePath:
    """Return where a property lists values."""
    checks = range(len(prop.get("quality") or ()))
    nodes: list[NodePath] = [("quality", i, "arguments", "validValues") for i in checks]
    return next((node for node in nodes if _at(prop, node)), ("enum",))


def _at(value: Any, node: NodePath) -> Any:
    """Return what stands at a node; None if nothing does."""
    for key in node:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key]
        else:
            return None
    return value


def _indent(row: str) -> int:
    return len(row) - len(row.lstrip(" "))
