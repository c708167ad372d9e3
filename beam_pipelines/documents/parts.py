"""Documents in parts: what is generated stands between markers, everything else is a person's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from schemas.errors import Problem, SpecError

_MARKER: Final = re.compile(r"<!-- penstock:(begin|end) ([a-z-]+) -->\s*")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A generated part of a document.

    Attributes:
        name: Small letters and `-`; of its markers.
        lines: Markdown.
        stays: Whether the part of that name is left as it is where a document has one.
    """

    name: str
    lines: tuple[str, ...]
    stays: bool = False

    def text(self) -> str:
        """Return it between its markers."""
        begin, end = (f"<!-- penstock:{word} {self.name} -->" for word in ("begin", "end"))
        return "\n".join((begin, *self.lines, end)) + "\n"


class _Piece(NamedTuple):
    """A stretch of a document: of a part (with its markers), or a person's (no name)."""

    name: str
    text: str


def written(parts: Iterable[Part]) -> str:
    """Return a new document."""
    return "\n".join(part.text() for part in parts)


def merged(text: str, parts: Sequence[Part], file: Path) -> str:
    """Return a document with its parts as they are now, and the rest as a person left it.

    A part that is new comes after the one before it; one that is no longer made goes.

    Args:
        text: The document as it is.
        parts: In order.
        file: Where it is, for errors.

    Raises:
        SpecError: Its markers cannot be read.
    """
    made = {part.name for part in parts}
    kept = [piece for piece in _pieces(text, file) if not piece.name or piece.name in made]
    at = None
    for part in parts:
        own, blank = _Piece(part.name, part.text()), _Piece("", "\n")
        found = next((i for i, piece in enumerate(kept) if piece.name == part.name), None)
        if found is not None:
            at = found
            kept[at] = kept[at] if part.stays else own
        elif at is not None:
            kept[at + 1 : at + 1] = [blank, own]
            at += 2
        else:
            at = next((i for i, piece in enumerate(kept) if piece.name), len(kept))
            kept[at:at] = [own, blank]
    return "".join(piece.text for piece in kept)


def _pieces(text: str, file: Path) -> Iterator[_Piece]:
    lines = text.splitlines(keepends=True)
    seen: set[str] = set()
    name, began, held = "", 0, list[str]()
    for number, line in enumerate(lines, start=1):
        marker = _MARKER.fullmatch(line)
        if marker is None:
            held.append(line)
            continue
        word, of = marker.groups()
        if word == "begin":
            if name or of in seen:
                got = f"`begin {of}`" + (f" within {name}" if name else " a second time")
                raise _unreadable(file, number, got)
            yield _Piece("", "".join(held))
            name, began, held = of, number, [line]
            seen.add(of)
        elif of != name:
            raise _unreadable(file, number, f"`end {of}` without its begin")
        else:
            yield _Piece(name, "".join([*held, line]))
            name, held = "", []
    if name:
        raise _unreadable(file, began, f"`begin {name}` without its end")
    if not seen:
        raise _unreadable(file, 1, "none of them")
    yield _Piece("", "".join(held))


def _unreadable(file: Path, line: int, got: str) -> SpecError:
    msg = (
        "a document must have `<!-- penstock:begin NAME -->` and `<!-- penstock:end NAME -->` "
        f"around each generated part, once; got {got}; mend it, or move the file away and have a "
        "new one"
    )
    return SpecError([Problem(file, line, msg)])
