"""Beam imported without what a local run never uses, in a process of its own."""

import gc
import subprocess
import sys
import textwrap
from pathlib import Path

from pydantic import BaseModel

from runners.lean import collect_from_here, deferred_models

ROOT = Path(__file__).parents[3]


def python(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_command_says_nothing_of_bigquery(tmp_path: Path) -> None:
    # An import of Beam in full, which others than `import_libraries` do.
    code = "import sys; from beam_pipelines.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "stop", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("there must be a stream to stop")


def test_beam_runs_without_what_was_postponed_and_then_gets_the_real_thing() -> None:
    python(
        """
        import sys
        from runners.lean import import_libraries

        import_libraries()
        import apache_beam as beam
        import pyarrow as pa
        from runners.direct import Direct
        from transforms import batches

        made = []
        with Direct(1).pipeline() as root:
            batch = pa.RecordBatch.from_pydict({"a": [1, 2]})
            rows = root | beam.Create([batch]) | beam.Map(lambda b: (1, b)) | beam.GroupByKey()
            rows | beam.Map(lambda kv: made.append(sum(b.num_rows for b in kv[1])))
        postponed = {"beartype", "cryptography", "fastavro", "grpc", "httplib2", "proto", "pytz"}
        postponed |= {"dateutil.parser", "polars.io", "pyiceberg.expressions.parser", "strictyaml"}
        assert not postponed & set(sys.modules), postponed & set(sys.modules)

        # What is called is there.
        from apache_beam.typehints.typehints import is_consistent_with
        from apache_beam.transforms.util import Fernet
        from apache_beam.utils.timestamp import Timestamp
        from pyiceberg.expressions import parser

        class Odd: ...
        assert is_consistent_with(bool, int) and not is_consistent_with(int, Odd)
        assert not is_consistent_with(Odd(), Odd)  # beartype raises an error of its own
        assert Fernet(Fernet.generate_key())
        assert Timestamp.from_rfc3339("1970-01-01T00:00:01Z") == Timestamp(1)
        import polars
        context = polars.SQLContext(a=polars.read_csv(b"a,b"))
        assert isinstance(context, polars.SQLContext) and context.tables() == ["a"]
        assert str(parser.parse("a > 1").term) == "Reference(name='a')"

        # What others import is the real thing.
        import fastavro, grpc
        assert grpc.__file__ and fastavro.__file__ and grpc.insecure_channel("x")

        # What was built upon a stand-in says so.
        from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor
        try:
            WorkerIdInterceptor("x")
        except ImportError as error:
            assert "needs grpc" in str(error), error
        else:
            raise AssertionError
        """
    )


def test_models_are_built_on_first_use_in_the_block_only() -> None:
    with deferred_models():

        class Late(BaseModel):
            a: int

    class Soon(BaseModel):
        a: int

    assert not Late.__pydantic_complete__
    assert Soon.__pydantic_complete__
    assert Late.model_validate({"a": "1"}).a == 1
    assert "defer_build" not in BaseModel.model_config


def test_the_collector_of_another_program_is_left_as_it_is() -> None:
    before = gc.get_threshold()
    frozen = gc.get_freeze_count()
    collect_from_here()
    assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == (True, before, frozen)


def test_help_imports_none_of_the_big_ones() -> None:
    python(
        """
        import sys
        from beam_pipelines.cli import main

        assert main(["--help"]) == 0
        big = {"apache_beam", "duckdb", "jsonschema", "numpy", "polars", "pyarrow", "pydantic"}
        assert not big & set(sys.modules), big & set(sys.modules)
        """
    )


def test_validate_and_plan_do_without_beam() -> None:
    python(
        """
        import sys
        from beam_pipelines.cli import main

        assert main(["validate", "beam_pipelines/events"]) == 0
        assert main(["plan", "beam_pipelines/events"]) == 0
        big = {"apache_beam", "jsonschema", "polars", "pyiceberg", "rich"}
        assert not big & set(sys.modules), big & set(sys.modules)
        """
    )
