"""Reads a pipeline file: its shape by the published JSON Schema, then what a schema cannot say.

The grammar is design.md 1. Nothing here knows the contract; `schemas.planning` joins the two.
A section that is broken is left out of what is returned, and `Noted.broken` knows it, so that one
mistake is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from schemas import references
from schemas.csv_options import csv_options, csv_problems
from schemas.errors import UsageError
from schemas.located import NodePath, dotted, load, quoted
from schemas.noted import Noted
from schemas.overrides import overridden
from schemas.plan import FileSource, Window
from schemas.stream_file import read_stream
from schemas.stream_source import StreamFace
from schemas.structure import check_structure, published
from schemas.windowing import check_durations, read_window

FILE: Final = "pipeline.yaml"
KINDS: Final = ("deduplicate", "derive", "filter", "enrich", "python")
ALWAYS: Final = ("decode", "validate", "protect")
"""Steps that every pipeline has; their names are taken."""

_ENDINGS: Final = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".avro": "avro",
}


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """One step as it is written; `at` is the node of its parameters."""

    id: str
    kind: str
    body: dict[str, Any]
    at: NodePath
    clear: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AggregateSpec:
    """One aggregate as it is written; `at` is its node."""

    name: str
    window: Window
    group_by: tuple[str, ...]
    measures: dict[str, str]
    at: NodePath


@dataclass(frozen=True, kw_only=True)
class PipelineFile:
    """What a pipeline file says; sections that are broken are missing.

    Attributes:
        name: The pipeline's name.
        contract: The contract's file, as written.
        batch: Batch face of the source, if it has one.
        stream: Streaming face of the source, if it has one.
        steps: In order, up to the first that is broken.
        aggregates: In order.
        sinks: Name to options as written.
    """

    name: str
    contract: str
    batch: FileSource | None
    stream: StreamFace | None
    steps: tuple[StepSpec, ...]
    aggregates: tuple[AggregateSpec, ...]
    sinks: dict[str, dict[str, Any]]


def read_pipeline(folder: Path, sets: Sequence[str] = ()) -> tuple[PipelineFile, Noted]:
    """Read and check a folder's pipeline file.

    Args:
        folder: The pipeline folder.
        sets: Overrides `a.b.c=value`; a list's entry is named by its number or its `name`.

    Returns:
        What it says, and everything that is wrong with it so far.

    Raises:
        SpecError: It cannot be read as YAML at all.
        UsageError: An override cannot be applied.
    """
    if not folder.is_dir():
        msg = f"a pipeline must be a folder; got {str(folder)!r}; name the folder of {FILE}"
        raise UsageError(msg)
    problems = Noted(overridden(load(folder / FILE), sets))
    check_structure(problems, published("pipeline"))
    return _Reader(problems).read(), problems


def file_source(body: Mapping[str, Any]) -> FileSource:
    """Turn the `files` of a source or lookup into a value."""
    source = FileSource(path=body["path"], format=body.get("format") or _format_of(body["path"]))
    plain = ("rewritten", "compression", "block_bytes", "max_record_bytes", "max_expansion")
    given = {key: body[key] for key in plain if key in body}
    return replace(source, **given, **csv_options(body.get("csv", {})))


def _format_of(path: str) -> str:
    for ending in reversed(Path(path).suffixes):
        if ending.lower() in _ENDINGS:
            return _ENDINGS[ending.lower()]
    return "json"


class _Reader:
    """Turns a checked shape into values, section by section."""

    def __init__(self, problems: Noted) -> None:
        self.problems = problems
        self.file = problems.located.value

    def read(self) -> PipelineFile:
        for at, text in _texts(self.file, ()):
            if wrong := references.problem(text):
                self.problems.add(at, f"`{dotted(at)}`: {wrong}")
        ok, broken = self.file, self.problems.broken
        steps = list(self._steps())
        aggregates = list(self._aggregates({step.id for step in steps}))
        return PipelineFile(
            name=ok["name"] if not broken("name") else "",
            contract=ok["contract"] if not broken("contract") else "",
            batch=self._batch(),
            stream=self._stream(),
            steps=tuple(steps),
            aggregates=tuple(aggregates),
            sinks=self._sinks(),
        )

    def _batch(self) -> FileSource | None:
        at = ("source", "batch", "files")
        if self.problems.broken(*at) or "batch" not in self.file["source"]:
            return None
        return self.files(at)

    def files(self, at: NodePath) -> FileSource:
        body = self.problems.node(at)
        source = file_source(body)
        if "csv" in body and source.format != "csv":
            must = f"`{dotted(at)}.csv` must stand with format csv; got {source.format}"
            self.problems.add((*at, "csv"), f"{must}; remove it, or write format: csv")
        for key, problem in csv_problems(source):
            place = (*at, "csv", key)
            self.problems.add(place, f"`{dotted(place)}` {problem}")
        return source

    def _stream(self) -> StreamFace | None:
        if self.problems.broken("source", "stream") or "stream" not in self.file["source"]:
            return None
        return read_stream(self.problems)

    def _sinks(self) -> dict[str, dict[str, Any]]:
        if self.problems.broken("sinks") or "sinks" not in self.file:
            return {"lake": {}, "warehouse": {}}
        sinks = {name: dict(options or {}) for name, options in self.file["sinks"].items()}
        if "commit_every" in sinks.get("lake", {}):
            self.problems.duration(("sinks", "lake", "commit_every"))
        return sinks

    def _steps(self) -> Iterator[StepSpec]:
        """Yield the steps up to the first broken one: what comes after it has unknown columns."""
        if self.problems.broken("steps") and not isinstance(self.file.get("steps"), list):
            return
        seen: dict[str, int] = dict.fromkeys(ALWAYS, 0)
        counts: dict[str, int] = {}
        whole = True
        for i, step in enumerate(self.file.get("steps", ())):
            kinds = [kind for kind in KINDS if isinstance(step, dict) and kind in step]
            if len(kinds) == 1:
                counts[kinds[0]] = counts.get(kinds[0], 0) + 1
            if self.problems.broken("steps", i):
                whole = False
                continue
            if len(kinds) != 1:
                got = " and ".join(kinds) or "none"
                must = f"`steps[{i}]` must be exactly one of {', '.join(KINDS)}; got {got}"
                self.problems.add(("steps", i), f"{must}; make it one step each")
                whole = False
                continue
            kind = kinds[0]
            name = step.get("name", f"{kind}-{counts[kind]}")
            if name in seen:
                must = f"`steps[{i}]` must have a name of its own; got {quoted(name)}"
                self.problems.add(("steps", i), f"{must}, which is taken; write another `name`")
            seen[name] = i
            at: NodePath = ("steps", i, kind)
            self._parameters(kind, at)
            # A wrong horizon leaves the columns of the rows as they are.
            whole = whole and (kind == "deduplicate" or not self.problems.broken(*at))
            if whole:
                clear = tuple(step.get("clear", ()))
                yield StepSpec(id=name, kind=kind, body=step[kind], at=at, clear=clear)

    def _parameters(self, kind: str, at: NodePath) -> None:
        if kind == "deduplicate" and self.problems.duration((*at, "horizon")) == 0:
            must = f"`{dotted(at)}.horizon` must be more than nothing; got 0"
            self.problems.add((*at, "horizon"), f"{must}; write for example 1d")
        if kind == "enrich":
            self.files((*at, "from", "files"))

    def _aggregates(self, steps: set[str]) -> Iterator[AggregateSpec]:
        names: set[str] = set()
        found = self.file.get("aggregates", ())
        for i, body in enumerate(found if isinstance(found, list) else ()):
            at: NodePath = ("aggregates", i)
            if self.problems.broken(*at):
                check_durations(self.problems, (*at, "windowing"))
                continue
            name = body["name"]
            if name in names or name in steps or name.startswith("fact_"):
                must = f"`{dotted(at)}.name` must be a name of its own; got {quoted(name)}"
                self.problems.add((*at, "name"), f"{must}, which is taken; write another")
            names.add(name)
            window = read_window(self.problems, (*at, "windowing"))
            if not self.problems.broken(*at, "windowing"):
                yield AggregateSpec(
                    name=name,
                    window=window,
                    group_by=tuple(body.get("group_by", ())),
                    measures=dict(body["measures"]),
                    at=at,
                )


def _texts(value: Any, at: NodePath) -> Iterator[tuple[NodePath, str]]:
    """Yield the texts of a file in which a reference may stand."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, part in value.items():
            if at or key in ("source", "sinks", "steps"):
                yield from _texts(part, (*at, key))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _texts(part, (*at, i))
