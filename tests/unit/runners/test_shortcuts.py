"""What is spared does not change what Beam does."""

import copy
import functools
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, TypeOptions
from apache_beam.transforms import core, userstate
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.typehints import decorators

from runners.direct import Direct
from runners.direct.shortcuts import Options, get_dofn_specs, get_signature, shortcuts

TIMER = TimerSpec("t", beam.TimeDomain.WATERMARK)
BAG = BagStateSpec("b", VarIntCoder())
THE_TIMER, THE_BAG = beam.DoFn.TimerParam(TIMER), beam.DoFn.StateParam(BAG)


class Stateful(beam.DoFn):
    def process(
        self,
        element: Any,
        timer: Any = THE_TIMER,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        yield element, timer, window

    @on_timer(TIMER)
    def fire(self, bag: Any = THE_BAG) -> Iterator[Any]:
        yield bag


class Twice(beam.DoFn):
    def process(
        self,
        element: Any,
        one: Any = THE_BAG,
        two: Any = THE_BAG,
    ) -> None: ...


class Child(Stateful):
    def process(self, element: Any, *, more: int = 1) -> Iterator[Any]:  # type: ignore[override]
        yield element, more


def plain(a: int, b: str = "x", *c: int, d: float = 1.0) -> None: ...


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [
    plain,
    wrapped,
    lambda x, y=2: (x, y),
    functools.partial(plain, 1),
    str.upper,
    "x".join,
    len,
    dict,
    Stateful,
    Stateful().process,
    Child().process,
    Stateful.process,
    beam.DoFn.get_function_arguments,
]


def test_a_signature_is_beams_each_time() -> None:
    for function in FUNCTIONS * 2:
        ours, theirs = get_signature(function), decorators.get_signature(function)
        assert ours == theirs
        same = zip(ours.parameters.values(), theirs.parameters.values(), strict=True)
        assert all(a.default is b.default for a, b in same)


def test_a_method_and_its_function_are_told_apart() -> None:
    assert next(iter(get_signature(Stateful().process).parameters)) == "element"
    assert next(iter(get_signature(Stateful.process).parameters)) == "self"


def test_a_function_is_not_kept_alive() -> None:
    def made() -> None: ...

    get_signature(made)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_state_and_timers_of_a_dofn_are_found_as_ever() -> None:
    made = [Stateful(), Child(), beam.DoFn(), wrapper(plain), wrapper(Stateful().fire), Own()]
    for dofn in made * 2:
        assert get_dofn_specs(dofn) == userstate.get_dofn_specs(dofn)
    assert get_dofn_specs(wrapper(Stateful().fire))[0] == {BAG}
    assert get_dofn_specs(wrapper(plain))[0] == set()
    for _ in range(2):
        with pytest.raises(ValueError, match="duplicate process method parameters"):
            get_dofn_specs(Twice())


def wrapper(function: Callable[..., Any]) -> beam.DoFn:
    return core.CallableWrapperDoFn(function)


class Own(beam.DoFn):
    """Its methods take what it says; no two of it need be alike."""

    def process(self, element: Any) -> None: ...

    def _inspect_process(self) -> Any:
        return ["element", "state"], [THE_BAG]


def test_specs_that_were_given_away_may_be_changed() -> None:
    get_dofn_specs(Stateful())[0].clear()
    assert get_dofn_specs(Stateful())[0] == {BAG}


def names() -> list[Any]:
    return [
        core.get_signature,
        core._check_fn_use_yield_and_return,
        userstate.get_dofn_specs,
        decorators.IOTypeHints._make_origin.__func__,
        cloudpickle_pickler.bz2,
    ]


def test_beam_is_as_it_was_when_the_last_pipeline_has_ended() -> None:
    before = names()
    first, second = shortcuts(), shortcuts()
    with first:
        taken = names()
        second.__enter__()
    assert not {*map(id, taken)} & {*map(id, before)}
    assert names() == taken
    second.__exit__(None, None, None)
    assert names() == before


def test_beam_is_as_it_was_after_a_pipeline_that_fails() -> None:
    before = names()
    with pytest.raises(RuntimeError, match="no"), Direct(1).pipeline() as root:
        _ = root | beam.Create([1]) | beam.Map(fail)
    with pytest.raises(KeyError), Direct(1).pipeline():
        raise KeyError
    assert names() == before


def fail(_: int) -> int:
    msg = "no"
    raise RuntimeError(msg)


def test_views_of_the_options_share_their_values() -> None:
    options = Options(["--streaming", "--runtime_type_check"])
    options.view_as(StandardOptions).runner = "x"
    assert options.view_as(StandardOptions).runner == "x"
    assert options.view_as(StandardOptions) is options.view_as(StandardOptions)
    assert options.view_as(StandardOptions).streaming
    assert options.view_as(StandardOptions).view_as(TypeOptions).runtime_type_check


def test_options_are_copied_with_their_values() -> None:
    options = Options([])
    options.view_as(StandardOptions).runner = "x"
    copied = copy.deepcopy(options)
    copied.view_as(StandardOptions).runner = "y"
    assert options.view_as(StandardOptions).runner == "x"
    assert copied.get_all_options()["runner"] == "y"


def test_all_options_are_those_of_beam() -> None:
    flags = ["--streaming", "--pickle_library=cloudpickle"]
    ours, theirs = Options(flags), PipelineOptions(flags)
    ours.view_as(TypeOptions)
    assert ours.get_all_options() == theirs.get_all_options()
    assert inspect.signature(Options) == inspect.signature(PipelineOptions)
