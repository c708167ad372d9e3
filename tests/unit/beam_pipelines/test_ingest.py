"""How a run is cut for its runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from beam_pipelines.ingest import Engine, partitioned
from runners.direct import Direct
from schemas.planning import load_plan
from tests.pipelines.shop import make_folder
from transforms.sources.files import Slice
from transforms.sources.identity import Identity

MIB = 1 << 20


def slices(size: int, form: str = "json", compression: str = "none") -> list[Slice]:
    """Two slices of one file."""
    identity = Identity(size=size, modified_us=0)
    return [
        Slice(source="a", path="a", identity=identity, format=form, compression=compression),
        Slice(
            source="a", path="a", identity=identity, start=5, format=form, compression=compression
        ),
    ]


@pytest.mark.parametrize(
    ("size", "form", "compression", "want"),
    [
        (100 * MIB, "json", "none", 8),
        (640 * MIB + 1, "json", "none", 11),
        (640 * MIB, "json", "gzip", 100),
        (640 * MIB, "parquet", "none", 100),
    ],
)
def test_a_runner_that_gathers_keys_in_memory_gets_keys_that_fit_it(
    tmp_path: Path, size: int, form: str, compression: str, want: int
) -> None:
    plan = load_plan(make_folder(tmp_path))
    engine = Engine(open_pipeline=Direct().pipeline, key_bytes=64 * MIB)
    assert partitioned(engine, plan, slices(size, form, compression)).partitions == want


def test_other_runners_get_as_few_as_the_plan_says(tmp_path: Path) -> None:
    engine = Engine(open_pipeline=Direct().pipeline)
    assert partitioned(engine, load_plan(make_folder(tmp_path)), slices(1 << 40)) is engine
