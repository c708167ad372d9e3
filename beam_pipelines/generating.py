"""Files of made-up records that satisfy a contract, and a manifest of what was put in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.contract import Contract
from schemas.disk import writing
from schemas.errors import SourceError, UsageError
from schemas.names import TIMESTAMP
from schemas.plan import Plan
from transforms.lookups import LookupFiles
from transforms.rules import check
from transforms.sources.places import corrected
from transforms.synthetic.faults import breaker, faults_of
from transforms.synthetic.like.guard import Guard
from transforms.synthetic.like.sampled import likeness_of
from transforms.synthetic.like.shapes import Likeness
from transforms.synthetic.rows import Wanted, records
from transforms.synthetic.stream import ARRIVALS, GOOD, WHAT, Shares, Stamped, arrivals
from transforms.synthetic.values import Span, at_path
from transforms.synthetic.written import csv_header, csv_lines, json_lines, keyed, nested_as_json

SUFFIXES: Final = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_PACKED: Final = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        path: The file to make; its name says format and compression.
        rows: Distinct records.
        seed: The same seed gives the same bytes.
        span: Where event times lie.
        shares: How much is wrong.
        like: What a sample is like; None: rows by the contract alone.
    """

    path: Path
    rows: int
    seed: int
    span: Span
    shares: Shares
    like: Likeness | None = None


@dataclass
class Manifest:
    """What a file holds: the answer that a run over it must give.

    `broken` counts by column and kind; records of these and of `duplicates` and `late` are listed,
    by line and position, in a Parquet file beside the manifest. `like` says what was learnt of a
    sample, without its values.
    """

    file: str
    records: int = 0
    good: int = 0
    broken: int = 0
    duplicate: int = 0
    late: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    seed: int = 0
    sha256: str = ""
    first_event: str = ""
    end_event: str = ""
    like: dict[str, Any] | None = None


def learn(plan: Plan, sample: str, form: str) -> Likeness:
    """Learn what a sample is like, for rows of a plan's contract in a format.

    Raises:
        SourceError: See `likeness_of`.
    """
    guard = Guard(never=plan.source.nulls if form == "csv" else ())
    try:
        return likeness_of(plan.contract, plan.source, sample, Path.cwd(), guard)
    except SourceError as error:
        raise corrected(error, "--like") from error


def format_of(path: Path) -> str:
    """Return json, csv or parquet, by the name of a file.

    Raises:
        UsageError: The name says none of them.
    """
    name = path.with_suffix("") if path.suffix in _PACKED else path
    form = SUFFIXES.get(name.suffix)
    if form is None or (form == "parquet" and path.suffix in _PACKED):
        msg = (
            f"the file must be named .jsonl, .csv (either also with .gz or .zst) or .parquet; "
            f"got {path.name!r}; name it so"
        )
        raise UsageError(msg)
    return form


def generate(plan: Plan, order: Order) -> Manifest:
    """Make a file of records, and beside it FILE.manifest.json and FILE.manifest.parquet.

    Raises:
        UsageError: The file is there already, or the contract leaves no such rows.
        PenstockError: It cannot be written.
    """
    path, form = order.path, format_of(order.path)
    if path.exists():
        msg = f"the file must not be there yet; got {path}; remove it, or write another with --into"
        raise UsageError(msg)
    contract = plan.contract
    keys = {column.name: column.key for column in contract.columns if column.read}
    names = plan.source.names if form == "csv" else ()
    if names:
        keys = _in_order(keys, names)
    shares = order.shares
    stream = arrivals(
        _stamped(plan, order, form),
        shares,
        order.seed,
        faults_of(contract, form) if shares.broken else [],
        breaker(keys, form, plan.source) if shares.broken else None,
    )
    manifest = Manifest(file=path.name, seed=order.seed)
    manifest.like = None if order.like is None else order.like.summary()
    manifest.first_event, manifest.end_event = _iso(order.span.start_us), _iso(order.span.end_us)
    header = b"\n" * plan.source.skip if form == "csv" else b""
    if form == "csv" and not names:
        header += csv_header(list(keys.values()), plan.source.delimiter)
    write = _write_parquet if form == "parquet" else _text_writer(path, header)
    with _whole(path) as made:
        listed = write(made, stream, manifest)
        manifest.sha256 = _digest(made)
        pq.write_table(listed, path.with_name(f"{path.name}.manifest.parquet"))
        text = json.dumps(asdict(manifest), indent=1) + "\n"
        path.with_name(f"{path.name}.manifest.json").write_text(text, encoding="utf-8")
    return manifest


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which gets its name when the block ends well."""
    made = path.with_name(f".{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield made
            made.rename(path)
        finally:
            made.unlink(missing_ok=True)


def _in_order(keys: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return columns and their keys as the fields of a file without header stand.

    Raises:
        UsageError: One has no field.
    """
    if missing := sorted(set(keys.values()) - set(names)):
        msg = (
            "each column of the contract must have a field to be generated; "
            f"got none for {missing[0]!r}; add it to source.batch.files.csv.names"
        )
        raise UsageError(msg)
    columns = {key: column for column, key in keys.items()}
    return {columns.get(name, f"{name} of no column"): name for name in names}


def _stamped(plan: Plan, order: Order, form: str) -> Iterator[Stamped]:
    """Yield records as they are written, with their event times."""
    contract = plan.contract
    wanted = Wanted(
        rows=order.rows,
        seed=order.seed,
        span=order.span,
        known=_references(plan),
        like=order.like,
    )
    open_objects = [column.name for column in contract.columns if column.open]
    done = 0
    for table in records(contract, wanted):
        times = _times(table, contract, wanted, done)
        done += table.num_rows
        if form == "parquet":
            yield keyed(nested_as_json(table, contract, open_objects), contract), times
        else:
            lines = (
                json_lines(table, contract)
                if form == "json"
                else csv_lines(table, contract, plan.source)
            )
            yield pa.table({"line": lines}), times


def _times(table: pa.Table, contract: Contract, wanted: Wanted, done: int) -> np.ndarray:
    path = (contract.event_time or "").split(".")
    if path[0] in table.column_names:
        return at_path(table, path).cast(pa.int64()).to_numpy(zero_copy_only=False)
    # Computed from other columns: only the order in the file goes by these.
    length = wanted.span.end_us - wanted.span.start_us
    share = (done + np.arange(table.num_rows)) / wanted.rows
    return wanted.span.start_us + (share * length).astype(np.int64)


def _references(plan: Plan) -> list[pa.Table]:
    """Return keys of the lookup tables, as far as the contract's rules admit them."""
    read = {column.name: column for column in plan.contract.columns if column.read}
    event_time = (plan.contract.event_time or "").split(".")[0]
    found = []
    for step in plan.steps:
        if step.kind != "enrich":
            continue
        lookup = LookupFiles.of(step, plan.folder).load()
        if not set(lookup.on) <= read.keys() - {event_time}:
            continue
        keys = [key.cast(read[n].type) for n, key in zip(lookup.on, lookup.keys, strict=True)]
        table = pa.table(keys, list(lookup.on))
        for name in lookup.on:
            for rule in read[name].rules:
                test = check(read[name], rule, name).test
                kept = test(table[name].combine_chunks()) if test is not None else None
                table = table if kept is None else table.filter(kept)
        if table.num_rows:
            found.append(table)
    return found


Write = Callable[[Path, Iterator[pa.Table], Manifest], pa.Table]


def _text_writer(path: Path, header: bytes) -> Write:
    packed = _PACKED.get(path.suffix)

    def write(made: Path, stream: Iterator[pa.Table], manifest: Manifest) -> pa.Table:
        listed, position = [], len(header)
        with pa.output_stream(str(made), compression=packed) as out:
            out.write(header)
            for table in stream:
                lines = table["line"].combine_chunks()
                sizes = pc.binary_length(lines).to_numpy()
                starts = position + np.cumsum(sizes) - sizes
                position += int(sizes.sum())
                out.write(_joined(lines))
                listed.append(_counted(table, manifest, starts))
        return pa.concat_tables(listed)

    return write


def _write_parquet(made: Path, stream: Iterator[pa.Table], manifest: Manifest) -> pa.Table:
    listed: list[pa.Table] = []
    writer: pq.ParquetWriter | None = None
    for table in stream:
        rows = table.drop_columns(list(ARRIVALS))
        writer = writer or pq.ParquetWriter(made, rows.schema, compression="zstd")
        writer.write_table(rows)
        listed.append(_counted(table, manifest, manifest.records + np.arange(table.num_rows)))
    if writer is not None:
        writer.close()
    return pa.concat_tables(listed)


def _counted(table: pa.Table, manifest: Manifest, starts: np.ndarray) -> pa.Table:
    """Count what a part of the file holds; return a line for each record that is not just good."""
    what = table["what"].to_numpy()
    for number, name in enumerate(WHAT):
        setattr(manifest, name, getattr(manifest, name) + int((what == number).sum()))
    for kind, column in zip(
        table["kind"].drop_null().to_pylist(), table["column"].drop_null().to_pylist(), strict=True
    ):
        fault = f"{column}: {kind}" if column else kind
        manifest.faults[fault] = manifest.faults.get(fault, 0) + 1
    rows = np.flatnonzero(what != WHAT.index(GOOD))
    numbers = manifest.records + rows
    manifest.records += table.num_rows
    some = table.select(["kind", "column"]).take(pa.array(rows))
    columns = {
        "record": pa.array(numbers),
        "position": pa.array(starts[rows].astype(np.int64)),
        "what": pa.array([WHAT[code] for code in what[rows].tolist()], pa.string()),
        "kind": some["kind"],
        "column": some["column"],
    }
    return pa.table(columns)


def _joined(lines: pa.LargeBinaryArray) -> memoryview:
    offsets = np.frombuffer(lines.buffers()[1], np.int64)[lines.offset :][: len(lines) + 1]
    return memoryview(lines.buffers()[2] or b"")[offsets[0] : offsets[-1]]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _iso(micros: int) -> str:
    return str(pa.scalar(micros, pa.int64()).cast(TIMESTAMP).as_py().isoformat())


def summary(manifest: Manifest, seconds: float) -> dict[str, Any]:
    """Return what the command line prints."""
    return asdict(manifest) | {"seconds": round(seconds, 3)}
