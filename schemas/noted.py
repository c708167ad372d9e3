"""Problems of a file that remember their nodes, so that one mistake is told once."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from schemas.durations import parse_duration
from schemas.errors import SpecError
from schemas.located import Located, NodePath, Problems, dotted


class Noted(Problems):
    """Problems that remember their nodes."""

    def __init__(self, located: Located) -> None:
        """Start with none."""
        super().__init__(located)
        self.paths: list[NodePath] = []

    @override
    def add(self, path: NodePath, message: str) -> None:
        self.paths.append(path)
        super().add(path, message)

    def take(self, path: NodePath, error: SpecError) -> None:
        """Note the problems of an error that was raised for a node."""
        for problem in error.problems:
            self.add(path, f"`{dotted(path)}`: {problem.message}")

    def broken(self, *path: str | int) -> bool:
        """Whether there is a problem at this node, within it or around it."""
        return any(p[: len(path)] == path[: len(p)] for p in self.paths)

    def node(self, path: NodePath) -> Any:
        """Return the value of a node that the file has."""
        value: Any = self.located.value
        for key in path:
            value = value[key]
        return value

    def duration(self, at: NodePath) -> int | None:
        """Return microseconds of a duration; None, with a problem noted, where it is wrong."""
        try:
            return parse_duration(self.node(at))
        except ValueError as error:
            self.add(at, f"`{dotted(at)}` {error}")
            return None
