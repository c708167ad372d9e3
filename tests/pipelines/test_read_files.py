"""`ReadFiles` gives every record of a source once, on one of two sides, on each runner."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from schemas.contract import Column, Contract
from schemas.plan import FileSource
from transforms.batches import BatchCoder
from transforms.decode.decoder import Decode, FindSlices, ReadFiles

CONTRACT = Contract(
    id="t",
    name="t",
    version="1",
    file=Path("contract.odcs.yaml"),
    columns=(
        Column(name="n", path="n", logical="integer", type=pa.int64()),
        Column(name="name", path="name", logical="string", type=pa.string()),
    ),
    event_time=None,
    primary_key=(),
    hash="",
)


def values(name: str) -> beam.FlatMap:
    return beam.FlatMap(lambda batch: batch[name].to_pylist()).with_output_types(object)


def write(folder: Path) -> FileSource:
    lines = [json.dumps({"n": n, "name": f"x{n}"}).encode() + b"\n" for n in range(300)]
    lines[7], lines[200] = b'{"n": "seven"}\n', b"{\n"
    (folder / "a.jsonl").write_bytes(b"".join(lines[:100]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[100:])))
    return FileSource(path="*.jsonl*", block_bytes=500)


def test_each_record_is_a_row_or_refused(
    tmp_path: Path, open_pipeline: Callable[[], beam.Pipeline]
) -> None:
    source = write(tmp_path)
    with open_pipeline() as root:
        read = root | ReadFiles(CONTRACT, source, tmp_path)
        numbers = read.rows | "N" >> values("n")
        rules = read.refused | "Rule" >> values("rule")
        assert_that(numbers, equal_to(sorted(set(range(300)) - {7, 200})), label="rows")
        assert_that(rules, equal_to(["type", "json"]), label="refused")


def test_a_damaged_file_fails_the_pipeline_with_its_message(
    tmp_path: Path, open_pipeline: Callable[[], beam.Pipeline]
) -> None:
    source = write(tmp_path)
    packed = (tmp_path / "b.jsonl.gz").read_bytes()
    (tmp_path / "b.jsonl.gz").write_bytes(packed[:-20])
    with pytest.raises(Exception, match=r"must be whole; got damage in .*b\.jsonl\.gz"):  # noqa: SIM117
        with open_pipeline() as root:
            _ = root | ReadFiles(CONTRACT, source, tmp_path)


def test_batches_travel_as_arrow_on_both_sides(tmp_path: Path) -> None:
    root = beam.Pipeline()
    slices = root | FindSlices(write(tmp_path), tmp_path)
    read = slices | Decode(CONTRACT, write(tmp_path))
    for side in read:
        assert isinstance(beam.coders.registry.get_coder(side.element_type), BatchCoder)
