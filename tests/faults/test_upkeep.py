"""Compaction, expiry and sweeping again and again beside committers, all of them killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import CommitError
from tests.faults.drive import Case, drive

QUICK = Case(tending=1, kills=4, die=0.02, positions=100)
LONG = {
    "killed": Case(processes=2, tending=1, kills=25, die=0.03, every=2.5, age=20.0),
    "racing": Case(processes=2, tending=2, age=20.0),
    "racing, killed and asleep": Case(
        processes=2,
        tending=2,
        kills=25,
        die=0.01,
        every=1.5,
        stop=0.02,
        keep=6,
        fold=3,
        positions=600,
        age=20.0,
    ),
    "lied to": Case(processes=2, tending=1, kills=25, die=0.02, every=2.5, lie=0.3, age=20.0),
}
BROKEN = {
    "no look at inputs": Case(processes=2, tending=2, positions=120, seconds=60),
    "no names": Case(processes=2, tending=1, positions=120, seconds=60, age=0.0),
}


def test_upkeep_beside_a_committer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = drive(tmp_path, 1, QUICK)
    assert outcome.right, outcome
    assert outcome.stat["compactions"] > 0, outcome


@pytest.mark.stack
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", LONG)
def test_upkeep_beside_committers_loses_and_doubles_nothing_for_long(
    tmp_path: Path, name: str, seed: int
) -> None:
    outcome = drive(tmp_path, seed, replace(LONG[name], seconds=400.0))
    assert outcome.right, outcome
    # How many kills there is time for depends on the machine.
    assert outcome.stat["kills"] > 0 or not LONG[name].kills, outcome
    assert outcome.stat["compactions"] > 0, outcome


@pytest.mark.stack
@pytest.mark.parametrize("rule", BROKEN)
def test_with_a_rule_of_upkeep_switched_off_the_same_test_fails(tmp_path: Path, rule: str) -> None:
    # A run may miss the race that the rule is for: about one in six did.
    case = replace(BROKEN[rule], broken=rule)
    assert not all(_holds(tmp_path / str(seed), seed, case) for seed in range(1, 7))


def _holds(root: Path, seed: int, case: Case) -> bool:
    root.mkdir()
    try:
        return drive(root, seed, case).right
    except (CommitError, FileNotFoundError):  # Not even the oracle can read the lake.
        return False
