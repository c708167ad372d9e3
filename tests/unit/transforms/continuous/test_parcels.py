"""Parcels wait until every partition they asked has answered, and come back as they were."""

import numpy as np
import pyarrow as pa

from transforms.continuous.parcels import Answer, Parcel, new_token, whole_parcels
from transforms.outcome import Outcome

ROWS = pa.record_batch({"a": [1, 2, 3]})


def _parcel(asked: int) -> Parcel:
    outcome = Outcome(ROWS.slice(1), None, ROWS.slice(0, 0))
    return Parcel(
        token=new_token(), outcome=outcome, done={"s": [(0, 3)]}, records={"s": 3}, asked=asked
    )


def test_a_parcel_comes_back_as_it_was() -> None:
    parcel = _parcel(2)
    assert Parcel.decode(parcel.encode()) == parcel


def test_a_parcel_waits_for_all_of_its_answers() -> None:
    plain, one, two = _parcel(0), _parcel(1), _parcel(2)
    moved = np.array([False])
    answer = Answer(one.token, np.array([1], np.uint32), np.array([True]), moved)
    half = Answer(two.token, np.array([0], np.uint32), np.array([False]), moved).encode()
    early = Answer(new_token()).encode()
    parcels = [p.encode() for p in (two, plain, one)]
    ready, waiting, answers = whole_parcels(parcels, [half, answer.encode(), early])
    assert [p.token for p, _ in ready] == [plain.token, one.token]
    found = [(a.rows.tolist(), a.conflict.tolist(), a.moved.tolist()) for a in ready[1][1]]
    assert found == [([1], [True], [False])]
    assert waiting == [two.encode()]
    assert sorted(answers) == sorted([half, early])
    last = Answer(two.token).encode()
    ready, waiting, answers = whole_parcels(waiting, [*answers, last])
    assert [len(a) for _, a in ready] == [2]
    assert (waiting, answers) == ([], [early])
