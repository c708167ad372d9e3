"""The text of a `.proto` file as message types: what reading their bytes needs, and no more.

Source of the grammar: the specifications of Protocol Buffers 2, 3 and editions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/"""  # what is between tokens
    r"""|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_][\w.]*|\.[A-Za-z_][\w.]*"""
    r"""|[+-]?[\d.][\w.+-]*|[{}\[\]()<>;,=:/-])""",
    re.DOTALL,
)
_INTEGERS: Final = ("int32", "int64", "uint32", "uint64", "sint32", "sint64")
_FIXED: Final = ("fixed32", "fixed64", "sfixed32", "sfixed64", "float", "double")
_SCALARS: Final = frozenset((*_INTEGERS, *_FIXED, "bool", "string", "bytes"))
_WRAPPED: Final = {
    "Double": "double",
    "Float": "float",
    "Int64": "int64",
    "UInt64": "uint64",
    "Int32": "int32",
    "UInt32": "uint32",
    "Bool": "bool",
    "String": "string",
    "Bytes": "bytes",
}
TIMESTAMP_NAME: Final = "google.protobuf.Timestamp"
WRAPPERS: Final = {f"google.protobuf.{name}Value": kind for name, kind in _WRAPPED.items()}


@dataclass(frozen=True)
class Field:
    """A field of a message type.

    Attributes:
        name: As written.
        number: On the wire.
        kind: A scalar type, or the full name of a message or enum type.
        label: `implicit` (absent means the type's default), `optional` (absent means null),
            `required` or `repeated`.
        key: Scalar type of the keys, of a map; its label is `repeated`.
        oneof: Name of the group of which one field is set.
    """

    name: str
    number: int
    kind: str
    label: str
    key: str | None = None
    oneof: str | None = None


@dataclass
class Message:
    """A message type; `messages` are those within it, in order."""

    name: str
    fields: list[Field] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass
class Types:
    """What files define.

    Attributes:
        top: Messages at the top of the last file, in order.
        messages: All by full name.
        enums: Number -> symbol, by full name of the enum.
    """

    top: list[Message] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, dict[int, str]] = field(default_factory=dict)

    def at(self, path: Iterable[int]) -> Message:
        """Return the message of an index path: at the top, then within.

        Raises:
            ValueError: There is none.
        """
        among, found = self.top, None
        for index in path:
            if not 0 <= index < len(among):
                msg = "a message must name a type that its schema has"
                raise ValueError(msg)
            found = among[index]
            among = found.messages
        if found is None:
            msg = "a message must name a type"
            raise ValueError(msg)
        return found

    def resolve(self, kind: str, scope: str) -> str:
        """Return the full name of a type that is named within a message.

        Raises:
            ValueError: There is none.
        """
        if kind.startswith("."):
            return kind[1:]
        parts = scope.split(".") if scope else []
        for size in range(len(parts), -1, -1):
            full = ".".join([*parts[:size], kind])
            if full in self.messages or full in self.enums or full in (*WRAPPERS, TIMESTAMP_NAME):
                return full
        msg = f"a schema must have every type that it names; got none named {kind}"
        raise ValueError(msg)


def read_types(text: str, imported: Iterable[str] = ()) -> Types:
    """Read files.

    Args:
        text: The schema.
        imported: Texts of the files that it imports, those before which they need first.

    Raises:
        ValueError: A text is no `.proto` file.
    """
    types = Types()
    for one in (*imported, text):
        types.top = []
        _File(one, types).read()
    return types


class _File:
    """Reads one file into types."""

    def __init__(self, text: str, types: Types) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._types = types
        self._implicit = False

    def read(self) -> None:
        package = ""
        while self._at < len(self._tokens):
            word = self._next()
            if word == "syntax":
                self._take("=")
                self._implicit = self._next()[1:-1] == "proto3"
                self._take(";")
            elif word == "package":
                package = self._next()
                self._take(";")
            elif word == "message":
                self._types.top.append(self._message(package))
            elif word == "enum":
                self._enum(package)
            elif word != ";":
                self._pass()

    def _message(self, scope: str) -> Message:
        name = self._next()
        full = f"{scope}.{name}" if scope else name
        message = Message(full)
        self._types.messages[full] = message
        self._take("{")
        self._body(message, None)
        return message

    def _body(self, message: Message, oneof: str | None) -> None:
        while (word := self._next()) != "}":
            if word == "message":
                message.messages.append(self._message(message.name))
            elif word == "enum":
                self._enum(message.name)
            elif word == "oneof":
                name = self._next()
                self._take("{")
                self._body(message, name)
            elif word in ("option", "reserved", "extensions", "extend", "group"):
                self._pass()
            elif word != ";":
                message.fields.append(self._field(word, oneof))

    def _field(self, word: str, oneof: str | None) -> Field:
        label = "implicit" if self._implicit and oneof is None else "optional"
        if word in ("optional", "required", "repeated"):
            label, word = word, self._next()
        key = None
        if word == "map" and self._tokens[self._at : self._at + 1] == ["<"]:
            self._take("<")
            key = self._next()
            self._take(",")
            word, label = self._next(), "repeated"
            self._take(">")
        name = self._next()
        self._take("=")
        number = self._number()
        self._pass()
        return Field(name, number, word, label, key, oneof)

    def _enum(self, scope: str) -> None:
        name = self._next()
        values: dict[int, str] = {}
        self._types.enums[f"{scope}.{name}" if scope else name] = values
        self._take("{")
        while (word := self._next()) != "}":
            if word in ("option", "reserved"):
                self._pass()
            elif word != ";":
                self._take("=")
                values.setdefault(self._number(), word)  # of aliases the first
                self._pass()

    def _number(self) -> int:
        word = self._next()
        sign = -1 if word == "-" else 1
        try:
            return sign * int(self._next() if word == "-" else word, 0)
        except ValueError:
            msg = "a number in a schema must be one"
            raise ValueError(msg) from None

    def _pass(self) -> None:
        """Pass over the rest of a statement: up to its semicolon, or the end of its block."""
        depth = 0
        while (word := self._next()) != ";" or depth:
            depth += (word in "{[") - (word in "}]")
            if word == "}" and not depth:
                return

    def _take(self, wanted: str) -> None:
        got = self._next()
        if got != wanted:
            msg = f"a schema must be text of Protobuf; got {got[:20]!r} instead of {wanted!r}"
            raise ValueError(msg)

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            msg = "a schema must be text of Protobuf; it ends too soon"
            raise ValueError(msg)
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            msg = f"a schema must be text of Protobuf; got {text[at : at + 10]!r}"
            raise ValueError(msg)
        at = match.end()
        if match[1]:
            found.append(match[1])
    return found


def is_scalar(kind: str) -> bool:
    """Return whether a field's type has no parts and no name of its own."""
    return kind in _SCALARS
