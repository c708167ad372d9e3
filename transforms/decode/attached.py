"""Columns of a contract that stand beside a message's payload: in its key, in its headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from schemas.names import POSITION_FIELDS
from transforms.decode.casts import cast_text, expected, isolate
from transforms.decode.decoded import Decoded
from transforms.decode.json_shape import rows_of
from transforms.decode.refusals import joined, of_rows
from transforms.decode.typed import Failures, nulled_rows
from transforms.sources.streams.raw import HEADERS, KEY, find_rows


class Attached:
    """Reads such columns from text, as CSV has them; pickles.

    A key or header that is not there, or has no value, is null; of several headers of one name the
    last counts. A row whose text does not fit is refused (rule `type`).
    """

    def __init__(self, contract: Contract, key: str | None, headers: Mapping[str, str]) -> None:
        """Choose the columns.

        Args:
            contract: Columns that it does not have are left alone.
            key: Column of the key.
            headers: Column -> name of its header.
        """
        self._contract = contract
        names = {*headers} | ({key} if key is not None else set())
        self._columns = tuple(c for c in contract.columns if c.name in names and c.read)
        self._headers = dict(headers)

    @property
    def places(self) -> dict[str, str | None]:
        """Column -> name of its header; None: it is the key."""
        return {c.name: self._headers.get(c.name) for c in self._columns}

    @property
    def payload(self) -> Contract:
        """The contract of what the payload holds."""
        here = {c.name for c in self._columns}
        time = self._contract.event_time
        return replace(
            self._contract,
            columns=tuple(c for c in self._contract.columns if c.name not in here),
            event_time=None if time in here else time,
        )

    def add(self, raw: pa.RecordBatch, decoded: Decoded) -> Decoded:
        """Add the columns to rows that were decoded of raw messages."""
        if not self._columns:
            return decoded
        rows = decoded.rows
        at = pa.array(find_rows(raw, rows))
        failures = Failures(rows.num_rows)
        columns = dict(zip(rows.schema.names, rows.columns, strict=True))
        for column in self._columns:
            texts = self._bytes(raw, column).take(at)
            columns[column.name] = self._read(texts, column, failures)
        order = [c.name for c in self._contract.columns if c.name in columns]
        rest = [n for n in rows.schema.names if n not in order]
        fields = {f.name: f for f in POSITION_FIELDS}
        schema = pa.schema([fields.get(n, pa.field(n, columns[n].type)) for n in (*order, *rest)])
        whole = pa.record_batch([columns[n] for n in schema.names], schema=schema)
        if not failures.first:
            return decoded._replace(rows=whole, nulled={**decoded.nulled, **nulled_rows(failures)})
        refused = joined(decoded.refused, of_rows(rows, failures, decoded))
        good = failures.good()
        places = {path: rows_of(one, good) for path, one in decoded.places.items()}
        nulled = {name: np.flatnonzero(np.isin(good, at)) for name, at in decoded.nulled.items()}
        return decoded._replace(
            rows=whole.take(pa.array(good)),
            refused=refused,
            places=places,
            nulled={**nulled, **nulled_rows(failures)},
        )

    def _read(self, values: pa.Array, column: Column, failures: Failures) -> pa.Array:
        texts = isolate(lambda part: part.cast(pa.string()), values, pa.string())
        cast = cast_text(texts.values, column)
        reason = f"`{column.name}` must be {expected(column)}"
        failures.wrong(texts.bad, reason, column, self._contract)
        failures.wrong(cast.bad, reason, column, self._contract)
        return cast.values

    def _bytes(self, raw: pa.RecordBatch, column: Column) -> pa.Array:
        name = self._headers.get(column.name)
        return raw[KEY] if name is None else last_of(raw[HEADERS], name)


def last_of(headers: pa.Array, name: str) -> pa.Array:
    """Return the value of the last header of a name in each message."""
    owner = pc.list_parent_indices(headers).to_numpy()
    items = headers.flatten()
    found = np.flatnonzero(pc.equal(items.field("name"), name).to_numpy(zero_copy_only=False))
    at = np.full(len(headers), -1)
    at[owner[found]] = found  # later ones overwrite
    return items.field("value").take(pa.array(at, mask=at < 0))
