"""What a runner of streams is to a pipeline; `runners` has them, the command line brings them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import apache_beam as beam


class StreamJob(Protocol):
    """A job that was launched."""

    @property
    def id(self) -> str:
        """Names it where it runs."""
        ...

    @property
    def page(self) -> str:
        """Where a person sees it; empty: nowhere."""
        ...

    def over(self) -> bool:
        """Whether it came to its end; raises what it failed with."""
        ...

    def trouble(self) -> Exception | None:
        """Return what it failed with and began again after, if that is news."""
        ...

    def stuck(self) -> str:
        """Say which step holds it up, as far as can be seen from outside."""
        ...

    def cancel(self) -> None:
        """End it; what has landed stays."""
        ...


class StreamRunner(Protocol):
    """Where streams run."""

    @property
    def shares(self) -> int:
        """Restrictions of a source that it takes without losing rows."""
        ...

    @property
    def alone(self) -> bool:
        """Whether workers are threads of this process, whose end is the end of all state."""
        ...

    def pipeline(
        self,
        name: str,
        *,
        bounded: bool,
        savepoint: str = "",
        references: Iterable[str] = (),
    ) -> beam.Pipeline:
        """Open a pipeline for a job of this name.

        Args:
            name: Of the job.
            bounded: Whether its source has an end.
            savepoint: Where its state is restored from; empty: nowhere.
            references: Environment variables that its workers need.
        """
        ...

    def launch(self, root: beam.Pipeline, name: str) -> StreamJob:
        """Start it; returns when it runs."""
        ...

    def running(self, job: str) -> bool:
        """Whether a job of an earlier process, by its id, still runs."""
        ...

    def restorable(self, job: str) -> str:
        """Return where the newest checkpoint of an earlier job is, empty if there is none."""
        ...

    def discard(self, path: str) -> None:
        """Drop a checkpoint that nothing goes on from any more; a savepoint stays."""
        ...
