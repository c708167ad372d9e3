"""Flights that are made up like the real ones: spread as they are, and none of their aircraft."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from beam_pipelines.batch import ingest
from beam_pipelines.cli import main
from beam_pipelines.flights import fetch
from beam_pipelines.ingest import Engine
from runners.direct import Direct
from schemas.planning import load_plan

pytestmark = pytest.mark.stack
ROWS = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, with flights made up like the real ones in the place of its data."""
    fetch.fetch()
    folder = tmp_path_factory.mktemp("like") / "flights"
    own = Path(fetch.__file__).parent
    shutil.copytree(own, folder, ignore=shutil.ignore_patterns("out", "*.py"))
    sample = folder / "data" / "flights.csv"
    real = sample.rename(folder / "real.csv")
    flags = ["--like", str(real), "--rows", str(ROWS), "--into", str(sample)]
    assert main(["generate", str(folder), *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as db:
        for name, path in (("real", "real.csv"), ("made", "data/flights.csv")):
            source = f"read_csv('{folder / path}', nullstr=['', 'NA'])"
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM {source}")
        yield db


def test_a_run_refuses_none_and_finds_no_flight_twice(folder: Path) -> None:
    found = ingest(load_plan(folder), Engine(open_pipeline=Direct().pipeline))
    assert found.rows["read"] == found.rows["kept"] == ROWS


@pytest.mark.parametrize(
    "column",
    ["month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "arr_delay",
     "flight", "air_time", "distance", "hour", "minute", "epoch(time_hour)"],
)  # fmt: skip
def test_a_column_is_spread_as_the_real_one(both: duckdb.DuckDBPyConnection, column: str) -> None:
    real, made = (
        np.sort(both.sql(f"SELECT {column} AS v FROM {t} WHERE v IS NOT NULL").fetchnumpy()["v"])
        for t in ("real", "made")
    )
    at = np.unique(np.concatenate([real, made]))
    shares = [np.searchsorted(v, at, "right") / len(v) for v in (real, made)]
    assert np.abs(shares[0] - shares[1]).max() < 0.02


@pytest.mark.parametrize(
    "share",
    ["carrier = 'UA'", "origin = 'JFK'", "dest = 'LAX'", "origin = 'JFK' AND dest = 'LAX'",
     "origin = 'LGA' AND dest = 'LAX'", "carrier = 'HA' AND dest <> 'HNL'", "tailnum IS NULL",
     "dep_time IS NULL", "dep_time IS NULL AND arr_time IS NULL", "distance < 500",
     "carrier = 'B6' AND origin = 'JFK'", "arr_delay > 60"],
)  # fmt: skip
def test_a_share_is_as_the_real_one(both: duckdb.DuckDBPyConnection, share: str) -> None:
    real, made = (
        both.sql(f"SELECT avg(coalesce({share}, false)::INT) AS v FROM {t}").fetchall()[0][0]
        for t in ("real", "made")
    )
    assert abs(real - made) < 0.01


def test_aircraft_are_none_of_the_real_ones_and_come_again_as_often(
    both: duckdb.DuckDBPyConnection,
) -> None:
    query = "SELECT count(*) FROM (SELECT tailnum FROM made INTERSECT SELECT tailnum FROM real)"
    assert both.sql(query).fetchall() == [(1,)]  # null
    real, made = (
        both.sql(
            f"SELECT count(*) / (SELECT count(tailnum) FROM {t}) AS v FROM {t} "
            "WHERE tailnum IS NOT NULL GROUP BY tailnum ORDER BY v DESC"
        ).fetchnumpy()["v"]
        for t in ("real", "made")
    )
    for most in (10, 100, 1000, 3000):
        assert abs(real[:most].sum() - made[:most].sum()) < 0.02


def test_numbers_go_together_as_the_real_ones(both: duckdb.DuckDBPyConnection) -> None:
    for first, second in (("distance", "air_time"), ("hour", "sched_dep_time")):
        real, made = (
            both.sql(f"SELECT corr({first}, {second}) FROM {t}").fetchall()[0][0]
            for t in ("real", "made")
        )
        assert abs(real - made) < 0.02
