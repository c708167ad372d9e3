"""YAML files that people write, as plain values that know their lines.

A contract and a pipeline file are untrusted text. `load` takes the part of YAML 1.2 that is JSON
written comfortably and refuses the rest: tags, anchors and aliases (so nothing can be built and
nothing can blow up), duplicate keys, several documents, control characters, `.nan` and `.inf`.
Scalars follow YAML 1.2's core schema, so that `on`, `no` and `yes` are text; dates are text too.
A key is always text, as in JSON. A UTF-8 byte order mark is skipped.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from schemas.errors import Problem, SpecError

NodePath = tuple[str | int, ...]
"""Keys and indexes from the root of a file: `("steps", 0, "derive")`."""

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 40
MAX_PROBLEMS: Final = 100

# libyaml where the wheel has it (all published ones do): ten times faster.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.1 (libyaml) breaks lines at the last three, editors and YAML 1.2 do not.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029]"
)
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, kw_only=True)
class Located:
    """The values of one file and the line of each.

    Attributes:
        file: The file, as the person named it.
        value: Plain values: dict (text keys, file order), list, str, int, float, bool, None.
        lines: 1-based line of each node; of a mapping's entry the line of its key.
    """

    file: Path
    value: dict[str, Any]
    lines: Mapping[NodePath, int] = field(repr=False)

    def line(self, path: NodePath = ()) -> int:
        """Return the line of a node, or of its nearest parent that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class Problems:
    """Collects what is wrong with one file, so that a person hears all of it at once.

    Keeps the first 100; a file that has more is not read any better with all of them.
    """

    def __init__(self, located: Located) -> None:
        """Start with none."""
        self.located = located
        self.found: list[Problem] = []

    def add(self, path: NodePath, message: str) -> None:
        """Note a problem at a node: `what must hold; got ...; what to do`."""
        if not self.full:
            self.found.append(Problem(self.located.file, self.located.line(path), message))

    @property
    def full(self) -> bool:
        """Whether further problems would not be kept: stop looking."""
        return len(self.found) >= MAX_PROBLEMS

    def __bool__(self) -> bool:
        return bool(self.found)

    def raise_all(self) -> None:
        """Raise SpecError with everything found; do nothing if that is nothing."""
        if self.found:
            raise SpecError(self.found)


def load(path: Path) -> Located:
    """Read a YAML file of at most 1 MiB whose root is a mapping.

    Args:
        path: The file; named in errors as it is given here.

    Returns:
        Its values and their lines.

    Raises:
        SpecError: The file cannot be read, is not UTF-8, breaks YAML, or uses what the module
            docstring refuses; with the line.
    """
    return parse(_read(path), path)


def parse(data: bytes, file: Path) -> Located:
    """Read YAML bytes as `load` does; `file` only names them in errors."""
    text = _text(data, file)
    try:
        return _Builder(file, text).build()
    except yaml.MarkedYAMLError as error:
        mark, begin = error.problem_mark or error.context_mark, error.context_mark
        rows = text.split("\n")
        line = min(mark.line + 1, len(rows)) if mark else 1
        context = error.context
        if context and begin and begin.line + 1 < line:
            context += f" from line {begin.line + 1}"
        what = ", ".join(part for part in (context, error.problem) if part)
        column = mark.column if mark else 0
        row = rows[line - 1]
        if row[column : column + 1] == "\t" or re.match(r" *\t", row):
            _refuse(file, line, "indentation must be spaces; got a tab; replace it by spaces")
        _refuse(
            file, line, f"the file must be YAML; got an error: {what}; correct it here or above"
        )
    except yaml.YAMLError:
        _refuse(file, 1, "the file must be YAML; got text that cannot be read; check its encoding")


def dotted(path: NodePath) -> str:
    """Render a node path as a person writes it: `steps[0].derive`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def quoted(value: object) -> str:
    """Render a value of a file for a message: short, on one line, text in quotes."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:50]}..."


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Say which option a person probably meant: `did you mean 'x'?`, else `use one of a, b, c`.

    Empty if there are no options.
    """
    known = list(dict.fromkeys(options))
    if not known:
        return ""
    lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(word[:100].lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean {quoted(lower[close[0]])}?"
    more = f", ... ({len(known)} in all)" if len(known) > 20 else ""
    return f"use one of {', '.join(known[:20])}{more}"


def _refuse(file: Path, line: int, message: str) -> NoReturn:
    raise SpecError([Problem(file, line, message)]) from None


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            found = "a folder or device" if path.exists() else "no such file"
            _refuse(path, 1, f"the file must exist; got {found}; correct the path")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "a path that cannot be opened"
        _refuse(path, 1, f"the file must be readable; got {why}; check path and permissions")
    if len(data) > MAX_BYTES:
        _refuse(path, 1, "the file must be at most 1 MiB; got more; is it the right file?")
    return data


def _text(data: bytes, file: Path) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(file, 1, "the file must be UTF-8; got UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        _refuse(file, line, f"the file must be UTF-8; got byte 0x{byte:02x}; save it as UTF-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    bad = _UNPRINTABLE.search(text)
    if bad:
        line, code = text.count("\n", 0, bad.start()) + 1, ord(bad[0])
        _refuse(
            file,
            line,
            f"the file must be printable text; got U+{code:04X}; "
            f'remove it, or write it as an escape in double quotes ("\\u{code:04x}")',
        )
    return text


class _Builder:
    """Turns parser events into values, without recursion and without YAML's own constructors."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self.lines: dict[NodePath, int] = {}
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.stack: list[Any] = [[]]  # open containers; the first is no node
        self.path: NodePath = ()  # of the innermost open container
        self.key: str | None = None  # of the entry whose value comes next

    def build(self) -> Located:
        root = self.stack[0]
        for event in self.events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent) and root:
                message = "the file must be one document; got a second one after `---`; remove it"
                _refuse(self.file, line, message)
            if isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
                self.path = self.path[:-1]
            elif isinstance(event, yaml.NodeEvent):
                self._plain(event, line)
                self._node(event, line)
        value = root[0] if root else None
        if not isinstance(value, dict):
            message = f"the file must be a mapping of keys; got {quoted(value)}; write `key: value`"
            _refuse(self.file, 1, message)
        return Located(file=self.file, value=value, lines=self.lines)

    def _node(self, event: Any, line: int) -> None:
        holder = self.stack[-1]
        if isinstance(holder, dict) and self.key is None:
            self.key = self._key(event, holder, line)
            self.lines[(*self.path, self.key)] = line
            return
        value = self._value(event, line)
        here = self.path
        if isinstance(holder, dict):
            assert self.key is not None  # noqa: S101 - set by the event before
            here = (*self.path, self.key)
            holder[self.key] = value
            self.key = None
        else:
            if len(self.stack) > 1:
                here = (*self.path, len(holder))
            self.lines[here] = line
            holder.append(value)
        if isinstance(value, (dict, list)):
            self.stack.append(value)
            self.path = here
            if len(self.stack) > MAX_DEPTH:
                message = f"nesting must be at most {MAX_DEPTH - 1} deep; got more; flatten it"
                _refuse(self.file, line, message)

    def _plain(self, event: Any, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            message = "values must be written out; got an anchor or alias (`&`, `*`); {}"
            _refuse(self.file, line, message.format("repeat the value, or put the text in quotes"))
        if event.tag is not None:
            # A password that begins with `!` is one, too.
            got = f"the tag {quoted(event.tag)}" if event.tag.startswith("tag:") else "a tag (`!`)"
            message = f"values must be plain; got {got}; remove it"
            _refuse(self.file, line, message + ", or put the text in quotes")

    def _key(self, event: Any, holder: dict[str, Any], line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            _refuse(self.file, line, "a key must be text; got a mapping or list; write a name")
        key = self._characters(event.value, line)
        if key in holder:
            _refuse(self.file, line, f"a key must occur once; got {quoted(key)} again; remove one")
        return key

    def _value(self, event: Any, line: int) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return {}
        if isinstance(event, yaml.SequenceStartEvent):
            return []
        text = self._characters(event.value, line)
        # Quoted and block scalars are text whatever they look like.
        return self._scalar(text, line) if event.implicit[0] else text

    def _scalar(self, text: str, line: int) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        number = float(text) if _FLOAT.fullmatch(text) else None
        if _NOT_FINITE.fullmatch(text) or (number is not None and not math.isfinite(number)):
            message = f"a number must be finite; got {quoted(text)}; put text in quotes"
            _refuse(self.file, line, message)
        return text if number is None else number

    def _characters(self, text: str, line: int) -> str:
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            _refuse(self.file, line, "text must be Unicode without NUL; got an escape; remove it")
        return text
