"""Protect personal values right after validation: nothing later sees them in clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection
from typing_extensions import override

from schemas.contract import Column, Contract, Protection
from schemas.errors import UsageError
from schemas.names import EVENT_TIME
from schemas.protection import (
    address_format,
    generalize,
    items,
    mask,
    path_leaves,
    protected_schema,
    protected_type,
)
from transforms.decode.json_shape import Values
from transforms.decode.json_text import JsonText
from transforms.generalizing import generalized, masked
from transforms.keys import DEFAULT_REFERENCE, Key, Keyring, resolve
from transforms.open_objects import put, put_at
from transforms.pseudonyms import canonical_text, pseudonymize
from transforms.sealing import seal_records


def protect(
    batch: pa.RecordBatch,
    contract: Contract,
    keyring: Keyring | None,
    places: Mapping[str, Values] = MappingProxyType({}),
) -> pa.RecordBatch:
    """Replace or remove every value that the contract protects, at any depth.

    In struct fields and items of arrays the value is replaced; in an open object the JSON text is
    rewritten (keys that the contract does not name stay) and the path column holds the same
    protected value. Null and absent values stay what they are.

    Args:
        batch: Rows that `validate` kept: contract columns, path columns, others.
        contract: What is protected, and how.
        keyring: Needed where something is pseudonymized; its newest key is used.
        places: Where decode saw values of path columns (`Decoded.places`), if it told: the texts
            are not read again then.

    Returns:
        As many rows in the same order: the columns of `schemas.protection.protected_schema`, then
        the other columns as they were (`_event_time` generalized as the event time is).

    Raises:
        UsageError: When something is to be pseudonymized and there is no keyring.
    """
    work = _Walk(None if keyring is None else keyring.newest)
    columns: dict[str, pa.Array] = {}
    paths: dict[str, pa.Array] = {}
    known: set[str] = set()
    for column in contract.columns:
        known.add(column.name)
        values = batch.column(column.name)
        if not column.open:
            if protected_type(column) is not None:
                columns[column.name] = work.values(column, values)
            continue
        leaves = list(path_leaves(column))
        clear = {leaf.path: batch.column(leaf.path) for leaf, _ in leaves}
        known.update(clear)
        if column.protect is not Protection.DROP:
            done = {
                leaf.path: work.values(leaf, clear[leaf.path])
                for leaf, dropped in leaves
                if not dropped and protected_type(leaf) is not None
            }
            changed = [leaf.path for leaf, dropped in leaves if dropped or touches(leaf)]
            if changed and all(path in done and path in places for path in changed):
                new = [(places[path], done[path]) for path in changed]
                columns[column.name] = put_at(values, new)
            else:
                columns[column.name] = work.texts(column, values, clear, done, _edit(contract))
            paths |= done
    fields = list(protected_schema(contract))
    for field in batch.schema:
        if field.name not in known:
            paths[field.name] = batch.column(field.name)
            fields.append(field)
    if EVENT_TIME in paths:
        paths[EVENT_TIME] = _event_time(paths[EVENT_TIME], contract)
    columns |= paths
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))


class Protector:
    """The keys of one pipeline at work; pickles as the reference of its keys, never the keys."""

    def __init__(self, contract: Contract, secret: str, folder: Path) -> None:
        """Name the keys; they are read at the first use, and in no other process than that one.

        Args:
            contract: What is protected.
            secret: Reference of the keys (see `transforms.keys.resolve`).
            folder: The pipeline folder.
        """
        self.contract, self.secret, self.folder = contract, secret, folder

    @cached_property
    def keyring(self) -> Keyring | None:
        """The keys, or None where the contract has no personal data.

        Raises:
            UsageError: When the reference cannot be resolved.
        """
        return resolve(self.secret, self.folder) if self.contract.classified else None

    def protect(
        self, rows: pa.RecordBatch, places: Mapping[str, Values] = MappingProxyType({})
    ) -> pa.RecordBatch:
        """Protect one batch: see `protect`."""
        return protect(rows, self.contract, self.keyring, places)

    def seal(self, refused: pa.RecordBatch) -> pa.RecordBatch:
        """Encrypt the records of refused rows if the contract has personal data."""
        return refused if self.keyring is None else seal_records(refused, self.keyring)

    def __getstate__(self) -> dict[str, object]:
        return {"contract": self.contract, "secret": self.secret, "folder": self.folder}


@dataclass(eq=False, kw_only=True)
class Protect(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Protect the personal values of valid rows.

    Input: batches with contract columns and path columns. Output: see `protect`; as many batches,
    none refused. No state; order, windows and timestamps stay. The keys are read in the worker, at
    set-up, and never travel with the pipeline.

    Attributes:
        contract: What is protected.
        secret: Reference of the keys: `env:NAME` or `file:path`.
        folder: What relative paths start from.
    """

    contract: Contract
    secret: str = DEFAULT_REFERENCE
    folder: Path = Path()

    @override
    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        work = Protector(self.contract, self.secret, self.folder)
        return rows | "Protect" >> beam.ParDo(_Protect(work)).with_output_types(pa.RecordBatch)


class _Protect(beam.DoFn):
    def __init__(self, protector: Protector) -> None:
        self.protector = protector

    @override
    def setup(self) -> None:
        _ = self.protector.keyring  # a missing key ends the run here, not at the first row

    @override
    def process(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield self.protector.protect(rows)


@lru_cache(maxsize=8)
def _edit(_: Contract) -> JsonText:
    # It learns where keys stand in the texts of one contract, which makes the next batch cheaper.
    return JsonText()


def touches(column: Column) -> bool:
    """Whether anything in or under the column is protected."""
    inside = (*column.children, *((column.items,) if column.items else ()))
    return column.protect is not Protection.KEEP or any(map(touches, inside))


def _event_time(values: pa.Array, contract: Contract) -> pa.Array:
    column = next(c for c in contract.leaves() if c.path == contract.event_time)
    if column.protect is not Protection.GENERALIZE:
        return values
    return generalized(values, generalize(column))


@dataclass(frozen=True)
class _Walk:
    key: Key | None

    def values(self, column: Column, values: pa.Array) -> pa.Array:
        """Protected values of a column of which something is left."""
        if not touches(column):
            return values
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if column.open:
            msg = f"{column.path}: open objects must stand at the top level; got one inside another"
            raise UsageError(msg)
        if pa.types.is_struct(values.type) and column.children:
            return self._struct(column, values)
        if pa.types.is_list(values.type):
            return self._list(column, values)
        return self._leaf(column, values)

    def _leaf(self, column: Column, values: pa.Array) -> pa.Array:
        if column.protect is Protection.PSEUDONYMIZE:
            if self.key is None:
                msg = f"{column.path}: a pseudonym must have a key; got none; name it in the plan"
                raise UsageError(msg)
            return pseudonymize(values, self.key)
        if column.protect is Protection.MASK:
            return masked(canonical_text(values), mask(column))
        return generalized(values, generalize(column), address=address_format(column))

    def _struct(self, column: Column, values: pa.StructArray) -> pa.StructArray:
        flat = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
        kept = [child for child in column.children if protected_type(child) is not None]
        arrays = [self.values(child, flat[child.name]) for child in kept]
        fields = [
            values.type.field(c.name).with_type(a.type) for c, a in zip(kept, arrays, strict=True)
        ]
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=values.is_null())

    def _list(self, column: Column, values: pa.ListArray) -> pa.ListArray:
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        inner = self.values(items(column), values.flatten())
        kind = protected_type(column)
        return pa.ListArray.from_arrays(offsets, inner, type=kind, mask=values.is_null())

    @staticmethod
    def texts(
        column: Column,
        texts: pa.StringArray,
        clear: dict[str, pa.Array],
        protected: dict[str, pa.Array],
        edit: JsonText,
    ) -> pa.StringArray:
        """JSON texts of an open object with its declared keys protected in place.

        Args:
            column: The open object.
            texts: Its JSON texts.
            clear: Its path columns by name.
            protected: The same protected; what is dropped is not in it.
            edit: What it learned of earlier texts.
        """
        for keys, leaf in _leaves(column, ()):
            if leaf.path not in protected:
                texts = edit.remove(texts, keys)
            elif touches(leaf):
                texts = put(texts, keys, clear[leaf.path], protected[leaf.path], edit)
        return texts


def _leaves(column: Column, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Column]]:
    """Keys of each declared leaf of an open object; a dropped object counts as one."""
    for child in column.children:
        keys = (*above, child.name)
        if child.children and child.protect is not Protection.DROP:
            yield from _leaves(child, keys)
        else:
            yield keys, child
