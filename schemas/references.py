"""References such as `${KAFKA_BROKERS}`: kept as text in a plan, resolved where they are used."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from schemas.errors import UsageError

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BROKEN: Final = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})[^}]*\}?")


class MissingReferenceError(UsageError):
    """A reference names nothing."""


def is_url(path: str) -> bool:
    """Return whether a path names a store by scheme (`s3://...`)."""
    return "://" in path


def public(path: str) -> str:
    """Return a path as it may be shown: of a URL neither user, password nor query."""
    if not is_url(path):
        return path
    scheme, host, inner, *_ = urlsplit(path)
    return urlunsplit((scheme, host.rpartition("@")[2], inner, "", ""))


def references(text: str) -> tuple[str, ...]:
    """Names that a text refers to, in order.

    >>> references("${HOST}:${PORT}")
    ('HOST', 'PORT')
    """
    return tuple(_REFERENCE.findall(text))


def problem(text: str) -> str | None:
    """Say what is wrong with the references of a text, or None."""
    broken = _BROKEN.search(text)
    if broken is None:
        return None
    return f"a reference must be ${{NAME}}; got {broken[0][:40]!r}; write letters, digits and _"


def resolve(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Put values in the place of references; once, so that a value is never read as a reference.

    Args:
        text: May hold references.
        environment: Where values come from; the process's own by default.

    Raises:
        MissingReferenceError: A name has no value. The text names the reference, never a value.
    """
    values = os.environ if environment is None else environment
    missing = [name for name in references(text) if name not in values]
    if missing:
        msg = (
            f"${{{missing[0]}}} must have a value when it is used; got none; "
            f"set the environment variable {missing[0]}"
        )
        raise MissingReferenceError(msg)
    return _REFERENCE.sub(lambda match: values[match[1]], text)
