"""The restriction of a stream: what is claimed, split and kept in a checkpoint."""

from __future__ import annotations

import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given

from transforms.sources.streams.vector import Place, Vector, VectorCoder, VectorTracker

position = st.integers(0, 2**63 - 1)
places = st.builds(
    Place,
    position=position,
    end=st.none() | position,
    high_us=st.none() | st.integers(-(2**60), 2**60),
    label=st.text(max_size=9),
)
vectors = st.dictionaries(st.text(min_size=1), places, max_size=5).map(Vector)


def at(position: int, end: int | None = None) -> Vector:
    return Vector({"a": Place(position=position, end=end)})


@given(vectors)
def test_a_checkpoint_gives_back_the_same_vector(vector: Vector) -> None:
    coder = VectorCoder()
    assert coder.decode(coder.encode(vector)) == vector


@given(vectors)
def test_equal_vectors_have_equal_bytes_whatever_their_order(vector: Vector) -> None:
    other = Vector(dict(reversed(vector.places.items())))
    assert VectorCoder().encode(other) == VectorCoder().encode(vector)


def test_what_is_put_off_begins_where_the_last_claim_ended() -> None:
    tracker = VectorTracker(at(0))
    assert tracker.try_claim(at(5))
    assert tracker.try_split(0) == (at(5), at(5))
    assert not tracker.try_claim(at(9)), "it belongs to whoever goes on"
    assert tracker.current_restriction() == at(5)
    tracker.check_done()


def test_it_is_split_nowhere_but_at_what_is_claimed() -> None:
    tracker = VectorTracker(at(0))
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(at(1))
    assert tracker.try_split(0) is not None
    assert tracker.try_split(0) is None


def test_a_stream_that_is_neither_read_to_its_end_nor_put_off_is_an_error() -> None:
    tracker = VectorTracker(at(0, end=2))
    with pytest.raises(ValueError, match="put off"):
        tracker.check_done()
    assert tracker.try_claim(at(2, end=2))
    tracker.check_done()
    assert tracker.try_split(0) is None
    assert tracker.is_bounded()
    assert not VectorTracker(at(0)).is_bounded()


def test_event_times_only_grow_and_ends_stay_when_a_vector_moves() -> None:
    vector = Vector({"a": Place(position=0, end=9, high_us=5), "b": Place(position=3)})
    moved = vector.moved({"a": 4, "c": 1}, {"a": 2, "c": 7})
    assert moved.places == {
        "a": Place(position=4, end=9, high_us=5),
        "c": Place(position=1, high_us=7),
    }


def test_a_tracker_pickles_at_what_is_claimed() -> None:
    tracker = VectorTracker(at(0))
    tracker.try_claim(at(7))
    assert pickle.loads(pickle.dumps(tracker)).current_restriction() == at(7)
