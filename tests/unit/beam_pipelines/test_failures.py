"""What a person is told of an error that ends a run."""

import contextlib
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beam_pipelines.failures import UnexpectedError, fate, told
from schemas.errors import CommitError, SourceError, UsageError
from tests.faults.world import World, at

SECRET = "ada@example.org"
PLAN: Any = SimpleNamespace(out=Path("/a/b/out"), folder=Path("/a/b"))


def _said(raises: Callable[[], Any], *, as_text: bool) -> Exception:
    """What comes out of `told` when this is raised, as itself or as a runner's text."""

    def run() -> None:
        if not as_text:
            raises()
        try:
            raises()
        except Exception:  # noqa: BLE001
            raise RuntimeError(traceback.format_exc()) from None

    with pytest.raises(Exception) as caught, told(PLAN, lambda: "nothing of this run has landed"):  # noqa: PT011
        run()
    return caught.value


def _ours() -> None:
    msg = "a file must stay;\ngot a.json; put it back [while running 'Read']"
    raise UsageError(msg)


def _raise(kind: type[Exception], message: str) -> None:
    raise kind(message)


def _handled_on_the_way() -> None:
    try:
        _raise(SourceError, "not this one")
    except SourceError:
        {}[SECRET]


def _wrapped() -> None:
    try:
        _raise(CommitError, "the lake must be there")
    except CommitError as error:
        raise ValueError(SECRET) from error


def _like_beam() -> None:
    _raise(RuntimeError, "schemas.errors.CommitError: the lake must be there [while running 'X']")


def _like_beam_again() -> None:
    _raise(RuntimeError, f"KeyError: b'{SECRET}\\n not this one' [while running 'X/Y']")


def _no_room() -> None:
    raise OSError(28, "No space left on device", SECRET)


def _spoken_of() -> None:
    msg = f"{SECRET} schemas.errors.SourceError: not this one"
    raise ValueError(msg)


@pytest.mark.parametrize("as_text", [True, False])
def test_an_error_of_ours_is_told_as_it_was_meant(as_text: bool) -> None:
    said = _said(_ours, as_text=as_text)
    assert str(said) == "a file must stay;\ngot a.json; put it back"
    assert said.exit_code == 2


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("raises", [_wrapped, _like_beam])
def test_an_error_of_ours_that_another_wraps_is_told(
    raises: Callable[[], Any], as_text: bool
) -> None:
    assert str(_said(raises, as_text=as_text)) == "the lake must be there"


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    ("raises", "name"),
    [
        (_handled_on_the_way, "KeyError"),
        (_spoken_of, "ValueError"),
        (_like_beam_again, "KeyError"),
    ],
)
def test_an_unexpected_error_is_told_by_class_and_place_without_values(
    raises: Callable[[], Any], name: str, as_text: bool
) -> None:
    said = _said(raises, as_text=as_text)
    assert isinstance(said, UnexpectedError)
    assert f"got {name} at " in str(said)
    assert f" in {raises.__name__}" in str(said)
    assert "nothing of this run has landed" in str(said)
    assert SECRET not in str(said)
    assert "not this one" not in str(said)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_full_disk_is_told_as_such(as_text: bool) -> None:
    said = str(_said(_no_room, as_text=as_text))
    assert "No space left on device; nothing of this run has landed" in said
    assert SECRET not in said


def test_what_has_landed_is_told_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert fate(world.lake, "run-1") == "nothing of this run has landed"
    world.commit(("a", 0, 9))
    assert fate(world.lake, "run-1") == "the run has landed in the lake (commit 1)"

    def dies() -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        world.committer(point=at("after intent", dies)).commit([world.landed("a", 9, 20)], {})
    assert fate(world.lake, "run-2") == "its commit has been declared, and the next run finishes it"
    world.commit(("a", 20, 30))
    assert fate(world.lake, "run-2") == "the run has landed in the lake (commit 2)"
    lost = SimpleNamespace(exists=lambda: True)  # every other question fails
    assert fate(lost, "run-2") == "whether it has landed is not known; the next run finds out"
