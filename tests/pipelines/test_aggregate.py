"""`AggregateWindows` as anyone would use it in a pipeline of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders.coders import DillCoder, FastPrimitivesCoder, PickleCoder
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import WATERMARK
from schemas.plan import Aggregate, Window
from tests.aggregates import Row, aggregate, batch, by_key, expected, measure
from transforms.aggregate import windowed
from transforms.aggregate.partials import compute
from transforms.aggregate.windowed import AggregateWindows
from transforms.aggregate.windows import AggregateError

OpenPipeline = Callable[[], beam.Pipeline]

MEASURES = (
    measure("n", "count"),
    measure("total", "sum", "x"),
    measure("mean", "avg", "i"),
    measure("deviation", "stddev", "i"),
    measure("users", "approx_count_distinct", "s"),
    measure("first", "first", "s"),
    measure("high", "max", "i"),
)
SPAN = 100 * 86_400_000_000
WINDOWS = [
    Window(type="fixed", size_us=SPAN // 4, offset_us=5),
    Window(type="sliding", size_us=SPAN, period_us=SPAN // 4),
    Window(type="sliding", size_us=SPAN + 7, period_us=SPAN // 3, allowed_lateness_us=3),
    Window(type="global"),
    Window(type="sessions", gap_us=SPAN // 50),
    Window(type="sessions", gap_us=SPAN // 20, allowed_lateness_us=3),
]


def _rows(count: int) -> list[Row]:
    return [
        {
            "t": (k * 7919 % 1009) * SPAN // 97 - 3 * SPAN,
            "g": ("a", "b", None)[k % 3],
            "x": k / 7,
            "i": k * k % 101,
            "s": f"u{k % 11}",
            WATERMARK: None if k % 5 else k * SPAN // 50,
        }
        for k in range(count)
    ]


def _run(pipeline: beam.Pipeline, of: Aggregate, pieces: list[list[Row]], partitions: int) -> None:
    rows = [row for piece in pieces for row in piece]
    batches = [batch(piece) for piece in pieces]
    wanted = compute(batches, of, 4)

    def check(found: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(found, of.schema)
        got, want = by_key(table, of), by_key(wanted, of)
        assert {key: row["n"] for key, row in got.items()} == {
            key: row["n"] for key, row in expected(rows, of).items()
        }
        deviations = [
            (row.pop("deviation"), want[key].pop("deviation")) for key, row in got.items()
        ]
        assert all(a == b or math.isclose(a, b, rel_tol=1e-9) for a, b in deviations)
        assert got == want
        assert set(table["_epoch"].to_pylist()) == {4}
        assert set(table["_final"].to_pylist()) == {True}

    with pipeline as root:
        panes = (
            root
            | beam.Create(batches).with_output_types(pa.RecordBatch)
            | AggregateWindows(of, partitions, epoch=4, threads=2)
        )
        assert_that(panes, check)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w.type}-{w.size_us + w.gap_us}")
def test_every_window_gets_the_rows_that_a_loop_over_them_gives(
    open_pipeline: OpenPipeline, window: Window
) -> None:
    rows = _rows(90)
    of = aggregate(*MEASURES, window=window)
    _run(open_pipeline(), of, [rows[:50], rows[50:57], rows[57:]], 3)


@settings(max_examples=4, deadline=None)
@given(
    order=st.permutations(range(40)),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    partitions=st.sampled_from([1, 2, 7]),
    window=st.sampled_from(WINDOWS),
)
def test_no_cut_order_or_number_of_partitions_changes_the_rows(
    order: list[int], cuts: list[int], partitions: int, window: Window
) -> None:
    rows = [_rows(40)[k] for k in order]
    edges = sorted({0, 40, *cuts})
    pieces = [rows[a:b] for a, b in pairwise(edges)]
    of = aggregate(*MEASURES, window=window)
    _run(beam.Pipeline(runner=FnApiRunner()), of, pieces, partitions)


def test_bundles_that_outgrow_their_room_are_flushed_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windowed, "_FLUSH_BYTES", 1_000)
    monkeypatch.setattr(windowed, "_ELEMENT_BYTES", 2_000)
    rows = _rows(120)
    of = aggregate(*MEASURES, window=WINDOWS[1])
    pieces = [rows[k : k + 10] for k in range(0, 120, 10)]
    _run(beam.Pipeline(runner=FnApiRunner()), of, pieces, 2)


def test_no_rows_give_no_panes(open_pipeline: OpenPipeline) -> None:
    with open_pipeline() as root:
        panes = (
            root
            | beam.Create([batch([])]).with_output_types(pa.RecordBatch)
            | AggregateWindows(aggregate(*MEASURES))
        )
        assert_that(panes, _is_empty)


def _is_empty(found: list[pa.RecordBatch]) -> None:
    assert found == []


class _Coders(PipelineVisitor):
    """Collects the coder of every PCollection, and of what travels inside a combine."""

    def __init__(self) -> None:
        self.found: dict[str, beam.coders.Coder] = {}

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        for made in transform_node.outputs.values():
            coder = beam.coders.registry.get_coder(made.element_type)
            self.found[transform_node.full_label] = coder
        if isinstance(transform_node.transform, beam.CombinePerKey):
            label = f"accumulator of {transform_node.full_label}"
            self.found[label] = transform_node.transform.fn.get_accumulator_coder()

    enter_composite_transform = visit_transform


def _parts(coder: beam.coders.Coder) -> list[beam.coders.Coder]:
    inside = coder._get_component_coders() or ()
    return [coder, *(part for one in inside for part in _parts(one))]


def test_nothing_on_the_path_is_pickled() -> None:
    root = beam.Pipeline(runner=FnApiRunner())
    rows = root | beam.Create([batch([])]).with_output_types(pa.RecordBatch)
    for window in WINDOWS:
        _ = rows | f"{window}" >> AggregateWindows(aggregate(*MEASURES, window=window), 2)
    coders = _Coders()
    root.visit(coders)
    path = {label: c for label, c in coders.found.items() if "Window(" in label}
    assert sum("accumulator" in label for label in path) == len(WINDOWS)
    for label, coder in path.items():
        for part in _parts(coder):
            assert not isinstance(part, FastPrimitivesCoder | PickleCoder | DillCoder), label


def test_rows_that_are_windowed_already_are_refused() -> None:
    root = beam.Pipeline(runner=FnApiRunner())
    rows = root | beam.Create([batch([])]).with_output_types(pa.RecordBatch)
    with pytest.raises(AggregateError, match="must be in the global window"):
        _ = rows | beam.WindowInto(FixedWindows(60)) | AggregateWindows(aggregate(*MEASURES))


def test_sessions_are_refused_where_panes_fire() -> None:
    root = beam.Pipeline(runner=FnApiRunner())
    rows = root | beam.Create([batch([])]).with_output_types(pa.RecordBatch)
    of = aggregate(*MEASURES, window=Window(type="sessions", gap_us=5))
    with pytest.raises(AggregateError, match="got sessions; run the pipeline with --stream"):
        _ = rows | AggregateWindows(of, streaming=True)


SECOND = 1_000_000


def _stream(of: Aggregate, stream: TestStream, check: Callable[[list[Any]], None]) -> None:
    options = PipelineOptions([])
    options.view_as(StandardOptions).streaming = True
    # The one local runner that plays a TestStream in process.
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as root:
        panes = (
            root
            | stream
            | beam.Map(batch).with_output_types(pa.RecordBatch)
            | AggregateWindows(of, 1, streaming=True)
            | beam.FlatMap(lambda found: found.select(["n", "_rows", "_final"]).to_pylist())
        )
        assert_that(panes, check)


def test_panes_of_a_stream_accumulate() -> None:
    window = Window(
        type="fixed",
        size_us=60 * SECOND,
        allowed_lateness_us=120 * SECOND,
        trigger={"type": "after_watermark", "early": {"type": "after_count", "count": 1}},
    )
    of = aggregate(measure("n", "count"), window=window)

    def rows(*seconds: int) -> TimestampedValue:
        return TimestampedValue([{"t": s * SECOND, "g": "a"} for s in seconds], min(seconds))

    stream = (
        TestStream()
        .advance_watermark_to(0)
        .add_elements([rows(1, 2)])
        .add_elements([rows(30)])
        .advance_watermark_to(100)
        .add_elements([rows(59)])
        .advance_watermark_to_infinity()
    )

    def check(found: list[Row]) -> None:
        counts = [row["n"] for row in found]
        assert counts == sorted(counts)
        assert counts[0] < counts[-1] == 4
        assert all(row["n"] == row["_rows"] for row in found)

    _stream(of, stream, check)
