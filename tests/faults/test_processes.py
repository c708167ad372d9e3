"""Real processes, killed and put to sleep, on a catalog that lies; judged from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.drive import Case, drive

QUICK = {
    "killed": Case(kills=5, die=0.15, every=2.0, positions=90),
    "racing and lied to": Case(
        processes=2, kills=3, die=0.02, lie=0.2, stop=0.02, keep=6, fold=3, positions=60
    ),
}
LONG = {
    "killed": Case(kills=25, die=0.1, every=2.0),
    "racing": Case(processes=3),
    "killed and racing": Case(processes=3, kills=20, die=0.02, every=2.5),
    "asleep": Case(processes=3, kills=10, die=0.01, every=3.0, stop=0.05),
    "asleep past expiry": Case(
        processes=3, kills=10, die=0.01, every=3.0, stop=0.05, keep=4, fold=3
    ),
    "lied to": Case(kills=10, die=0.02, lie=0.35),
    "racing and lied to": Case(processes=3, kills=15, die=0.02, every=3.0, lie=0.3, stop=0.02),
}


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost_doubled_or_half_visible(tmp_path: Path, name: str) -> None:
    outcome = drive(tmp_path, 1, QUICK[name])
    assert outcome.right, outcome
    assert outcome.stat["kills"] + outcome.stat["woken"] > 0


@pytest.mark.stack
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", LONG)
def test_nothing_is_lost_doubled_or_half_visible_for_long(
    tmp_path: Path, name: str, seed: int
) -> None:
    outcome = drive(tmp_path, seed, LONG[name])
    assert outcome.right, outcome


@pytest.mark.stack
@pytest.mark.parametrize("rule", ["no fence", "no recovery"])
def test_with_a_rule_switched_off_the_same_test_fails(tmp_path: Path, rule: str) -> None:
    case = {
        "no fence": Case(processes=3, broken=rule, positions=160),
        "no recovery": Case(kills=20, die=0.1, every=2.0, broken=rule),
    }[rule]
    assert not drive(tmp_path, 1, case).right
