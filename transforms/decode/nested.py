"""Object and array columns whose values come as JSON text in a field of their own."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from schemas.contract import Contract
from transforms.decode.typed import Failures, nested


class NestedTexts:
    """Reads the object and array columns of a contract from one JSON text each."""

    def __init__(self, contract: Contract) -> None:
        """Keep what it reads."""
        self._columns = tuple(c for c in contract.columns if c.read and nested(c))

    def read(self, texts: Mapping[str, pa.Array], failures: Failures) -> dict[str, pa.Array]:
        """Return the columns and path columns; note rows whose text does not fit."""
        if any(c.name in texts for c in self._columns):
            raise NotImplementedError
        return {}
