"""The worked examples are what their documentation says; the figures were counted on real data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from beam_pipelines.events import generate
from beam_pipelines.flights import fetch
from schemas.contract import Protection
from schemas.contract_file import load_contract
from schemas.planning import load_plan

EXAMPLES = Path(__file__).resolve().parents[3] / "beam_pipelines"


@pytest.mark.parametrize("name", ["flights", "events"])
def test_contract_and_pipeline_of_an_example_are_valid_without_any_data(name: str) -> None:
    plan = load_plan(EXAMPLES / name)
    assert plan.name == name
    assert set(plan.sinks) == {"lake", "warehouse"}


def test_no_rule_of_the_events_contract_is_taken_from_the_generator() -> None:
    contract = load_contract(EXAMPLES / "events" / "contract.odcs.yaml")
    rules = {(c.path, rule.kind, rule.value) for c in contract.leaves() for rule in c.rules}
    assert rules == {("event_id", "format", "uuid")}
    required = {c.name for c in contract.leaves() if c.required}
    assert required == {"event_id", "event_time", "event_type"}
    declared = {c.path for c in contract.path_columns()}
    assert declared == {"properties.email", "properties.amount"}
    assert generate.TYPES  # the generator does draw from a list


@pytest.mark.parametrize(("name", "path"), [("flights", "tailnum"), ("events", "properties.email")])
def test_what_names_a_person_is_pseudonymized_with_a_reason(name: str, path: str) -> None:
    contract = load_contract(EXAMPLES / name / "contract.odcs.yaml")
    column = next(c for c in contract.leaves() if c.path == path)
    assert column.protect is Protection.PSEUDONYMIZE
    assert column.protect_reason


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2013, 1, 1, 515", "2013-01-01 10:15"),
        ("2013, 7, 1, 515", "2013-07-01 09:15"),
        ("2013, 12, 31, 2400", "2014-01-01 05:00"),
        ("2013, 3, 10, 230", "2013-03-10 07:30"),
        ("2013, 11, 3, 130", "2013-11-03 06:30"),
    ],
)
def test_a_local_departure_becomes_utc_as_the_contract_says(local: str, utc: str) -> None:
    contract = load_contract(EXAMPLES / "flights" / "contract.odcs.yaml")
    logic = next(c.transform for c in contract.columns if c.name == "event_time")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        row = "(SELECT * FROM (VALUES ({})) AS v(year, month, day, sched_dep_time))"
        found = db.execute(
            f"SELECT strftime({logic}, '%Y-%m-%d %H:%M') FROM {row.format(local)}"
        ).fetchone()
    assert found == (utc,)


@pytest.fixture(scope="module")
def flights() -> Iterator[duckdb.DuckDBPyConnection]:
    """The real data, with the computed columns of the contract."""
    contract = load_contract(EXAMPLES / "flights" / "contract.odcs.yaml")
    fetch.fetch()
    logic = {c.name: c.transform for c in contract.columns if c.transform}
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for table in ("flights", "airlines", "airports", "weather"):
            source = f"read_csv('{fetch.DATA / table}.csv', nullstr=['', 'NA'])"
            db.execute(f"CREATE TABLE {table} AS SELECT * FROM {source}")
        db.execute(
            "CREATE VIEW computed AS SELECT *, "
            + ", ".join(f"{sql} AS {name}" for name, sql in logic.items())
            + " FROM flights"
        )
        yield db


@pytest.mark.stack
@pytest.mark.parametrize(
    ("claim", "sql", "expected"),
    [
        ("rows", "SELECT count(*) FROM computed", 336_776),
        ("the key is unique", "SELECT count(DISTINCT flight_id) FROM computed", 336_776),
        (
            "event time agrees with time_hour",
            "SELECT count(*) FROM computed WHERE date_trunc('hour', event_time) <> time_hour",
            0,
        ),
        ("no delay: cancelled", "SELECT count(*) FROM flights WHERE dep_delay IS NULL", 8_255),
        ("cancelled: no departure", "SELECT count(*) FROM flights WHERE dep_time IS NULL", 8_255),
        (
            "left, arrival delay not recorded",
            "SELECT count(*) FROM flights WHERE dep_time IS NOT NULL AND arr_delay IS NULL",
            1_175,
        ),
        ("no aircraft", "SELECT count(*) FROM flights WHERE tailnum IS NULL", 2_512),
        (
            "no aircraft, yet flown",
            "SELECT count(*) FROM flights WHERE tailnum IS NULL AND dep_time IS NOT NULL",
            0,
        ),
        ("midnight departures", "SELECT count(*) FROM flights WHERE dep_time = 2400", 29),
        ("midnight arrivals", "SELECT count(*) FROM flights WHERE arr_time = 2400", 150),
        ("airline key", "SELECT count(*) - count(DISTINCT carrier) FROM airlines", 0),
        ("airport key", "SELECT count(*) - count(DISTINCT faa) FROM airports", 0),
        ("weather key", "SELECT count(*) - count(DISTINCT (origin, time_hour)) FROM weather", 0),
        (
            "weather by local hour is no key",
            "SELECT count(*) - count(DISTINCT (origin, year, month, day, hour)) FROM weather",
            3,
        ),
        ("unknown airline", "SELECT count(*) FROM flights ANTI JOIN airlines USING (carrier)", 0),
        (
            "unknown destination",
            "SELECT count(*) FROM flights f ANTI JOIN airports a ON f.dest = a.faa",
            7_602,
        ),
        (
            "no weather",
            "SELECT count(*) FROM flights ANTI JOIN weather USING (origin, time_hour)",
            1_556,
        ),
    ],
)
def test_the_documented_figures_hold_on_the_real_flights(
    flights: duckdb.DuckDBPyConnection, claim: str, sql: str, expected: int
) -> None:
    assert flights.execute(sql).fetchone() == (expected,), claim
