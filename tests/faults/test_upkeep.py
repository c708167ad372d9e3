"""Compaction, expiry and sweeping again and again beside committers, all of them killed."""

from __future__ import annotations

from pathlib import Path

from tests.faults.drive import Case, drive

QUICK = Case(tending=1, kills=4, die=0.02, positions=60)
LONG = {
    "killed": Case(processes=2, tending=1, kills=25, die=0.03, every=2.5),
    "racing": Case(processes=2, tending=2),
    "racing, killed and asleep": Case(
        processes=2, tending=2, kills=15, die=0.01, every=3.0, stop=0.02, keep=6, fold=3
    ),
    "lied to": Case(processes=2, tending=1, kills=10, die=0.01, lie=0.3),
}


def test_upkeep_beside_a_committer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = drive(tmp_path, 1, QUICK)
    assert outcome.right, outcome
    assert outcome.stat["compactions"] > 0, outcome
    assert outcome.stat["kills"] > 0, outcome
