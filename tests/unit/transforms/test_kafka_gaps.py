"""What happens when messages that were to be read are gone: said, never passed over in silence."""

from __future__ import annotations

import pytest

from transforms.sources.kafka.gaps import GapError, judge
from transforms.sources.streams.raw import Span

LABELS = {"c/t/0": "flights/0"}


def test_positions_that_are_still_there_stay() -> None:
    for position in (5, 7, 9):
        judged = judge({"c/t/0": position}, {"c/t/0": 5}, {"c/t/0": 9}, LABELS, "fail")
        assert judged == ({"c/t/0": position}, [])


def test_retention_that_overtook_a_position_is_an_error_or_a_reported_gap() -> None:
    with pytest.raises(GapError, match=r"3 of flights/0 removed, from 2 to 4; .*on_gap: skip"):
        judge({"c/t/0": 2}, {"c/t/0": 5}, {"c/t/0": 9}, LABELS, "fail")
    judged = judge({"c/t/0": 2}, {"c/t/0": 5}, {"c/t/0": 9}, LABELS, "skip")
    assert judged == ({"c/t/0": 5}, [Span("c/t/0", 2, 5, 0, lost=True)])


def test_a_topic_made_anew_is_an_error_or_is_given_up_and_reported() -> None:
    with pytest.raises(GapError, match=r"flights/0 gone or made anew"):
        judge({"c/t/0": 2}, {"c/u/0": 0}, {"c/u/0": 9}, LABELS, "fail")
    judged = judge({"c/t/0": 2}, {"c/u/0": 0}, {"c/u/0": 9}, LABELS, "skip")
    assert judged == ({}, [Span("c/t/0", 2, 2, 0, lost=True)])


@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_a_partition_that_was_cut_back_is_an_error_whatever_the_policy(policy: str) -> None:
    with pytest.raises(GapError, match="cut back; got flights/0 ending at 9, read up to 10"):
        judge({"c/t/0": 10}, {"c/t/0": 0}, {"c/t/0": 9}, LABELS, policy)
