"""Object and array columns whose values come as JSON text in a field of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.names import POSITION
from transforms.decode.arrow_types import simple
from transforms.decode.decoded import Decoded
from transforms.decode.json_lines import JsonDecoder
from transforms.decode.json_texts import json_texts
from transforms.decode.typed import Failures, nested
from transforms.sources.blocks import Block


class NestedTexts:
    """Reads the object and array columns of a contract from one JSON text each.

    The texts of a row are put together to one line of JSON, which the JSON decoder reads by a
    contract of these columns alone: so they mean the same in every format.
    """

    def __init__(self, contract: Contract) -> None:
        """Keep what it reads."""
        self._contract = contract
        self._columns = tuple(
            replace(c, physical=None) for c in contract.columns if c.read and nested(c)
        )
        alone = replace(contract, columns=self._columns, event_time=None, primary_key=())
        self._decoder = JsonDecoder(alone, undeclared=True) if self._columns else None
        self._paths = tuple(c.path for c in alone.path_columns())

    def read(self, texts: Mapping[str, pa.Array], failures: Failures) -> dict[str, pa.Array]:
        """Return the columns and path columns; note rows whose text does not fit.

        Args:
            texts: JSON text of some columns; others of the contract are left alone.
            failures: Takes rule and reason of each row that does not fit, and undeclared keys.
        """
        found = [c for c in self._columns if c.name in texts]
        if self._decoder is None or not found or not failures.rows:
            return {}
        columns = {c.name: texts[c.name] for c in found}
        for name, values in columns.items():
            bad = ~_valid(values)
            if bad.any():
                (column,) = (c for c in found if c.name == name)
                reason = f"`{name}` must be JSON text"
                failures.wrong(bad, reason, column, self._contract, "json")
                columns[name] = pc.if_else(pa.array(~bad), values, None)
        data, starts = _lines(columns)
        decoded = self._decoder.decode(Block("", 0, data, 0))
        self._note(decoded.refused, starts, failures)
        at = np.full(failures.rows, -1)
        at[np.searchsorted(starts, decoded.rows[POSITION].to_numpy())] = np.arange(
            decoded.rows.num_rows
        )
        _note_undeclared(decoded, starts, failures)
        for name, rows in decoded.nulled.items():
            failures.nulled[name] = np.isin(at, rows) | failures.nulled.get(name, np.False_)
        order = pa.array(at, mask=at < 0)
        names = [c.name for c in found] + list(self._paths)
        return {name: decoded.rows[name].take(order) for name in names}

    def _note(
        self, refused: pa.RecordBatch | None, starts: NDArray[np.int64], failures: Failures
    ) -> None:
        if refused is None:
            return
        rows = np.searchsorted(starts, refused[POSITION].to_numpy()).tolist()
        told = zip(rows, refused["rule"].to_pylist(), refused["reason"].to_pylist(), strict=True)
        for row, rule, reason in told:
            failures.first.setdefault(row, (rule, reason))


def _note_undeclared(decoded: Decoded, starts: NDArray[np.int64], failures: Failures) -> None:
    for one in decoded.undeclared:
        for key in one.keys:
            mask = failures.undeclared.setdefault(key, np.zeros(failures.rows, np.bool_))
            for batch, numbers in ((decoded.rows, one.rows), (decoded.refused, one.refused)):
                if batch is not None:
                    places = batch[POSITION].to_numpy()[numbers]
                    mask[np.searchsorted(starts, places)] = True


def _valid(texts: pa.Array) -> NDArray[np.bool_]:
    """Return which texts are each one JSON value; null is."""
    with _engine().cursor() as connection:
        connection.register("texts", pa.table({"t": texts}))
        found = connection.sql("SELECT coalesce(json_valid(t), true) AS v FROM texts")
        return found.to_arrow_table()["v"].combine_chunks().to_numpy(zero_copy_only=False)


def to_json(values: pa.Array) -> pa.Array:
    """Return values of a nested type as JSON text; text itself is taken for JSON."""
    values = simple(values)
    if pa.types.is_nested(values.type):
        return pc.if_else(values.is_valid(), json_texts(values), None)
    return values.cast(pa.string())


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Open one database in memory; each caller takes a cursor (0.2 ms, not 20)."""
    connection = duckdb.connect(config={"threads": 1, "temp_directory": ""})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _lines(columns: Mapping[str, pa.Array]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return one JSON object a row, and where each starts."""
    parts: list[object] = []
    for i, (name, texts) in enumerate(columns.items()):
        # A newline between tokens may be a tab as well; within a string neither is JSON.
        flat = pc.replace_substring_regex(pc.fill_null(texts, "null"), r"[\r\n]", "\t")
        parts += [("," if i else "{") + orjson.dumps(name).decode() + ":", flat]
    lines = pc.binary_join_element_wise(*parts, "}\n", "")
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[: len(lines) + 1]
    return np.frombuffer(lines.buffers()[2], np.uint8)[: offsets[-1]], offsets[:-1].astype(np.int64)
