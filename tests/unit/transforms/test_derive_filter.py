"""Derive and filter: every row on exactly one side, said without a value."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from schemas.expressions import Expression, Place, check
from schemas.names import POSITION_FIELDS, REFUSED, REMOVED
from transforms.derive import DeriveKernel
from transforms.filter import FilterKernel
from transforms.outcome import Outcome, chained

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.string()), *POSITION_FIELDS])
SECRET = "alice@example.com"


def rows(texts: list[str | None]) -> pa.RecordBatch:
    size = len(texts)
    sources = pa.array(["file"] * size).dictionary_encode()
    arrived = pa.array([0] * size, pa.timestamp("us", "UTC"))
    columns = [range(size), texts, sources, [10 * i for i in range(size)], [0] * size]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=False)]
    watermark = pa.nulls(size, SCHEMA.field("_watermark").type)
    return pa.record_batch([*arrays, arrived, watermark], schema=SCHEMA)


def expressions(texts: Mapping[str, str]) -> dict[str, Expression]:
    return {name: check(t, SCHEMA, place=Place(Path("p"), 1)) for name, t in texts.items()}


def derive(batch: pa.RecordBatch, **texts: str) -> Outcome:
    return pickle.loads(pickle.dumps(DeriveKernel("derive-1", expressions(texts))))(batch)


def test_derived_columns_see_the_row_as_it_came() -> None:
    out = derive(rows(["a", "b"]), n="n + 1", twice="n * 2").rows
    assert out["n"].to_pylist() == [1, 2]
    assert out["twice"].to_pylist() == [0, 2]
    assert out.schema.names == [*SCHEMA.names, "twice"]


def test_a_row_on_which_an_expression_fails_is_refused_without_its_value() -> None:
    outcome = derive(rows(["1", SECRET, None]), number="CAST(text AS BIGINT)")
    assert outcome.rows["number"].to_pylist() == [1, None]
    assert outcome.removed is None
    assert outcome.refused is not None
    assert outcome.refused.schema == REFUSED
    (letter,) = outcome.refused.to_pylist()
    assert (letter["_position"], letter["step"], letter["rule"]) == (10, "derive-1", "expression")
    assert letter["reason"] == "number must be computable; its expression failed"
    assert letter["record"] is None
    assert SECRET not in str(letter)


def test_a_filter_keeps_true_and_says_of_each_other_row_why() -> None:
    condition = expressions({"keep": "CAST(text AS BIGINT) > 1"})["keep"]
    outcome = FilterKernel("filter-1", condition)(rows(["2", "1", None, SECRET, "3"]))
    assert outcome.rows["text"].to_pylist() == ["2", "3"]
    assert outcome.removed is not None
    assert outcome.removed.schema == REMOVED
    said = [(r["_position"], r["destiny"], r["rule"]) for r in outcome.removed.to_pylist()]
    assert said == [(10, "filtered", "false"), (20, "filtered", "null")]
    assert outcome.refused is not None
    assert outcome.refused["_position"].to_pylist() == [30]


def test_a_batch_that_loses_nothing_is_passed_on_as_it_is() -> None:
    batch = rows(["2", "3"])
    condition = expressions({"keep": "n >= 0"})["keep"]
    assert FilterKernel("f", condition)(batch) == Outcome(batch)


def test_sides_of_two_steps_are_joined() -> None:
    batch = rows(["2", SECRET, "0"])
    first = derive(batch, number="CAST(text AS BIGINT)")
    keep = check("number > 0", first.rows.schema, place=Place(Path("p"), 1))
    both = chained(first, FilterKernel("filter-1", keep)(first.rows))
    assert both.rows["_position"].to_pylist() == [0]
    assert both.removed is not None
    assert both.removed["_position"].to_pylist() == [20]
    assert both.refused is not None
    assert both.refused["_position"].to_pylist() == [10]
    joined = chained(both, first)
    assert joined.refused is not None
    assert joined.refused["_source"].to_pylist() == ["file", "file"]
