"""Evaluation: order, isolation of failing rows, exact types, no value in a text."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.expressions import Expression, Place, check
from transforms.expressions import EvaluationError, Evaluator

SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string(), "other": pa.string()})


def evaluator(**texts: str) -> Evaluator:
    place = Place(Path("p"), 1)
    return Evaluator({name: check(text, SCHEMA, place=place) for name, text in texts.items()})


def batch(numbers: list[int | None], texts: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch([numbers, texts, ["-"] * len(numbers)], schema=SCHEMA)


def test_rows_keep_their_order_over_many_vectors() -> None:
    size = 50_000
    numbers = np.random.default_rng(3).permutation(size)
    rows = pa.record_batch(
        [pa.array(numbers), pa.nulls(size, pa.string()), pa.nulls(size, pa.string())], SCHEMA.names
    )
    doubled = evaluator(x="n * 2").evaluate(rows).columns["x"]
    assert np.array_equal(doubled.to_numpy(), numbers * 2)


def test_only_rows_that_fail_are_set_aside_and_a_null_is_no_failure() -> None:
    found = evaluator(x="CAST(text AS BIGINT)", y="10 // n").evaluate(
        batch([1, 0, None, 0, 5], ["1", "2", None, "x", "5"])
    )
    assert found.failed.tolist() == [1, 3]
    assert found.names == ("y", "x")
    assert found.columns["x"].to_pylist() == [1, 2, None, None, 5]
    assert found.columns["y"].to_pylist() == [10, None, None, None, 2]


def test_an_expression_that_occurs_twice_fails_on_the_same_rows_only() -> None:
    # DuckDB's optimizer would take the common part out of TRY and fail the whole batch.
    found = evaluator(x="CAST(text AS BIGINT)", y="CAST(text AS BIGINT) + 1").evaluate(
        batch([0, 0], ["1", "x"])
    )
    assert found.failed.tolist() == [1]
    assert found.columns["y"].to_pylist() == [2, None]


def test_a_branch_not_taken_cannot_fail() -> None:
    guarded = "CASE WHEN regexp_full_match(text, '[0-9]+') THEN CAST(text AS BIGINT) ELSE 0 END"
    found = evaluator(x=guarded).evaluate(batch([0, 0], ["7", "x"]))
    assert found.columns["x"].to_pylist() == [7, 0]
    assert not len(found.failed)


def test_results_have_exactly_the_type_of_the_plan() -> None:
    maker = evaluator(a="1", b="[1.5]", c="{'k': n}", d="CAST(n AS DECIMAL(9,2))", e="n > 0")
    columns = maker.evaluate(batch([1], ["x"])).columns
    assert {n: c.type for n, c in columns.items()} == {
        n: e.type for n, e in maker.expressions.items()
    }


def test_a_constant_has_one_value_for_each_row_and_an_empty_batch_none() -> None:
    assert evaluator(x="7").evaluate(batch([1, 2], ["", ""])).columns["x"].to_pylist() == [7, 7]
    assert evaluator(x="7", y="n").evaluate(batch([], [])).columns["y"].to_pylist() == []


def test_a_sliced_batch_gives_the_rows_of_the_slice() -> None:
    rows = batch([1, 2, 3, 4], ["a", "b", "c", "d"]).slice(1, 2)
    assert evaluator(x="n || text").evaluate(rows).columns["x"].to_pylist() == ["2b", "3c"]


def test_an_evaluator_pickles_and_works_on_several_threads() -> None:
    shared = pickle.loads(pickle.dumps(evaluator(x="n + 1")))
    found: dict[int, list[int]] = {}

    def work(base: int) -> None:
        rows = batch([base, base + 1], ["", ""])
        for _ in range(20):
            found[base] = shared.evaluate(rows).columns["x"].to_pylist()

    threads = [threading.Thread(target=work, args=(base,)) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [1, 2], 100: [101, 102], 200: [201, 202]}


def test_batches_of_other_sizes_and_schemas_may_follow_each_other() -> None:
    maker = evaluator(x="text || '!'", y="CAST(text AS BIGINT)")
    coded = batch([0, 0, 0], ["1", "2", "1"])
    coded = coded.set_column(1, "text", coded["text"].dictionary_encode())
    expected = [(batch([0], ["7"]), ["7!"], [7]), (coded, ["1!", "2!", "1!"], [1, 2, 1])]
    for rows, text, number in [*expected, *reversed(expected)] * 2:
        found = maker.evaluate(rows)
        assert found.columns["x"].to_pylist() == text
        assert found.columns["y"].to_pylist() == number
        assert maker.evaluate(batch([0, 0], ["x", "5"])).failed.tolist() == [0]


def test_an_error_of_the_whole_batch_names_the_expression_and_no_value() -> None:
    # `check` refuses error(): it fails outside TRY, with the value in its text.
    leaking = Expression(text="", sql="error(text)", type=pa.string(), columns=("text",))
    secret = "4111-1111"
    with pytest.raises(EvaluationError) as caught:
        Evaluator({"big": leaking}).evaluate(batch([1], [secret]))
    assert "big" in str(caught.value)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


NUMBER = evaluator(x="CAST(text AS BIGINT)")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.integers(-3, 3).map(str), st.sampled_from(["x", "", "9" * 30]))
    )
)
def test_a_row_fails_alone_as_it_fails_among_others(texts: list[str | None]) -> None:
    rows = batch([0] * len(texts), texts)
    together = NUMBER.evaluate(rows)
    alone = [NUMBER.evaluate(rows.slice(i, 1)) for i in range(len(texts))]
    assert together.failed.tolist() == [i for i, one in enumerate(alone) if len(one.failed)]
    assert together.columns["x"].to_pylist() == [one.columns["x"][0].as_py() for one in alone]
