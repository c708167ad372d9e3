"""The REST interface of Flink's JobManager: what of it we use."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from schemas.errors import PenstockError, UsageError


class FlinkError(PenstockError):
    """Flink refused what was asked, or a job of it failed."""


class NoAnswerError(UsageError):
    """Nobody listens where a cluster should."""


class GoneError(FlinkError):
    """The cluster does not know what was asked about."""


@dataclass(frozen=True)
class Rest:
    """A cluster's REST interface.

    Attributes:
        url: `http://host:port`.
        seconds: How long an answer may take.
    """

    url: str
    seconds: float = 30.0

    def get(self, path: str) -> Any:
        """Return the JSON that a path answers with.

        Raises:
            NoAnswerError: Nothing listens there, or what does is no Flink.
            GoneError: There is no such thing.
            FlinkError: Flink refused it.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON; raises as `get`."""
        return self._ask("POST", path, body)

    def patch(self, path: str) -> Any:
        """Change something; raises as `get`."""
        return self._ask("PATCH", path, None)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data, kind, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=self.seconds) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error, path) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise self._silent(str(getattr(why, "strerror", None) or why)) from None
        try:
            return json.loads(text) if text else {}
        except ValueError:
            got = "an answer that is no JSON"
            raise self._silent(got) from None

    def _silent(self, got: str) -> NoAnswerError:
        return NoAnswerError(
            f"a Flink cluster must answer at {self.url}; got {got}; start one with "
            'make up SERVERS="flink jobserver", or name yours with --flink-rest HOST:PORT'
        )

    def _refused(self, error: urllib.error.HTTPError, path: str) -> FlinkError:
        try:
            said = json.loads(error.read()).get("errors", [])
        except (OSError, ValueError, AttributeError):
            said = []
        text = next((line for line in map(first_line, said) if line), error.reason)
        kind = GoneError if error.code == 404 else FlinkError
        return kind(f"Flink must accept {path}; got {error.code}: {text}; see {self.url}")


def first_line(text: str) -> str:
    """Return what an error says before its stack trace."""
    return next(iter(text.strip().splitlines()), "").strip()
