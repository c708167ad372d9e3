"""The documents of a pipeline folder: as they are on disk, and as its two files make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beam_pipelines.documents.architecture import architecture
from beam_pipelines.documents.flow import flow
from beam_pipelines.documents.parts import Part, merged, written
from beam_pipelines.documents.requirements import requirements
from schemas.disk import writing
from schemas.errors import Problem, SpecError
from schemas.plan import Plan

FOLDER: Final = "docs/data-pipeline"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document.

    Attributes:
        name: Its path in the pipeline folder.
        before: What is on disk; None: no such file.
        after: What it should be.
        newline: How its lines end on disk.
    """

    name: str
    before: str | None
    after: str
    newline: str

    @property
    def current(self) -> bool:
        """Whether the file says what it should."""
        return self.before == self.after


def documents(plan: Plan, measured: Sequence[str] = ()) -> tuple[Document, ...]:
    """Return the documents of a plan's folder; writes nothing.

    Args:
        plan: Of the folder as it is.
        measured: Markdown on volume and velocity, which no file says. Without it what a document
            has of these stays.

    Raises:
        SpecError: A document that is there has no markers or broken ones, or cannot be read.
    """
    made = {
        "data-requirements.md": requirements(plan, measured),
        "pipeline-architecture.md": architecture(plan),
        "data-flow-diagram.md": flow(plan),
    }
    return tuple(_document(plan, f"{FOLDER}/{name}", parts) for name, parts in made.items())


def _document(plan: Plan, name: str, parts: Sequence[Part]) -> Document:
    path = plan.folder / name
    stored = _stored(path)
    if stored is None:
        return Document(name=name, before=None, after=written(parts), newline="\n")
    try:
        before = stored.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        msg = "a document must be UTF-8; got other bytes; save it as UTF-8"
        raise SpecError([Problem(path, line, msg)]) from None
    newline = "\r\n" if b"\r\n" in stored else "\n"
    return Document(name=name, before=before, after=merged(before, parts, path), newline=newline)


def _stored(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"a document must be readable; got {error.strerror}; check path and permissions"
        raise SpecError([Problem(path, 1, msg)]) from None


def write(plan: Plan, found: Sequence[Document]) -> None:
    """Write the documents that are not current; each file is whole at any time.

    Raises:
        PenstockError: The place cannot be written.
    """
    with writing(plan.folder / FOLDER):
        for document in found:
            if document.current:
                continue
            path = plan.folder / document.name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(document.after, encoding="utf-8", newline=document.newline)
            fresh.replace(path)
