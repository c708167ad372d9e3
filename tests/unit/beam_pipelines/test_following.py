"""A warehouse that follows beside a stream: what fails is told and tried again, never swallowed."""

import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from beam_pipelines import batch
from beam_pipelines.batch import Result
from beam_pipelines.following import Following
from schemas.errors import PenstockError
from schemas.plan import Plan
from tests.pipelines.shop import make_folder, sales
from tests.streams import Middle, commit, raw, stream_plan
from transforms.commit.lake import Lake
from transforms.continuous.committer import Memory

LINES = sales(0, 60).splitlines()
FACT = "analytics.fact_shop"


@pytest.fixture
def middle(tmp_path: Path) -> Middle:
    return Middle(stream_plan(make_folder(tmp_path)))


class Flaky:
    """Follows, except that the first calls fail."""

    def __init__(self, failures: int, error: Callable[[Result], None]) -> None:
        self.left, self.error = failures, error
        self.done = threading.Semaphore(0)

    def __call__(self, lake: Lake, plan: Plan, result: Result) -> None:
        if self.left:
            self.left -= 1
            self.error(result)
            return
        batch.follow(lake, plan, result)
        self.done.release()


def raises(_: Result) -> None:
    msg = "DuckDB must take what the lake holds"
    raise PenstockError(msg)


def is_busy(result: Result) -> None:
    result.warnings.append("the warehouse must be free to write")


def count(plan: Plan) -> int:
    with duckdb.connect(str(plan.out / "warehouse.duckdb"), read_only=True) as c:
        (found,) = c.execute(f"SELECT count(*) FROM {FACT}").fetchall()
        return int(found[0])


def test_rows_are_in_the_warehouse_while_the_stream_runs_and_the_end_counts_all_loads(
    middle: Middle,
) -> None:
    one, told, follow = middle.committer(), [], Flaky(0, raises)
    following = Following(middle.plan, told.append, follow=follow, rest_s=0.05)
    memory = commit(one, Memory(), middle.ship(raw(LINES[:30])))
    following.start()
    assert follow.done.acquire(timeout=20)
    first = count(middle.plan)
    assert first > 0
    commit(one, memory, middle.ship(raw(LINES[30:], first=30)))
    assert follow.done.acquire(timeout=20)
    result = Result(run_id="run", plan=middle.plan)
    following.finish(middle.lake, result)
    assert count(middle.plan) > first
    assert result.warehouse[FACT] == {"rows": count(middle.plan), "added": count(middle.plan)}
    assert (told, result.warnings) == ([], [])


@pytest.mark.parametrize(
    ("error", "says"), [(raises, "DuckDB must take"), (is_busy, "free to write")]
)
def test_a_load_that_fails_is_told_at_once_tried_again_and_told_at_the_end(
    middle: Middle, error: Callable[[Result], None], says: str
) -> None:
    told: list[str] = []
    follow = Flaky(2, error)
    following = Following(middle.plan, told.append, follow=follow, rest_s=0.02)
    commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    following.start()
    assert follow.done.acquire(timeout=20)
    result = Result(run_id="run", plan=middle.plan)
    following.finish(middle.lake, result)
    assert len(told) == 2
    assert all(says in one and "the stream goes on" in one for one in told)
    (note,) = result.warnings
    assert "could not follow for" in note
    assert result.warehouse[FACT]["added"] == count(middle.plan) > 0


def test_an_error_that_nobody_thought_of_stops_no_stream_and_shows_no_value(
    middle: Middle,
) -> None:
    told: list[str] = []

    def breaks(_: Result) -> None:
        msg = "secret"
        raise RuntimeError(msg)

    follow = Flaky(1, breaks)
    following = Following(middle.plan, told.append, follow=follow, rest_s=0.02)
    commit(middle.committer(), Memory(), middle.ship(raw(LINES)))
    following.start()
    assert follow.done.acquire(timeout=20)
    following.stop()
    assert "RuntimeError" in told[0]
    assert "secret" not in told[0]
