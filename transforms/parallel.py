"""A DoFn that runs a pure kernel in a few threads; what it yields leaves in the order of its input.

Kernels release the GIL (numpy, Arrow, Polars, DuckDB), so that threads use the cores of a runner
that calls a DoFn from one thread. A cluster owns its parallelism: there `threads` is 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import override

_GLOBAL = GlobalWindow()


class ThreadedDoFn(beam.DoFn):
    """Base of DoFns in the global window whose work is a pure kernel.

    A subclass submits work in `process` with `self.submit` and yields what `self.ready` gives;
    whatever is still under way leaves in `finish_bundle`. At most `threads + 2` results wait, so
    memory stays bounded. Side inputs must be read before submitting: Beam answers on its own
    thread only.
    """

    def __init__(self, threads: int = 1) -> None:
        """Use this many threads; 1 runs the kernel on Beam's own thread."""
        self.threads = threads

    @override
    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    @override
    def teardown(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    @override
    def start_bundle(self) -> None:
        self._waiting: deque[Future[Iterable[Any]]] = deque()

    def submit(self, kernel: Callable[..., Iterable[Any]], *arguments: Any) -> Iterator[Any]:
        """Start `kernel(*arguments)`; yield the results of earlier calls that must leave now."""
        if self._pool is None:
            yield from kernel(*arguments)
            return
        self._waiting.append(self._pool.submit(_collected, kernel, *arguments))
        while len(self._waiting) > self.threads + 2:
            yield from self._waiting.popleft().result()

    def map(self, function: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """Call `function` on each value, in the pool if there is one."""
        return self._pool.map(function, values) if self._pool is not None else map(function, values)

    @override
    def finish_bundle(self) -> Iterator[Any]:
        while self._waiting:
            for output in self._waiting.popleft().result():
                yield in_global_window(output)
        for output in self.flush():
            yield in_global_window(output)

    def flush(self) -> Iterable[Any]:
        """Return what leaves after the last element of a bundle."""
        return ()


def _collected(kernel: Callable[..., Iterable[Any]], *arguments: Any) -> list[Any]:
    return list(kernel(*arguments))


def in_global_window(output: Any) -> Any:
    """Wrap an output (tagged or not) as `finish_bundle` must hand it to Beam."""
    if isinstance(output, TaggedOutput):
        return TaggedOutput(output.tag, in_global_window(output.value))
    return WindowedValue(output, _GLOBAL.max_timestamp(), (_GLOBAL,))
