"""How records differ from their contract: what is counted, and what the contract could say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from transforms.changes.proposals import either, of_json, to_json
from transforms.inference.properties import Property

MOST: Final = 100
"""Undeclared names that are told apart: where keys are data there is no end of them."""

WARN: Final = "warn"
"""What meets a row that breaks a rule which only counts: `penstock:onFailure`, or a severity."""

MAY_LACK: Final = "may_lack"
"""What meets a file without a column that the contract says may be missing: no change of mode."""

TEXT: Final = "text"
"""Format of what stands in keys and headers of messages."""


class Key(NamedTuple):
    """A key that a contract does not declare, as the records have it.

    Attributes:
        name: The empty one stands for others (see `naming`), or more than are told apart.
        inside: Path in the contract of the object that it is in (`address`, `items[]`); empty: it
            is one of the record.
    """

    name: str
    inside: str = ""

    @property
    def called(self) -> str:
        """Its path; empty: others of the record."""
        return f"{self.inside}.{self.name or '*'}" if self.inside else self.name


class Kind(StrEnum):
    """What a change is."""

    UNDECLARED = "undeclared"
    TYPE = "type"
    LACKING = "lacking"
    CUT = "cut"
    """Times that lost digits below a microsecond: told, and met in one way alone."""
    BROKEN = "broken"
    """Rows that break a rule which only counts them; `inside` is the column, `name` the rule."""

    @property
    def met_by_contract(self) -> bool:
        """Whether there is something that another contract could say."""
        return self not in (Kind.CUT, Kind.BROKEN)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One way in which records differ from their contract; small, and it pickles.

    Attributes:
        kind: What.
        name: Of `UNDECLARED` the key in records (empty: others, see `naming`, or more than
            are told apart), else the column.
        inside: Of `UNDECLARED` as that of `Key`.
        mode: The `penstock:onChange` that met it, `MAY_LACK` or `WARN`; empty: the contract says
            none.
        format: Of the records, or `TEXT`.
        rows: How many records.
        source: Where the first of them stands.
        position: Its position.
        proposal: What the contract could say of the values, as far as they were looked at; of
            `TYPE` those that are not of the column's type.
        shape: What a value looks like, letters as `a` and digits as `9`; of `TYPE` only.
        note: Why there is no proposal.
        few: Whether the mode leaves it to how many there are, and they were few in every block:
            then it is no change of the data, but counts where other blocks have many.
    """

    kind: Kind
    name: str
    inside: str = ""
    mode: str = ""
    format: str = "json"
    rows: int
    source: str
    position: int
    proposal: Property | None = None
    shape: str = ""
    note: str = ""
    few: bool = False

    @property
    def called(self) -> str:
        """Its path; empty: others of the record."""
        return self.inside if self.kind is Kind.BROKEN else Key(self.name, self.inside).called

    @property
    def what(self) -> tuple[Kind, str, str]:
        """What tells it from other changes."""
        return self.kind, self.inside, self.name

    @property
    def texts(self) -> bool:
        """Whether the values are texts whatever they say, which a text column takes."""
        return self.format in ("csv", TEXT)

    def told(self) -> dict[str, Any]:
        """Return what a program is told of it at the end of a run."""
        proposal = self.proposal
        return {
            "kind": self.kind,
            "column": self.called,
            "mode": self.mode,
            "rows": self.rows,
            "source": self.source,
            "position": self.position,
            "type": None if proposal is None else proposal.physical or proposal.logical,
            "personal": proposal is not None and bool(proposal.classification),
            "shape": self.shape,
            "note": self.note,
        }

    def json(self) -> dict[str, Any]:
        """Return it as JSON values, without any value of the data."""
        told = asdict(replace(self, proposal=None))
        return told | {"proposal": None if self.proposal is None else to_json(self.proposal)}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Change:
        """Read what `json` wrote."""
        proposal = told["proposal"]
        own = {**told, "proposal": None if proposal is None else of_json(proposal)}
        return cls(**own | {"kind": Kind(told["kind"])})


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Join what is told of the same, most rows first; all undeclared names after `MOST` are one."""
    found: dict[tuple[Kind, str, str], Change] = {}
    for one in changes:
        _add(found, one)
    named = [c for c in _most_first(found.values()) if c.kind is Kind.UNDECLARED and c.name]
    for one in named[MOST:]:
        del found[one.what]
        _add(found, replace(one, name="", proposal=None, note=""))
    return _most_first(found.values())


def _add(found: dict[tuple[Kind, str, str], Change], one: Change) -> None:
    there = found.get(one.what)
    found[one.what] = one if there is None else joined(there, one)


def _most_first(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda c: (-c.rows, c.kind, c.called)))


def many(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Leave out what was found in a few records only, and is no change of the data."""
    return tuple(change for change in changes if not change.few)


def joined(one: Change, other: Change) -> Change:
    """Join two changes of the same kind and name; the place is that of the first record."""
    first = min(one, other, key=lambda c: (c.source, c.position))
    note = one.note or other.note
    proposal = None if note else one.proposal or other.proposal
    if proposal is not None and one.proposal is not None and other.proposal is not None:
        proposal = either(one.proposal, other.proposal, texts=one.texts)
        note = "" if proposal is not None else "its values are of several kinds"
    return replace(
        first,
        mode=one.mode or other.mode,
        rows=one.rows + other.rows,
        proposal=proposal,
        shape=one.shape or other.shape,
        note=note,
        few=one.few and other.few,
    )
