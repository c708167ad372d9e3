"""Functions of the user's own, found by `module:function` from the pipeline folder."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pyarrow as pa

from schemas.errors import UsageError
from schemas.located import did_you_mean
from schemas.user_function import CALL

Function = Callable[[pa.RecordBatch], Any]

_IMPORTING: Final = threading.RLock()
"""sys.path and sys.modules are of the whole process."""


def load_function(call: str, folder: Path) -> Function:
    """Import a function by name.

    A module of the pipeline folder comes before an installed one of the same name, and may import
    its neighbours at its top. Afterwards sys.path and sys.modules are as they were, so that modules
    of two pipelines in one process never meet.

    Args:
        call: `module:function`; the module may be dotted.
        folder: The pipeline folder.

    Raises:
        UsageError: When the call is malformed, the module is not found, lies outside the folder by
            a link, or fails while it is imported, or it has no such function.
    """
    parts = CALL.fullmatch(call)
    if parts is None:
        msg = f"a python step's call must be module:function; got {call!r}; change it"
        raise UsageError(msg)
    name, function_name = parts.groups()
    module = _module(name, folder.resolve())
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        msg = (
            f"{call} must name a function of {module.__file__}; "
            f"got {function_name!r}; {did_you_mean(function_name, names) or 'write it'}"
        )
        raise UsageError(msg)
    return function


def _module(name: str, folder: Path) -> ModuleType:
    top = name.partition(".")[0]
    own = importlib.machinery.PathFinder.find_spec(top, [str(folder)])
    if own is not None and own.origin is None and name == top:
        own = None  # a plain directory of that name is no module
    try:
        if own is None:
            return importlib.import_module(name)
        with _folder_first(top, folder):
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            msg = f"{name} must be a module in {folder} or installed; got neither; add {name}.py"
        else:
            msg = f"{name} must be importable; it needs {error.name}, which is not; install that"
        raise UsageError(msg) from error
    except Exception as error:
        msg = f"{name} must be importable; got {type(error).__name__}: {error}; correct the module"
        raise UsageError(msg) from error
    if own.origin is not None and not _inside(module, folder):
        msg = f"{name} must lie inside {folder}; got a link that leads out; copy the file there"
        raise UsageError(msg)
    return module


@contextmanager
def _folder_first(top: str, folder: Path) -> Iterator[None]:
    with _IMPORTING:
        hidden = {name: module for name, module in sys.modules.items() if _under(name, top)}
        before = set(sys.modules) - set(hidden)
        for name in hidden:
            del sys.modules[name]
        importlib.invalidate_caches()
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            for name in set(sys.modules) - before:
                if _under(name, top) or _inside(sys.modules[name], folder):
                    del sys.modules[name]
            sys.modules.update(hidden)


def _under(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def _inside(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)
