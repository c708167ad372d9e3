"""What a committer knows of the ids in landed files is what is in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transforms.commit.landed_ids import LandedIds

FILES = st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=12)


def lows(ids: list[int]) -> np.ndarray:
    return np.sort(np.array(ids, np.uint64))


@given(FILES, st.sets(st.integers(0, 30)), st.sets(st.integers(0, 11)), st.booleans())
def test_the_files_that_hold_an_id_are_found(
    files: list[list[int]], wanted: set[int], among: set[int], forget: bool
) -> None:
    known = LandedIds()
    for i, ids in enumerate(files):
        known.add(f"{i}", lows(ids))
    paths = [f"{i}" for i in sorted(among)]
    if forget:
        known.only(paths)
        known.add("more", lows([1, 2, 3]))
    found, which = known.holding(np.array(sorted(wanted), np.uint64), paths)
    meets = {i: wanted & set(files[i]) for i in among if i < len(files)}
    assert found == {f"{i}" for i, ids in meets.items() if ids}
    assert which.tolist() == sorted(set().union(*meets.values()))


def test_no_more_is_kept_than_there_is_room_for() -> None:
    known = LandedIds(most=10)
    for i in range(4):
        known.add(f"{i}", lows([i] * 4))
    assert [known.knows(f"{i}") for i in range(4)] == [True, True, False, False]
    assert known.full
    known.only(["1"])
    assert not known.full
    known.add("3", lows([7]))
    assert known.holding(lows([0, 1, 7]), ["0", "1", "3"])[0] == {"1", "3"}
