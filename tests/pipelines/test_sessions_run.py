"""Sessions through the whole path: one file, several in any order, and a stream of the same rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from runners.direct import Direct
from tests.pipelines.shop import (
    PROCESSED,
    REFUSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from tests.pipelines.test_stream import build
from tests.pipelines.visits import VISITS, WITH_SESSIONS, assert_visits
from tests.streams import spread, stream_plan

Run = Callable[..., dict[str, Any]]
LINES = sales(0, 600, broken=4, copies=60).splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path, pipeline=WITH_SESSIONS)


def _check(out: Out, lines: list[bytes], *, warehouse: bool = True) -> None:
    want = expected({"a": b"\n".join(lines)})
    assert_tables(out, want, warehouse=warehouse)
    stored = out.rows(VISITS)
    assert_visits(stored, want["rows"].values())
    assert all(row["_final"] for row in stored)
    if warehouse:
        assert_visits(out.warehouse(VISITS), want["rows"].values())


def test_one_file_gives_the_sessions_of_its_rows(folder: Path, out: Out, run: Run) -> None:
    (folder / "data" / "a.jsonl").write_bytes(b"\n".join(LINES))
    result = run()
    _check(out, LINES)
    stored = len(out.rows(VISITS))
    assert result["tables"][VISITS] == {"rows": stored, "added": stored}
    run()
    assert len(out.done()) == 1


def test_files_of_later_runs_merge_sessions_and_the_warehouse_follows(
    folder: Path, out: Out, run: Run
) -> None:
    rng, landed = random.Random(4), list[bytes]()
    shuffled = LINES.copy()
    rng.shuffle(shuffled)
    for number, end in enumerate((40, 350, len(shuffled))):
        piece = shuffled[len(landed) : end]
        (folder / "data" / f"{number}.jsonl").write_bytes(b"\n".join(piece))
        run()
        landed += piece
        _check(out, landed)
    assert len({row["_epoch"] for row in out.rows(VISITS)}) == 3
    fresh = {(r["window_start"], r["country"], r["pieces"]): r for r in out.rows(VISITS)}
    run("--rebuild")
    _check(out, landed)
    assert len(out.rows(VISITS)) == len(fresh)


def test_an_aggregate_of_sessions_that_is_new_is_computed_over_the_lake(
    folder: Path, out: Out, run: Run
) -> None:
    text = (folder / "pipeline.yaml").read_text()
    (folder / "data" / "a.jsonl").write_bytes(b"\n".join(LINES))
    (folder / "pipeline.yaml").write_text(text.replace("gap: 2m", "gap: 7m"))
    run()
    (folder / "pipeline.yaml").write_text(text)
    run()
    _check(out, LINES)


def test_a_stream_gives_the_sessions_of_a_batch(folder: Path) -> None:
    plan = stream_plan(folder)
    with Direct().pipeline() as root:
        build(root, plan, spread(LINES, partitions=3, size=100), ticks=False)
    _check(Out(plan.out), LINES, warehouse=False)


@pytest.mark.stack
def test_a_stream_gives_the_sessions_of_a_batch_on_prism(
    folder: Path, prism: Callable[[], list[str]]
) -> None:
    plan = stream_plan(folder)
    with beam.Pipeline(options=PipelineOptions(prism())) as root:
        build(root, plan, spread(LINES, partitions=3, size=100), ticks=True)
    _check(Out(plan.out), LINES, warehouse=False)
    assert len(Out(plan.out).rows(PROCESSED))


def test_a_row_whose_windows_end_after_the_year_9999_is_refused(
    folder: Path, out: Out, run: Run
) -> None:
    line = next(x for x in LINES if b'"amount": 50' in x)
    moments = ("0001-01-01T00:00:00Z", "9999-12-31T22:59:59Z", "9999-12-31T23:00:00Z")
    rows = [json.loads(line) | {"sale_id": f"y{n}", "sold_at": at} for n, at in enumerate(moments)]
    (folder / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run()
    assert result["rows"] | {"read": 3, "kept": 2, "refused": 1} == result["rows"]
    (dead,) = out.rows(REFUSED)
    assert dead["rule"] == "event_time_range"
    assert "9999-12-31" not in dead["reason"]
    assert len(out.rows(VISITS)) == len(out.warehouse(VISITS)) == 2
