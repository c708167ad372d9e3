"""What Beam works out again and again about the same classes, worked out once.

While a pipeline is built and run, Beam asks some ten times for the signature of every method of
every DoFn, and builds an argument parser each time it looks at an option: a sixth of what a run of
a few rows costs. The answers cannot change while a process lives, so they are remembered.
"""

from __future__ import annotations

import inspect
from types import FunctionType, MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core
from apache_beam.typehints import decorators

_KNOWN: Final[WeakKeyDictionary[FunctionType, dict[bool, inspect.Signature]]] = WeakKeyDictionary()


def remember_signatures() -> None:
    """Let Beam find the signature of a DoFn's method where it was found before."""
    core.get_signature = get_signature


def get_signature(function: Any) -> inspect.Signature:
    """Return what `apache_beam.typehints.decorators.get_signature` returns.

    Remembered for plain functions and for methods of them, as long as the function lives: the
    signature of a method is that of its function, whatever object it is bound to.
    """
    bound = isinstance(function, MethodType)
    plain = function.__func__ if bound else function
    if not isinstance(plain, FunctionType):
        return decorators.get_signature(function)
    known = _KNOWN.setdefault(plain, {})
    if bound not in known:
        known[bound] = decorators.get_signature(function)
    return known[bound]


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
