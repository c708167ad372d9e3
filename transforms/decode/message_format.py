"""What the messages of a topic are, and what decodes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from schemas.contract import Contract
from schemas.stream_source import KafkaSource
from transforms.changes.meet import Meet
from transforms.decode.avro_messages import avro_bodies
from transforms.decode.framed import Compile, FramedDecoder
from transforms.decode.messages import JsonPayloads, MakePayloads, MessageDecoder
from transforms.decode.protobuf_values import ProtobufBodies
from transforms.schema_registry import SchemaRegistry

_AT_START_S: Final = 5.0
_BODIES: Final[dict[str, Compile]] = {"avro": avro_bodies, "protobuf": ProtobufBodies}


@dataclass(frozen=True, kw_only=True)
class MessageFormat:
    """Makes the decoder of a source's messages; pickles, and holds no secret.

    Attributes:
        kafka: Says the format, its registry, and which columns are in keys and headers.
        folder: The pipeline folder.
    """

    kafka: KafkaSource
    folder: Path

    def __call__(
        self,
        contract: Contract,
        *,
        max_future_us: int | None = None,
        meet: Meet | None = None,
    ) -> MessageDecoder:
        """Return what decodes by a contract; see `MessageDecoder`."""
        return MessageDecoder(
            contract,
            payloads=self._payloads(),
            key=self.kafka.key,
            headers=self.kafka.headers,
            max_future_us=max_future_us,
            meet=meet,
        )

    def check(self) -> None:
        """Check that what decoding needs is there.

        Raises:
            RegistryError: The registry does not answer.
        """
        if self.kafka.registry is not None:
            # Somebody waits for the run to begin.
            SchemaRegistry(self.kafka.registry, self.folder, patience_s=_AT_START_S).check()

    def _payloads(self) -> MakePayloads:
        kafka = self.kafka
        if kafka.registry is None:
            return JsonPayloads
        registry = SchemaRegistry(kafka.registry, self.folder)
        return partial(
            FramedDecoder, form=kafka.format, registry=registry, compiling=_BODIES[kafka.format]
        )
