"""`penstock load`: the warehouse follows the lake, whenever it is started."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from beam_pipelines.cli import main
from tests.pipelines.shop import FACT, HOURLY, Out, assert_tables, expected, make_folder, sales


def test_a_warehouse_is_loaded_later_again_and_anew_from_the_lake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path)
    out = Out(folder / "out")
    assert main(["load", str(folder)]) == 2
    assert "penstock run" in capsys.readouterr().err
    files = {"a.jsonl": sales(0, 50), "b.jsonl": sales(30, 50, copies=3)}
    for name, content in files.items():
        (folder / "data" / name).write_bytes(content)
        assert main(["run", str(folder), "--sinks", "lake"]) == 0
    want = expected(files)
    assert main(["load", str(folder)]) == 0
    assert "2 commits" in capsys.readouterr().out
    assert_tables(out, want)
    assert main(["load", str(folder)]) == 0
    assert "nothing new" in capsys.readouterr().out

    # Somebody spoils the warehouse, and has a table of their own in it.
    with duckdb.connect(str(out.path / "warehouse.duckdb")) as c:
        c.execute(f"DELETE FROM {FACT}; UPDATE {HOURLY} SET sales = 0; CREATE TABLE mine (x INT)")
    assert main(["load", str(folder), "--rebuild"]) == 0
    capsys.readouterr()
    assert_tables(out, want)
    assert out.sql("SELECT count(*) FROM mine") == [(0,)]
    assert main(["load", str(folder)]) == 0
    assert "nothing new" in capsys.readouterr().out

    # A warehouse that followed another lake must be built anew, and says how.
    with duckdb.connect(str(out.path / "warehouse.duckdb")) as c:
        c.execute("UPDATE operations.shop_loaded SET commit_id = 'x'")
    assert main(["load", str(folder)]) == 1
    assert "--rebuild" in capsys.readouterr().err
    assert main(["load", str(folder), "--rebuild"]) == 0
    assert_tables(out, want)
