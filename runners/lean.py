"""Import Beam, Polars and pyiceberg without what a local run never uses.

Beam imports every client library that it finds (BigQuery, MongoDB, Pub/Sub ...), and does without
those it does not find: these are hidden. Other modules are needed only for what a local run does
not do (gRPC servers, Avro of Beam's own, databases that Polars reads): these are postponed. A
postponed module is a stand-in that imports the real one when something of it is first used. All of
this is half of the time that the imports of a run would take.

Nothing else sees it: hidden and postponed modules are ordinary ones again when `import_libraries`
returns.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_HIDDEN: Final = frozenset(
    {
        "IPython",
        "apache_beam.io.aws",
        "apache_beam.io.azure",
        "apache_beam.io.gcp",
        "apache_beam.io.hadoopfilesystem",
        "apitools",
        "azure",
        "boto3",
        "bson",
        "google.cloud",
        "hdfs",
        "pandas",
        "pymongo",
        "tensorflow",
    }
)
_POSTPONED: Final = frozenset(
    {
        "beartype",
        "cProfile",
        "cryptography",
        "dateutil",
        "fastavro",
        "grpc",
        "httplib2",
        "polars.catalog",
        "polars.io",
        "polars.sql",
        "proto",
        "pstats",
        "pyiceberg.expressions.parser",
        "pytz",
        "strictyaml",
        "urllib.request",
    }
)
_ASKED_ABOUT: Final = {"proto": ("Message",)}
"""Classes that Beam compares an element's type with: none of ours is one of them."""
_IMPORTED: Final = (
    "apache_beam",
    "apache_beam.runners.portability.fn_api_runner.fn_runner",
    "polars",
    "pyiceberg.table",
)
_PACKAGES: Final = frozenset(name.partition(".")[0] for name in _IMPORTED)


def import_libraries() -> None:
    """Import Beam with its local engine, Polars and pyiceberg, unless that has been done."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        with deferred_models(), no_warnings():
            for name in _IMPORTED:
                finder.hidden = _HIDDEN if name.startswith("apache_beam") else frozenset()
                importlib.import_module(name)
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n, module in sys.modules.items() if isinstance(module, _Postponed)]:
            del sys.modules[name]


@contextmanager
def no_warnings() -> Iterator[None]:
    """Log errors only while the block runs: Beam warns of each package that it does not find."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def without_bigquery() -> None:
    """Drop what Beam warns of whenever it is imported in full: it finds no client of BigQuery."""
    logging.root.addFilter(_of_our_concern)


def _of_our_concern(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("apitools not found")


@contextmanager
def deferred_models() -> Iterator[None]:
    """Let the pydantic models of modules that the block imports be built when they are first used.

    A library of models is built as a whole on import otherwise, and a run uses a few of them.
    """
    from pydantic import BaseModel  # noqa: PLC0415  `penstock --help` imports this module

    before = BaseModel.model_config
    BaseModel.model_config = before.copy()
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        BaseModel.model_config = before


def collect_from_here() -> None:
    """Look for garbage again (the command line stops that while modules are imported).

    Modules, classes and what else is there now stay: the collector need not walk them. It comes as
    often as ever: batches hang in cycles, and 800 MB of them waited for one that came seldom.
    """
    if gc.isenabled():  # this process is not the command line's
        return
    gc.freeze()
    gc.enable()


class _Finder(MetaPathFinder, Loader):
    hidden: frozenset[str] = frozenset()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        parts = fullname.split(".")
        names = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if names & self.hidden:
            msg = f"{fullname} is not used by a local run"
            raise ImportError(msg)
        return ModuleSpec(fullname, self, is_package=True) if names & _POSTPONED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = _Postponed(spec.name)
        for name in _ASKED_ABOUT.get(spec.name, ()):
            module.stand_in(name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the stand-in empty: it makes its names when they are asked for."""


class _Postponed(ModuleType):
    """Stands in for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is not self:  # Beam has been imported
            return getattr(importlib.import_module(self.__name__), name)
        return self.stand_in(name)

    def stand_in(self, name: str) -> _Name:
        """Make what stands in for a name of the module."""
        bases = (Exception,) if name.endswith(("Error", "Exception")) else ()
        value = _Name(name, bases, {"__module__": self.__name__, "_postponed": True})
        setattr(self, name, value)
        return value


class _Name(type):
    """Type of what stands in for a function or class; its first use brings the real ones in."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._real()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._real(), name)

    def _real(cls) -> Any:
        stand_in = next(kind for kind in cls.__mro__ if _is_stand_in(kind))
        if stand_in is not cls:
            msg = f"{cls.__name__} needs {stand_in.__module__}, which a local run has not got"
            raise ImportError(msg)
        _bring_in(cls.__module__.partition(".")[0])
        return getattr(importlib.import_module(cls.__module__), cls.__name__)


def _is_stand_in(value: Any) -> bool:
    return isinstance(value, _Name) and "_postponed" in vars(value)


def _bring_in(package: str) -> None:
    """Replace the stand-ins of a package where they were imported: errors, too, are then real."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _PACKAGES:
            for key, value in list(vars(module).items()):
                if _is_stand_in(value) and value.__module__.partition(".")[0] == package:
                    real = importlib.import_module(value.__module__)
                    setattr(module, key, getattr(real, value.__name__))
