"""A python step accounts for every row, whatever the user's function does."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.names import POSITION_FIELDS, TIMESTAMP
from transforms.outcome import Outcome
from transforms.python_step import PythonKernel, PythonStepError

Make = Callable[..., PythonKernel]


def batch(values: list[int | None], start: int = 0) -> pa.RecordBatch:
    size = len(values)
    when = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * size, TIMESTAMP)
    columns = [
        pa.array(values, pa.int64()),
        pa.DictionaryArray.from_arrays(pa.array([0] * size, pa.int32()), ["file:///f"]),
        pa.array(range(start, start + size), pa.int64()),
        pa.array([0] * size, pa.int32()),
        when,
        pa.nulls(size, TIMESTAMP),
    ]
    return pa.record_batch(columns, schema=pa.schema([pa.field("n", pa.int64()), *POSITION_FIELDS]))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    folders = count()

    def kernel(body: str, columns: pa.Schema | None = None) -> PythonKernel:
        text = "import pyarrow as pa\nimport pyarrow.compute as pc\nimport polars as pl\n"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        # A folder each: bytecode of a file of the same second and size would be taken for its own.
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        (folder / "mine.py").write_text(f"{text}def f(b):\n{lines}")
        return PythonKernel("python-1", "mine:f", folder, columns)

    return kernel


def positions(side: pa.RecordBatch | None) -> list[int]:
    return [] if side is None else side.column("_position").to_pylist()


def sides(outcome: Outcome) -> tuple[list[int], list[int], list[int]]:
    return positions(outcome.rows), positions(outcome.removed), positions(outcome.refused)


def test_rows_that_do_not_come_back_are_filtered(make: Make) -> None:
    outcome = make("return b.filter(pc.greater(b['n'], 1))")(batch([1, 2, None, 3], start=10))
    assert sides(outcome) == ([11, 13], [10, 12], [])
    assert outcome.removed is not None
    assert (
        outcome.removed.select(["destiny", "step", "rule"]).to_pylist()
        == [{"destiny": "filtered", "step": "python-1", "rule": "python"}] * 2
    )


def test_a_batch_that_comes_back_whole_is_not_looked_through(make: Make) -> None:
    rows = batch([1, 2])
    assert make("return b")(rows) == Outcome(rows)


def test_another_order_is_put_right(make: Make) -> None:
    outcome = make("return b.take(pa.array([2, 0]))")(batch([5, 6, 7]))
    assert outcome.rows.column("n").to_pylist() == [5, 7]
    assert sides(outcome) == ([0, 2], [1], [])


def test_the_rows_on_which_it_raises_are_refused_by_class_alone(make: Make) -> None:
    body = "if 13 in b['n'].to_pylist():\n    raise ValueError('canary 13')\nreturn b"
    outcome = make(body)(batch([1, 13, 3, 4, 13, 6, 7]))
    assert sides(outcome) == ([0, 2, 3, 5, 6], [], [1, 4])
    assert outcome.refused is not None
    said = outcome.refused.select(["step", "rule", "reason", "record"]).to_pylist()[0]
    assert said == {
        "step": "python-1",
        "rule": "python",
        "reason": "mine:f must return rows; it raised ValueError",
        "record": None,
    }


VALUES = st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, st.sets(st.integers(0, 9), max_size=3), st.sets(st.integers(0, 9), max_size=3))
def test_every_row_has_one_destiny(
    make: Make, values: list[int | None], fails: set[int], drops: set[int]
) -> None:
    body = f"""\
if any(n in {fails or {-1}} for n in b['n'].to_pylist()):
    raise KeyError
return b.filter(pa.array([n not in {drops or {-1}} for n in b['n'].to_pylist()]))"""
    outcome = make(body)(batch(values))
    refused = [i for i, n in enumerate(values) if n in fails]
    removed = [i for i, n in enumerate(values) if n in drops and n not in fails]
    kept = [i for i in range(len(values)) if i not in refused and i not in removed]
    assert sides(outcome) == (kept, removed, refused)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return pa.concat_batches([b, b])", "return each row at most once; got 2 more than once"),
        (
            "return b.set_column(2, '_position', pa.array([7, 8]))",
            "add no rows; got 2 at positions that did not come in",
        ),
        ("return b.drop_columns(['_position'])", "keep the position columns; got others"),
        ("return b.set_column(1, '_source', pa.nulls(2))", "add no rows"),
        ("return b.drop_columns(['n'])", "return the column 'n' once; got none"),
        ("return b.append_column('m', b['n'])", r"return only declared columns; got 1 more, at 7"),
        ("return b.set_column(0, 'n', b['n'].cast(pa.float64()))", "'n' as int64; got double"),
        ("return b.set_column(0, 'n', b['n'].cast(pa.string()))", "'n' as int64; got string"),
        ("return b.to_pylist()", "return a pyarrow.RecordBatch; got list"),
        ("return None", "return a pyarrow.RecordBatch; got NoneType"),
        ("import no_such_thing", "must find what it imports at import time"),
    ],
)
def test_a_broken_promise_ends_the_run(make: Make, body: str, message: str) -> None:
    with pytest.raises(PythonStepError, match=message):
        make(body)(batch([1, 2]))


def test_declared_columns_are_what_comes_out(make: Make) -> None:
    declared = pa.schema(
        [pa.field("n", pa.int64()), pa.field("twice", pa.int64()), pa.field("s", pa.string())]
    )
    body = """\
d = pl.from_arrow(b).with_columns(twice=(pl.col('n') * 2).cast(pl.Int32), s=pl.lit('x'))
return d.to_arrow().combine_chunks().to_batches()[0]"""
    outcome = make(body, declared)(batch([1, None]))
    assert outcome.rows.schema == pa.schema([*declared, *POSITION_FIELDS])
    assert outcome.rows.column("twice").to_pylist() == [2, None]
    assert sides(outcome) == ([0, 1], [], [])


def test_a_column_declared_without_nulls_has_none(make: Make) -> None:
    declared = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    with pytest.raises(PythonStepError, match="return 'n' without nulls; got some"):
        make("return b", declared)(batch([1, None]))


def test_position_columns_cannot_be_changed_but_by_taking_rows_out(make: Make) -> None:
    body = "return b.set_column(4, '_arrived', pa.nulls(1, pa.timestamp('us', 'UTC')))"
    rows = batch([1])
    assert make(body)(rows).rows.equals(rows)


def test_the_kernel_pickles_as_a_name(make: Make) -> None:
    kernel = make("return b.slice(1)")
    kernel.setup()
    again: PythonKernel = pickle.loads(pickle.dumps(kernel))
    assert sides(again(batch([1, 2]))) == ([1], [0], [])


def test_an_empty_batch_does_not_reach_the_function(make: Make) -> None:
    assert sides(make("raise ValueError")(batch([]))) == ([], [], [])


def seeing(make: Make, body: str, *reads: str, **columns: pa.DataType) -> PythonKernel:
    kernel = make(body, pa.schema(list(columns.items())) if columns else None)
    kernel.reads = reads
    return kernel


def with_secret(values: list[int | None]) -> pa.RecordBatch:
    rows = batch(values)
    return rows.add_column(0, "secret", pa.array([f"s{i}" for i in range(rows.num_rows)]))


def test_a_function_sees_and_changes_nothing_but_what_it_reads(make: Make) -> None:
    body = """\
assert b.schema.names[0] == 'n' and 'secret' not in b.schema.names
twice = pc.multiply(b['n'], 2)
b = b.set_column(0, 'n', pa.array([0] * b.num_rows))
return b.append_column('twice', twice).filter(pc.greater(twice, 2))"""
    outcome = pickle.loads(pickle.dumps(seeing(make, body, "n", twice=pa.int64())))(
        with_secret([1, 2, 3])
    )
    assert sides(outcome) == ([1, 2], [0], [])
    assert outcome.rows.schema.names[:3] == ["secret", "n", "twice"]
    assert outcome.rows.select(["secret", "n", "twice"]).to_pylist() == [
        {"secret": "s1", "n": 2, "twice": 4},
        {"secret": "s2", "n": 3, "twice": 6},
    ]


def test_a_declared_column_that_it_does_not_see_takes_the_place_of_the_old(make: Make) -> None:
    body = "return b.append_column('secret', pc.cast(b['n'], pa.string()))"
    outcome = seeing(make, body, "n", secret=pa.string())(with_secret([1, None]))
    assert outcome.rows.select(["secret", "n"]).to_pylist() == [
        {"secret": "1", "n": 1},
        {"secret": None, "n": None},
    ]


def test_columns_that_are_neither_read_nor_declared_are_an_error_without_their_names(
    make: Make,
) -> None:
    body = "return b.append_column('Bob', b['n'])"
    with pytest.raises(PythonStepError, match=r"declared columns; got 1 more, at 7;") as caught:
        seeing(make, body, "n")(with_secret([1]))
    assert "Bob" not in str(caught.value)
