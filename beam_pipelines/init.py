"""From samples to a pipeline folder: what `penstock init` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beam_pipelines.documents.folder import documents
from beam_pipelines.init_check import check_text
from beam_pipelines.init_contract import contract_text, measured
from beam_pipelines.init_pipeline import pipeline_text
from schemas.disk import writing
from schemas.errors import SourceError, SpecError, UsageError
from schemas.plan import Plan
from schemas.planning import check_pipeline
from schemas.references import is_url, public
from transforms.inference.fields import Sample
from transforms.inference.infer import Proposal, infer
from transforms.inference.lookups import LookupTable, find_lookup
from transforms.inference.names import pipeline_name
from transforms.inference.reading import read_sample
from transforms.sources.places import corrected, expand

Ask = Callable[[str, Sequence[str]], str]
"""Puts a question and its answers to a person; returns one of them."""


_MEANT: Final = (
    ("the source must be a readable path, glob,", "a sample must be a readable file, glob,"),
    ("the source must name at least one file", "a sample must name at least one file"),
    ("every file of the source must", "every file of a sample must"),
    ("check source.batch.files.format and that its quotes close", "check that its quotes close"),
    ("nothing was written: ", ""),
    ("or set source.batch.files.format", "or name it by what it is"),
)
"""Of a pipeline, which is not there yet -> of what the person gave."""
_NAMED: Final = re.compile(r" *- name: (.*)")
_ALIKE: Final = 0.8
_IGNORED: Final = "out/\n.penstock-key\n__pycache__/\n"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What was begun.

    Attributes:
        folder: Of the pipeline.
        proposal: What the contract says.
        lookups: Tables that rows are enriched from.
        personal: Names of tables that they could be, but for what is personal: all of it.
        files: What was written, from the folder.
    """

    folder: Path
    proposal: Proposal
    lookups: tuple[LookupTable, ...]
    personal: tuple[str, ...] = ()
    files: tuple[str, ...]


def begin(samples: Sequence[str], into: Path | None, ask: Ask | None) -> Begun:
    """Look at samples and write a pipeline folder over them.

    Args:
        samples: Files, directories, globs or URLs; of several shapes, the largest is the source
            and others must be lookup tables of it.
        into: The folder; its last part names the pipeline. None: named by the sample, here.
        ask: Puts what cannot be found out to a person; None: nobody is asked.

    Raises:
        UsageError: The folder has something in it, or a sample is neither source nor lookup.
        SourceError: A sample cannot be read.
    """
    read = _read(samples)
    read.sort(
        key=lambda sample: (sample.about_rows or sample.stored_bytes, len(sample.fields)),
        reverse=True,
    )
    main, *others = read
    name = pipeline_name(str(into.absolute()) if into else main.path)
    folder = (into or Path(name)).absolute()
    _check_free(folder)
    proposal = _asked(infer(name, main), ask)
    if not proposal.properties:
        why = next(iter(proposal.left_out.values()))
        msg = (
            "a sample must have a column that a contract can have; got none in "
            f"{public(main.path)} (of the first: {why}); give other records"
        )
        raise UsageError(msg)
    lookups: list[LookupTable] = []
    personal: list[str] = []
    for sample in others:
        taken = [p.name for p in proposal.properties] + [n for table in lookups for n in table.add]
        table = infer(pipeline_name(sample.path), sample)
        found = find_lookup(sample, table.properties, proposal.properties, taken)
        if isinstance(found, str):
            msg = (
                "samples must be of one shape, or small tables that a column of the largest refers "
                f"to; got {public(sample.path)} beside {public(main.path)}: {found}; begin a "
                "pipeline for each"
            )
            raise UsageError(msg)
        if found.add:
            lookups.append(found)
        else:
            personal.append(found.name)
    texts = {
        "contract.odcs.yaml": contract_text(proposal, folder),
        "pipeline.yaml": pipeline_text(proposal, lookups, folder),
        "tests/test_pipeline.py": check_text(proposal),
    }
    if not (folder / ".gitignore").exists():
        texts[".gitignore"] = _IGNORED
    new = not folder.exists()
    try:
        _write(folder, texts)
        plan = _checked(folder, texts, main)
        texts |= {made.name: made.after for made in documents(plan, measured(proposal))}
        _write(folder, texts)
    except BaseException:
        _remove(folder, texts)
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise
    return Begun(
        folder=folder,
        proposal=proposal,
        lookups=tuple(lookups),
        personal=tuple(personal),
        files=tuple(texts),
    )


def _checked(folder: Path, texts: dict[str, str], sample: Sample) -> Plan:
    """Return the plan of what was written.

    Raises:
        UsageError: It is no pipeline. The files go with it, so what was written there is said.
    """
    try:
        return check_pipeline(folder)[0]
    except SpecError as error:
        first, *more = error.problems
        lines = texts[first.file.name].splitlines()[: first.line]
        named = (
            map(_NAMED.fullmatch, reversed(lines))
            if first.file.name == "contract.odcs.yaml"
            else ()
        )
        column = next((found[1] for found in named if found), "")
        where = f"the column {column}: " if column else ""
        what = where + first.message.rpartition(";")[0]
        msg = (
            "what a sample holds must be such that a pipeline can have it; got "
            f"{public(sample.path)}, over which there can be none: {what}"
            + (f" (and {len(more)} more)" if more else "")
            + "; rename it in the sample, or give one without it"
        )
        raise UsageError(msg) from error


def _read(samples: Sequence[str]) -> list[Sample]:
    """Read samples; those of one shape are one."""
    paths = [path if is_url(path) else str(Path(path).absolute()) for path in samples]
    read = [_read_one(path) for path in paths]
    shapes: list[list[Sample]] = []
    for sample in read:
        alike = next((shape for shape in shapes if _are_alike(shape[0], sample)), None)
        if alike is None:
            shapes.append([sample])
        else:
            alike.append(sample)
    return [
        shape[0] if len(shape) == 1 else _read_one(_glob([s.path for s in shape]))
        for shape in shapes
    ]


def _read_one(path: str) -> Sample:
    """Read a sample; what a source says of its files is said of the sample."""
    try:
        return read_sample(path, Path.cwd())
    except SourceError as error:
        why = str(corrected(error, "SAMPLE"))
        for said, meant in _MEANT:
            why = why.replace(said, meant)
        raise SourceError(why) from error


def _are_alike(one: Sample, other: Sample) -> bool:
    """Whether records of two samples are of one kind: all of their keys, or nearly all.

    Keys that were made up say nothing: then types must be the same.
    """
    mine, its = ({field.key for field in s.fields} for s in (one, other))
    written = (one.format, one.delimiter, one.skip) == (other.format, other.delimiter, other.skip)
    alike = written and len(mine & its) >= _ALIKE * len(mine | its)
    if alike and (one.names or other.names):
        types = [[p.logical for p in infer("", sample).properties] for sample in (one, other)]
        return types[0] == types[1]
    return alike


def _glob(paths: Sequence[str]) -> str:
    """Return the glob that names these files and no other.

    Raises:
        UsageError: There is none.
    """
    first = _common(paths)
    last = _common([path[len(first) :][::-1] for path in paths])[::-1]
    glob = f"{first}*{last}"
    wanted = {file.uri for path in paths for file in expand(path, Path())}
    if {file.uri for file in expand(glob, Path())} != wanted:
        msg = (
            "files of one shape must be told from others by a glob, since a source has one path; "
            f"got {glob}, which names more; put them in a folder of their own"
        )
        raise UsageError(msg)
    return glob


def _common(texts: Sequence[str]) -> str:
    """Return what all texts begin with."""
    low, high = min(texts), max(texts)
    return next((low[:i] for i, c in enumerate(low) if c != high[i : i + 1]), low)


def _check_free(folder: Path) -> None:
    for name in ("contract.odcs.yaml", "pipeline.yaml", "tests", "docs"):
        if (folder / name).exists():
            msg = f"nothing may be overwritten; got {folder / name}; choose a folder with --into"
            raise UsageError(msg)
    if folder.exists() and not folder.is_dir():
        msg = f"the folder must be one, or not be there yet; got the file {folder}; use --into"
        raise UsageError(msg)


def _write(folder: Path, texts: dict[str, str]) -> None:
    with writing(folder):
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _remove(folder: Path, texts: Iterable[str]) -> None:
    """Delete what was begun, so that it can be begun again; folders only if they are empty."""
    paths = [folder / text for text in texts]
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    made = {parent for path in paths for parent in path.parents if folder in parent.parents}
    for one in sorted(made, reverse=True):
        with suppress(OSError):
            one.rmdir()


def _asked(proposal: Proposal, ask: Ask | None) -> Proposal:
    """Let a person decide what the sample does not say."""
    if ask is None:
        return proposal
    when, chosen, keep = proposal.event_time, None, False
    if when.others and when.computed is None and when.name:
        chosen = ask("Which column says when it happened?", (when.name, *when.others))
    hidden = [path for path, prop in proposal.personal if prop.protect != "keep"]
    if hidden:
        question = f"{', '.join(hidden)}: likely personal. Protect, or keep as it is?"
        keep = ask(question, ("protect", "keep")) == "keep"
    if chosen in (None, when.name) and not keep:
        return proposal
    return infer(proposal.name, proposal.sample, event_time=chosen, keep=keep)
