"""Avro messages: registered schemas to what reads their bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastavro.schema import SchemaParseException, parse_schema

from transforms.decode.avro_values import AvroReader, avro_reader
from transforms.decode.cursors import Cursors
from transforms.decode.framed import Part
from transforms.schema_registry import Written


@dataclass(frozen=True)
class _Bodies:
    reader: AvroReader

    def __call__(self, c: Cursors) -> Iterator[Part]:
        yield Part(np.arange(len(c.at)), self.reader(c), self.reader.unwanted)


def avro_bodies(written: Written, wanted: frozenset[str]) -> _Bodies:
    """Return what reads the bodies of a schema's messages.

    Raises:
        ValueError: See `avro_reader`.
    """
    known: dict[str, Any] = {}
    try:
        for _, text in written.references:
            parse_schema(json.loads(text), known)
        schema = json.loads(written.text)
    except (ValueError, SchemaParseException, KeyError, TypeError) as error:
        msg = f"a schema must be JSON text of Avro; got {type(error).__name__}"
        raise ValueError(msg) from error
    return _Bodies(avro_reader(schema, known, wanted))
