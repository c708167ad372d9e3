"""Read a sample by the contract, and learn what it is like."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.errors import SourceError
from schemas.names import POSITION_FIELDS
from schemas.plan import FileSource
from schemas.references import public
from transforms.decode.decoder import make_decoder
from transforms.inference.csv_fields import csv_fields
from transforms.inference.reading import Part, read_part
from transforms.sources.blocks import Block
from transforms.synthetic.like.guard import Guard
from transforms.synthetic.like.learn import Learner
from transforms.synthetic.like.shapes import Likeness

_BYTES: Final = 32 << 20


def likeness_of(
    contract: Contract, source: FileSource, path: str, folder: Path, guard: Guard
) -> Likeness:
    """Learn what a sample is like, of at most 32 MiB of its records, and 200,000 columnar rows.

    Args:
        contract: What rows must be: only its columns are looked at.
        source: How the pipeline reads files; holds for samples of its format.
        path: File, directory, glob or URL.
        folder: Relative paths start here.
        guard: What of the sample may come out.

    Raises:
        SourceError: It cannot be read, is empty, too small, or not of the contract.
    """
    part = read_part(path, folder, max_bytes=_BYTES, known=source)
    table, reasons = _decoded(contract, part, known=source.format == part.source.format)
    misfits = sum(reasons.values())
    if misfits > table.num_rows:
        reason, _ = reasons.most_common(1)[0]
        msg = (
            f"most records of a sample must fit the contract; got {misfits:,} of "
            f"{table.num_rows + misfits:,} that do not in {public(path)} (most often: {reason}); "
            "give one that does"
        )
        raise SourceError(msg)
    if table.num_rows < 2 * guard.least:
        msg = (
            f"a sample must have at least {2 * guard.least} records, so that none shows among "
            f"them; got {table.num_rows} in {public(path)}; give a larger one"
        )
        raise SourceError(msg)
    learner = Learner(contract, table, guard, part.whole)
    keys = learner.learn()
    if not keys.shapes:
        msg = (
            f"a sample must have columns of the contract; got none of them in {public(path)}; "
            "give another, or leave --like out"
        )
        raise SourceError(msg)
    return Likeness(
        file=Path(public(part.files[0].path)).name if len(part.files) == 1 else public(path),
        rows=table.num_rows,
        misfits=misfits,
        sha256=_digest(part.blocks),
        keys=keys,
        copula=learner.copula(),
        rhythm=learner.rhythm,
        absent=tuple(learner.absent),
        hows=learner.hows,
    )


def _decoded(contract: Contract, part: Part, *, known: bool) -> tuple[pa.Table, Counter[str]]:
    """Decode what was read; return the rows, and why others do not fit the contract's types.

    Which texts of CSV mean null is looked for, unless it is known.
    """
    columns = tuple(_loose(column) for column in contract.columns if column.read)
    loose = replace(contract, columns=columns, event_time=None, primary_key=())
    source = part.source
    if source.format == "csv" and not known:
        found = csv_fields(part.blocks, source.delimiter)
        source = replace(source, nulls=found.nulls, written=found.written)
    decoder = make_decoder(loose, source)
    batches, reasons = [], Counter[str]()
    for block in part.blocks:
        decoded = decoder.decode(block)
        batches.append(decoded.rows)
        if decoded.refused is not None:
            reasons.update(decoded.refused["reason"].to_pylist())
    table = pa.Table.from_batches(batches, decoder.schema)
    return table.drop_columns([field.name for field in POSITION_FIELDS]), reasons


def _loose(column: Column) -> Column:
    """Return the column without what a sample may lack."""
    children = tuple(map(_loose, column.children))
    items = None if column.items is None else _loose(column.items)
    return replace(column, required=False, primary_key=None, children=children, items=items)


def _digest(blocks: Sequence[Block]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        data = block.data
        digest.update(data.serialize() if isinstance(data, pa.RecordBatch) else data.tobytes())
    return digest.hexdigest()
