"""What Beam does for pipelines of anyone on clusters, spared to one of ours in one process.

While a pipeline is built and run, Beam asks some ten times for the signature of every method of
every DoFn, reads the source of each DoFn to warn of `yield` beside `return`, notes where each type
hint was written, compresses what it pickles, and builds an argument parser each time it looks at an
option: more than half of what a run of a few rows costs, imports aside.
"""

from __future__ import annotations

import bz2
import inspect
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import FunctionType, MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

import apache_beam as beam
from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core, userstate
from apache_beam.typehints import decorators

_SIGNATURES: Final[WeakKeyDictionary[FunctionType, dict[bool, inspect.Signature]]] = (
    WeakKeyDictionary()
)
_SPECS: Final[WeakKeyDictionary[type, tuple[frozenset[Any], frozenset[Any]]]] = WeakKeyDictionary()
_original_specs: Final = userstate.get_dofn_specs


class LocalPipeline(beam.Pipeline):
    """A pipeline that is built and run with the shortcuts, in a `with` block."""

    def __enter__(self) -> beam.Pipeline:
        """Start to build."""
        self._shortcuts = shortcuts()
        self._shortcuts.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Run what was built, unless that failed."""
        try:
            super().__exit__(*error)
        finally:
            self._shortcuts.__exit__(None, None, None)


@contextmanager
def shortcuts() -> Iterator[None]:
    """Take them, in the whole process, until the last block of this kind ends."""
    with _HELD.lock:
        _HELD.blocks += 1
        if _HELD.blocks == 1:
            _HELD.swap()
    try:
        yield
    finally:
        with _HELD.lock:
            _HELD.blocks -= 1
            if not _HELD.blocks:
                _HELD.swap()


class _Swapped:
    """The names of Beam that are replaced, and how many blocks need that."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.blocks = 0
        self.places: list[tuple[Any, str, Any]] = [
            (core, "get_signature", get_signature),
            (core, "_check_fn_use_yield_and_return", lambda _: False),
            (userstate, "get_dofn_specs", get_dofn_specs),
            (decorators.IOTypeHints, "_make_origin", classmethod(lambda *_, **__: [])),
            (cloudpickle_pickler, "bz2", _Light),
        ]

    def swap(self) -> None:
        """Exchange what is there for what is held here; a second time, back."""
        for i, (where, name, new) in enumerate(self.places):
            self.places[i] = (where, name, vars(where)[name])
            setattr(where, name, new)


class _Light:
    """In the place of `bz2`, whose compressor takes 4 MB to set up: pickles stay in the process."""

    @staticmethod
    def compress(data: bytes, compresslevel: int = 9) -> bytes:  # noqa: ARG004
        return zlib.compress(data, 1)

    @staticmethod
    def decompress(data: bytes) -> bytes:
        return bz2.decompress(data) if data.startswith(b"BZh") else zlib.decompress(data)


def get_signature(function: Any) -> inspect.Signature:
    """Return what `apache_beam.typehints.decorators.get_signature` returns.

    Remembered for plain functions and for methods of them, as long as the function lives: the
    signature of a method is that of its function, whatever object it is bound to.
    """
    bound = isinstance(function, MethodType)
    plain = function.__func__ if bound else function
    if not isinstance(plain, FunctionType):
        return decorators.get_signature(function)
    known = _SIGNATURES.setdefault(plain, {})
    if bound not in known:
        known[bound] = decorators.get_signature(function)
    return known[bound]


def get_dofn_specs(dofn: beam.DoFn) -> tuple[set[Any], set[Any]]:
    """Return what `apache_beam.transforms.userstate.get_dofn_specs` returns.

    Remembered for a class, if they are of the class: the DoFn has no methods of its own, and none
    that says itself what its arguments are (of a function's wrapper that one is its own method).
    """
    kind = type(dofn)
    if any(isinstance(value, MethodType) for value in vars(dofn).values()):
        return _original_specs(dofn)
    known = _SPECS.get(kind)
    if known is None:
        states, timers = _original_specs(dofn)
        if kind is core.CallableWrapperDoFn or not any(
            n.startswith("_inspect_") for n in dir(kind)
        ):
            _SPECS[kind] = frozenset(states), frozenset(timers)
        return states, timers
    return set(known[0]), set(known[1])


_HELD: Final = _Swapped()


class Options(PipelineOptions):
    """Pipeline options that parse each view of themselves once.

    All views share the values, as Beam's do: a value set in one is seen in the others.
    """

    def view_as(self, cls: type[PipelineOptions]) -> Any:
        """Return the options as `cls`."""
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]
