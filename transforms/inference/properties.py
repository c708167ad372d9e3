"""What a contract would say of a field: the proposal, with what it was unsure of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from transforms.inference.fields import Field

MAY_BE_PERSONS: Final = "may be names of persons: classify it if so"
HARMFUL: Final = "perhaps of persons, and of a kind that people are harmed by"


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of the contract that is proposed.

    Attributes:
        name: In tables.
        key: In records.
        logical: The standard's logicalType.
        physical: physicalType, of exact numbers.
        options: logicalTypeOptions.
        enum: The values that were seen, if they are few: another one is counted, not refused.
        may_lack: Whether files may be without it (`schemas.contract.Column`).
        warn: Whether a broken rule is only counted.
        classification: The standard's; None: nothing personal was found.
        protect: How it is protected, with `protect_options` and `reason`.
        transform: Row expression of a computed property.
        epoch: Seconds, ms, us or ns: what its integers count since 1970, if they look so.
        notes: What was seen, and what is not sure.
        distinct: How many values it has in the sample; -1: not counted.
        field: What it was made of; None: computed.
    """

    name: str
    key: str
    logical: str
    physical: str | None = None
    options: dict[str, object] = field(default_factory=dict)
    required: bool = False
    primary_key: int | None = None
    enum: tuple[str, ...] = ()
    may_lack: bool = False
    warn: bool = False
    open: bool = False
    classification: str | None = None
    protect: str | None = None
    protect_options: dict[str, object] = field(default_factory=dict)
    reason: str = ""
    transform: str | None = None
    description: str = ""
    epoch: str | None = None
    notes: tuple[str, ...] = ()
    distinct: int = -1
    children: tuple[Property, ...] = ()
    items: Property | None = None
    field: Field | None = None

    @property
    def nulls(self) -> int:
        """How often it is missing or null in the sample."""
        return 0 if self.field is None else self.field.nulls

    @property
    def doubtful(self) -> bool:
        """Whether its values may be personal: none is listed, and nothing is grouped by them."""
        return any(note.startswith((MAY_BE_PERSONS, HARMFUL)) for note in self.notes)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Property]]:
        """Yield this and what is below it, each with its path."""
        yield f"{prefix}{self.name}", self
        for child in self.children:
            yield from child.walk(f"{prefix}{self.name}.")
        if self.items is not None:
            for child in self.items.children:
                yield from child.walk(f"{prefix}{self.name}[].")
