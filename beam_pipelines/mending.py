"""Dead letters to a file that a person mends, and back at their positions, the edit recorded."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from beam_pipelines import batch
from beam_pipelines.commit_once import committer
from beam_pipelines.dead_letters import Choice, in_clear, landed
from beam_pipelines.failures import fate, told
from beam_pipelines.replay import Replayed, opened_rows, replay, rounds
from schemas.disk import writing
from schemas.errors import CommitError, SourceError, UsageError
from schemas.names import MENDED_AT, POSITION, SEQUENCE, SOURCE
from schemas.plan import Plan, Table
from transforms.commit.closing import PLACE, Closing, OvertakenError
from transforms.commit.committer import Committer
from transforms.commit.evolve import create_or_fit
from transforms.commit.near import Asked
from transforms.commit.tables import MENDED
from transforms.decode.headers import csv_names
from transforms.keys import Keyring
from transforms.protect import Protector
from transforms.sealing import seal

_TRIES: Final = 20
_POINTER: Final = "pointer"
_PLACES: Final = pa.schema([(SOURCE, pa.string()), (POSITION, pa.int64()), (SEQUENCE, pa.int32())])
_NAMES: Final = ("source", "position", "sequence")


@dataclass(frozen=True)
class PutBack:
    """What became of the lines of a file.

    Attributes:
        changed: Records that are others now.
        same: Records that are as they were.
        gone: Lines that name no dead letter: closed meanwhile, or never one.
        replayed: What became of the rows, changed or not.
    """

    changed: int
    same: int
    gone: int
    replayed: Replayed


Audit = Callable[[int], None]
"""Writes down that so many rows are about to be shown or changed."""


def export(plan: Plan, choice: Choice, path: Path, *, audit: Audit) -> int:
    """Write dead letters to a new file, one JSON object a line, records in clear, mode 0600.

    Args:
        plan: Whose.
        choice: Which.
        path: Must not be there.
        audit: Called before the first record is in clear.

    Returns:
        How many were written.

    Raises:
        UsageError: The file is there, or nothing has landed yet.
        DiskError: It cannot be written.
        SealError: A record was sealed with a key that is not here.
    """
    lake = landed(plan)
    refused = plan.operations("refused")
    at = lake.last_done().snapshots.get(refused)
    rows = opened_rows(lake, plan, at, choice)
    audit(rows.num_rows)
    with writing(path), _new(path) as file:
        for some in rounds(rows):
            records = in_clear(lake, plan, some, at)
            for why, held in zip(some.to_pylist(), records.to_pylist(), strict=True):
                line = {name: held[f"_{name}"] for name in _NAMES}
                line |= {n: why[n] for n in ("step", "rule", "reason")} | {"format": held["format"]}
                record = None if held["format"] == _POINTER else held["record"]
                file.write(json.dumps(line | _written(record)) + "\n")
    return rows.num_rows


@contextmanager
def _new(path: Path) -> Iterator[IO[str]]:
    """Make a file that its owner alone can read; it is gone again unless it is whole."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        msg = f"the file to export to must be a new one; got {path}; choose another name"
        raise UsageError(msg) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


def put_back(plan: Plan, path: Path, *, by: str, audit: Audit) -> PutBack:
    """Put the records of a file in place of those of their dead letters, and replay these.

    One commit changes all records, and says in `operations.<pipeline>_mended` who changed which,
    when, and the hashes of the record before and after. Killed in between, the records are changed
    and their rows are dead letters still: replay them, or put the same file back again.

    Args:
        plan: The plan of now.
        path: As `export` wrote it, records changed; lines may be left out.
        by: Who does it.
        audit: Called with the lines of the file, before anything is changed.

    Raises:
        UsageError: A line is not as it must be; nothing was changed.
        PenstockError: As `replay`.
    """
    lines = list(_lines(path))
    audit(len(lines))
    started = time.time()
    result = batch.Result(run_id=uuid.uuid4().hex, plan=plan)
    lake = landed(plan)
    with told(plan, lambda: fate(lake, result.run_id)):
        _, keys, _ = batch.ready(lake, result, batch.Options(), started)
        create_or_fit(lake.catalog, Table(name=plan.operations("mended"), schema=MENDED))
        own = committer(lake, plan, result.run_id, started, keys)
        changed, there = _mend(own, plan, result.run_id, lines, by)
    places = _places(lines)
    replayed = replay(plan, Choice(places=places))
    return PutBack(changed, there - changed, len(lines) - there, replayed)


def _mend(
    own: Committer, plan: Plan, run_id: str, lines: list[dict[str, Any]], by: str
) -> tuple[int, int]:
    """Change the records in one commit; return how many, and how many are dead letters still."""
    keyring = Protector(plan.contract, plan.secret, plan.folder).keyring
    refused = plan.operations("refused")
    for _ in range(_TRIES):
        state = own.ask()
        held = in_clear(own.lake, plan, _places(lines), state.snapshots.get(refused)).to_pylist()
        before = {tuple(row[n] for n in PLACE): row for row in held}
        new = [
            line
            for line in lines
            if (old := before.get(_place(line))) is not None
            and _differs(line, old, plan.source.delimiter)
        ]
        if not new:
            return 0, len(held)
        asked = Asked(state.seq, state.snapshots.get(plan.processed))
        closing = Closing(
            closed=_PLACES.empty_table(),
            changed=_changed(new, keyring),
            mended=_mended(new, before, run_id, keyring, by),
        )
        try:
            own.commit([], {}, asked=asked, closing=closing)
        except OvertakenError:
            continue
        return len(new), len(held)
    msg = "dead letters must hold still to be mended; others close them; import the file again"
    raise CommitError(msg)


def _differs(line: dict[str, Any], old: dict[str, Any], delimiter: str) -> bool:
    """Whether a line has another record than its dead letter.

    Raises:
        UsageError: It is not of the form of the old one.
    """
    record, before = line["record"], None if old["format"] == _POINTER else old["record"]
    if record == before and (record is None or line["format"] == old["format"]):
        return False
    wrong = ""
    if record is None:
        wrong = "`record` must stay there; got none; put the old one back, or leave the line out"
    elif old["format"] != _POINTER and line["format"] != old["format"]:
        was, now = old["format"], line["format"]
        wrong = f"`format` must stay {was!r}; got {now!r}; put it back, and mend the record in it"
    elif line["format"] == "csv" and before and not _has_columns(record, before, delimiter):
        wrong = (
            "`record` must begin with the header line that it was exported with, columns added at "
            "most; got another line; put the header back, and mend the fields under it"
        )
    if wrong:
        msg = f"{line['at']}: {wrong}"
        raise UsageError(msg)
    return True


def _has_columns(record: bytes, before: bytes, delimiter: str) -> bool:
    """Whether the header of a CSV record names all columns that another record has."""
    new, old = (one.partition(b"\n")[0] for one in (record, before))
    if new == old:
        return True
    with suppress(SourceError):  # of what is no header
        return {*csv_names(old, delimiter, "")} <= {*csv_names(new, delimiter, "")}
    return False


def _changed(lines: list[dict[str, Any]], keyring: Keyring | None) -> pa.Table:
    records = pa.array([line["record"] for line in lines], pa.binary())
    if keyring is not None:
        records = seal(records, keyring)
    changed = _places(lines).append_column("record", records)
    changed = changed.append_column("format", pa.array([line["format"] for line in lines]))
    at = pa.scalar(datetime.now(UTC), MENDED_AT.type)
    return changed.append_column(MENDED_AT, pa.repeat(at, len(lines)))


def _mended(
    lines: list[dict[str, Any]],
    before: dict[tuple[Any, ...], dict[str, Any]],
    run_id: str,
    keyring: Keyring | None,
    by: str,
) -> pa.Table:
    same = {"at": datetime.now(UTC), "by": by, "run_id": run_id}
    rows = [
        {
            **dict(zip(PLACE, _place(line), strict=True)),
            **same,
            "before": _hash(before[_place(line)]["record"], keyring),
            "after": _hash(line["record"], keyring),
        }
        for line in lines
    ]
    return pa.Table.from_pylist(rows, schema=MENDED)


def _hash(record: bytes | None, keyring: Keyring | None) -> str | None:
    if record is None:
        return None
    if keyring is None:
        return hashlib.sha256(record).hexdigest()
    key = keyring.newest
    return f"{key.id}:{hmac.new(key.secret.encode(), record, hashlib.sha256).hexdigest()}"


def _place(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in _NAMES)


def _places(lines: list[dict[str, Any]]) -> pa.Table:
    rows = [dict(zip(PLACE, _place(line), strict=True)) for line in lines]
    return pa.Table.from_pylist(rows, schema=_PLACES)


def _written(record: bytes | None) -> dict[str, Any]:
    if record is None:
        return {"record": None}
    try:
        return {"record": record.decode()}
    except UnicodeDecodeError:
        return {"record_base64": base64.b64encode(record).decode()}


def _text(path: Path) -> str:
    if path.is_char_device() or path.is_block_device():  # some have no end; a pipe has one
        raise OSError(errno.EINVAL, "a device")
    return path.read_text(encoding="utf-8")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file, each with where it stands (`at`).

    Raises:
        UsageError: The file cannot be read, or a line is not as `export` writes them.
    """
    seen: set[tuple[Any, ...]] = set()
    try:
        texts = _text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "other bytes"
        msg = (
            f"the file to import must be UTF-8 text; got {path}: {why}; name one that was exported"
        )
        raise UsageError(msg) from None
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        line = _line(text)
        if isinstance(line, str):
            msg = f"{path}:{number}: {line}; export the rows anew and change records only"
            raise UsageError(msg)
        if _place(line) in seen:
            msg = f"{path}:{number}: each row must be there once; got this one before; leave one"
            raise UsageError(msg)
        seen.add(_place(line))
        yield line | {"at": f"{path}:{number}"}


def _line(text: str) -> dict[str, Any] | str:
    """Return a line read, or what must hold of it."""
    try:
        line = json.loads(text)
    except ValueError:
        return "a line must be one JSON object; got something else"
    if not isinstance(line, dict):
        return "a line must be one JSON object; got another value"
    kinds = (("source", str), ("position", int), ("sequence", int), ("format", str))
    for name, kind in kinds:
        if type(line.get(name)) is not kind:
            return f"`{name}` must be there, of type {kind.__name__}"
    if not {"record", "record_base64"} & {*line}:
        return "`record` must be there, or `record_base64`"
    record = line.get("record")
    if "record_base64" in line:
        try:
            record = base64.b64decode(str(line["record_base64"]), validate=True)
        except binascii.Error:
            return "`record_base64` must be base64"
    elif isinstance(record, str):
        record = record.encode("utf-8", "surrogatepass")
    elif record is not None:
        return "`record` must be text (of a JSON record its text, not the object)"
    if record is not None and line["format"] in ("", _POINTER):
        return "`format` must say what the record is, such as json"
    return {**{name: line[name] for name, _ in kinds}, "record": record}
