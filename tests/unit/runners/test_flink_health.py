"""Which step holds a job up, by what Flink shows of it."""

from __future__ import annotations

import pytest

from runners.flink.health import Vertex, named, verdict

SOURCE, ADMIT, LAND, COMMIT = (
    Vertex(name=name) for name in ("Source/Read", "AdmitMessages", "Land", "Lake/Commit")
)


def changed(vertex: Vertex, **values: object) -> Vertex:
    return Vertex(**{**vars(vertex), **values})


@pytest.mark.parametrize(
    ("vertices", "pending_s", "said"),
    [
        (
            [SOURCE, changed(ADMIT, status="DEPLOYING"), LAND],
            0,
            "step AdmitMessages is deploying",
        ),
        (
            [changed(SOURCE, acked=True), changed(ADMIT, acked=True), changed(LAND, acked=False)],
            40,
            "step Land has not come to its checkpoint for 40 s",
        ),
        (
            [SOURCE, changed(ADMIT, acked=False, busy=0.99), changed(LAND, acked=False)],
            40,
            "step AdmitMessages has not come to its checkpoint for 40 s and is busy all the time",
        ),
        (
            [SOURCE, changed(ADMIT, held=0.9), changed(LAND, acked=False, busy=0.95), COMMIT],
            2,
            "step Land is busy all the time and holds up others",
        ),
        (
            [SOURCE, changed(ADMIT, busy=0.8), LAND, COMMIT],
            0,
            "step AdmitMessages is busy all the time",
        ),
        ([SOURCE, ADMIT, LAND], 0, "no step is busy: step Source/Read hands on nothing"),
    ],
)
def test_the_verdict_names_the_step(vertices: list[Vertex], pending_s: float, said: str) -> None:
    assert verdict(vertices, pending_s) == said


def test_a_task_is_named_without_what_only_flink_knows() -> None:
    assert named("Source: Impulse -> [4]Source/{Shares, Read}") == "Source/{Shares, Read}"
    assert named("[2]{Land, Lake}") == "{Land, Lake}"
