"""A client of a schema registry that speaks Confluent's protocol."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from schemas.errors import SourceError, UsageError
from schemas.references import public, resolve
from schemas.stream_source import Registry
from transforms.pem import pem_files
from transforms.secrets import read_secret

PATIENCE_S: Final = 60.0
_TIMEOUT_S: Final = 10.0
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_NOT_FOUND: Final = (40401, 40402, 40403)  # Confluent's codes: no such subject, version, schema
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_KIND: Final = "application/vnd.schemaregistry.v1+json"


class RegistryError(SourceError):
    """The registry does not answer, or not as one."""


class UnknownSchemaError(RegistryError):
    """The registry says that it has no such schema."""


@dataclass(frozen=True)
class Written:
    """A schema as it was registered.

    Attributes:
        kind: AVRO, PROTOBUF or JSON.
        text: The schema.
        references: Schemas that it refers to, those before which they need first: (name, text).
    """

    kind: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


class SchemaRegistry:
    """Asks a registry; pickles, as nothing but its description."""

    def __init__(self, about: Registry, folder: Path, *, patience_s: float = PATIENCE_S) -> None:
        """Describe it; secrets are read when it is first asked.

        Args:
            about: Where it is.
            folder: The pipeline folder.
            patience_s: For how long a registry that does not answer is asked again.
        """
        self._about, self._folder, self._patience_s = about, folder, patience_s
        self._opened: tuple[str, dict[str, str], ssl.SSLContext | None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out secrets."""
        return _again, (self._about, self._folder, self._patience_s)

    def check(self) -> None:
        """Ask anything.

        Raises:
            RegistryError: There is none.
        """
        self._ask("/schemas/types")

    def schema(self, number: int) -> Written:
        """Return the schema of an id.

        Raises:
            UnknownSchemaError: There is none.
            RegistryError: The registry does not answer, however often it is asked.
        """
        where = f"/schemas/ids/{number}"
        found = self._ask(where)
        if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
            msg = f"a registry must say what a schema is; got something else at {where}; check url"
            raise RegistryError(msg)
        references: dict[str, str] = {}
        self._refer(found.get("references") or (), references)
        return Written(found.get("schemaType") or "AVRO", found["schema"], (*references.items(),))

    def register(self, subject: str, kind: str, text: str) -> int:
        """Register a schema, unless it is; return its id.

        Raises:
            RegistryError: It is refused, or the registry does not answer.
        """
        body = json.dumps({"schema": text} | ({} if kind == "AVRO" else {"schemaType": kind}))
        return int(self._ask(f"/subjects/{quote(subject, safe='')}/versions", body.encode())["id"])

    def _refer(self, references: Any, found: dict[str, str]) -> None:
        for one in references:
            if one["name"] not in found:
                where = f"/subjects/{quote(one['subject'], safe='')}/versions/{one['version']}"
                schema = self._ask(where)
                self._refer(schema.get("references") or (), found)
                found[one["name"]] = schema["schema"]

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        url, headers, context = self._open()
        asked = urllib.request.Request(url + path, data=body, headers=headers)  # noqa: S310 - checked
        for last in _waits(self._patience_s):
            try:
                with urllib.request.urlopen(asked, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                said = _said(error)
                passes = error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _BUSY
                if said.get("error_code") in _NOT_FOUND:
                    msg = f"a schema must be in its registry; got none at {path}"
                    raise UnknownSchemaError(msg) from None
                why = f"{error.code} {said.get('message') or error.reason}"
            except (OSError, ValueError) as error:  # no answer, or no JSON
                reason = getattr(error, "reason", error)
                passes = not isinstance(reason, ssl.SSLCertVerificationError)
                why = f"{type(error).__name__} ({reason})"
            if last or not passes:
                break
        msg = (
            f"the schema registry must answer; got {why} at {public(self._about.url)}{path}; check "
            "url, login and network, then run again"
        )
        raise RegistryError(msg)

    def _open(self) -> tuple[str, dict[str, str], ssl.SSLContext | None]:
        if self._opened is None:
            about, folder = self._about, self._folder
            url = resolve(about.url).rstrip("/")
            if not url.startswith(("http://", "https://")):
                msg = (
                    "a registry's url must begin with http:// or https://; got "
                    f"{public(about.url)}; correct registry.url"
                )
                raise UsageError(msg)
            if "@" in url:
                msg = (
                    "a registry's url must hold no login; got one with `@`; write "
                    "registry.username and registry.password"
                )
                raise UsageError(msg)
            headers = {"Accept": f"{_KIND}, application/json", "Content-Type": _KIND}
            if about.username is not None and about.password is not None:
                pair = f"{resolve(about.username)}:{read_secret(about.password, folder).strip()}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            if about.token is not None:
                headers["Authorization"] = f"Bearer {read_secret(about.token, folder).strip()}"
            self._opened = url, headers, _context(about, folder)
        return self._opened


def _again(about: Registry, folder: Path, patience_s: float) -> SchemaRegistry:
    return SchemaRegistry(about, folder, patience_s=patience_s)


def _waits(patience_s: float) -> Iterator[bool]:
    """Wait longer and longer between tries; yield whether one is the last."""
    until, wait = time.monotonic() + patience_s, _FIRST_WAIT_S
    while True:
        last = time.monotonic() + wait > until
        yield last
        if last:
            return
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_S)


def _said(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.load(error)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _context(about: Registry, folder: Path) -> ssl.SSLContext | None:
    tls = about.tls
    if tls is None:
        return None
    files = pem_files(tls, folder, "registry.tls")
    password = tls.key_password
    secret = None if password is None else read_secret(password, folder).strip()
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "certificate" in files:
            context.load_cert_chain(files["certificate"], files.get("key"), secret)
    except ssl.SSLError as error:
        msg = (
            f"the files of registry.tls must be such as TLS takes; got {error.reason or 'others'}; "
            "correct them (a certificate has its own key, a key its own password)"
        )
        raise UsageError(msg) from error
    return context
