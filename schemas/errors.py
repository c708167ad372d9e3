"""What Penstock says when something is wrong: what must hold; what was found; what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class PenstockError(Exception):
    """Base of every error that Penstock raises on purpose; ends a run with exit code 1."""

    exit_code = 1


class UsageError(PenstockError):
    """A command, option or reference that cannot be used as given; exit code 2."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a file that a person wrote.

    Attributes:
        file: The file, as the person named it.
        line: 1-based line in the file.
        message: `what must hold; got ...; what to do`.
    """

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        """Render as `file:line: message`, which editors turn into a link."""
        return f"{self.file}:{self.line}: {self.message}"


class SpecError(UsageError):
    """A contract or a pipeline file breaks its rules; carries all of its problems at once."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the problems in file order."""
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class SourceError(PenstockError):
    """A source cannot be read as a whole, or is not what it was: nothing has been written."""


class MissingError(SourceError):
    """Nothing is where a source should be: perhaps it has not been fetched or made yet."""


class CommitError(PenstockError):
    """The lake could not be changed, or a half-landed commit cannot be finished."""
