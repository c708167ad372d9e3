"""Meet records that are not as the contract has them, as it says (`penstock:onChange`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract, OnChange
from schemas.errors import SourceError
from schemas.names import POSITION, POSITION_NAMES, SOURCE
from schemas.plan import FileSource
from transforms.changes.evidence import Beside, Said, of_attached, of_batch, of_records
from transforms.changes.naming import told_by_name
from transforms.changes.reasons import reasons_by_row
from transforms.changes.seen import MAY_LACK, MOST, TEXT, Change, Key, Kind
from transforms.changes.taking import out_of_refused, out_of_rows, taken
from transforms.decode.attached_records import ATTACHED
from transforms.decode.decoded import LOOKED_AT, Decoded, Numbers, Undeclared, root

_MOST_NAMES: Final = 4 * MOST
"""Of these is kept how often they were seen; of more no values are looked at any more."""
_MOSTLY: Final = 0.5
"""Of the records of a block; fewer wrong values are no change of the data by themselves."""
_COLUMN: Final = re.compile(r"`(.+?)(?:\[\]|\.[^`]*)?` must ")
TAKING: Final = (OnChange.QUARANTINE, OnChange.DISCARD_ROW, OnChange.FREEZE)
"""Modes that let no changed row land."""


Attachments = Mapping[str, str | None]
"""Columns that stand beside payloads -> name of their header; None: the key."""

_NOWHERE: Final[Attachments] = MappingProxyType({})


class SchemaChangeError(SourceError):
    """A record is not as the contract has it, which says that a run ends then.

    Attributes:
        changes: What was found, up to there.
    """

    def __init__(self, message: str, changes: tuple[Change, ...] = ()) -> None:
        """Keep what was found."""
        super().__init__(message)
        self.changes = changes


@dataclass(eq=False)
class Meet:
    """Meets the changes in what was decoded; pickles, and threads may share one.

    Attributes:
        contract: What the records must be; all of it, whatever a decoder reads.
        source: How CSV is written; None: there are no files.
        ends: Whether `freeze` ends the run; if not, it refuses the row as `quarantine` does.
    """

    contract: Contract
    source: FileSource | None = None
    ends: bool = True
    _blocks: dict[tuple[Kind, str], int] = field(default_factory=dict, init=False, repr=False)

    def columns(self, decoded: Decoded) -> Decoded:
        """Meet columns that are undeclared, or that a file lacks; tell of times that were cut.

        Must be called before rows are taken out of what a decoder made.

        Raises:
            SchemaChangeError: The contract says `freeze`.
        """
        whole = decoded
        decoded = _with(decoded, *(_cut(decoded, n, r) for n, r in decoded.cut.items() if len(r)))
        if decoded.undeclared:
            decoded = self._undeclared(decoded)
        return self._lacking(decoded, whole) if decoded.lacking else decoded

    def types(self, decoded: Decoded, attached: Attachments = _NOWHERE) -> Decoded:
        """Meet values that are not of their column's type: passed over, or refused until now.

        Args:
            decoded: As its decoder made it.
            attached: Columns that stand beside payloads.

        Raises:
            SchemaChangeError: The contract says `freeze`.
        """
        for name, rows in decoded.nulled.items():
            if len(rows):
                decoded = _with(decoded, self._nulled(decoded, name, rows, attached))
        dead = decoded.refused
        return decoded if dead is None else self._mistyped(decoded, dead, attached)

    def _undeclared(self, decoded: Decoded) -> Decoded:
        by: dict[Key, list[Undeclared]] = {}
        headed = self._headed(decoded)
        known = {name for c in self.contract.columns for name in (c.key, c.name)}
        for one in (o for o in decoded.undeclared if len(o.rows) or len(o.refused)):
            keys = [key for key in one.keys if key.inside or key.name not in known]
            told = {
                k if (headed or k.inside) and told_by_name(k.name) else k._replace(name="")
                for k in keys
            }
            for key in told:
                by.setdefault(key, []).append(one)
        if not by:
            return decoded
        modes, said = {key: self._mode(key) for key in by}, self._said(decoded, by)
        changes = [
            Change(
                kind=Kind.UNDECLARED,
                name=key.name,
                inside=key.inside,
                mode=modes[key] or "",
                format=decoded.format.removesuffix(ATTACHED),
                rows=_count(several),
                proposal=said.get(key, Said()).proposal,
                note=said.get(key, Said()).note,
                **_first(decoded, several),
            )
            for key, several in by.items()
        ]
        decoded = _with(decoded, *changes)
        frozen = [change for change in changes if change.mode == OnChange.FREEZE]
        if frozen and self.ends:
            first = min(frozen, key=lambda c: (c.source, c.position))
            got = repr(first.called) if first.called else "another"
            must = "a record must have no column that its contract does not declare"
            raise _frozen(must, got, first, decoded)
        left = np.arange(decoded.rows.num_rows)
        for mode in TAKING:
            own = {key: [o.rows for o in ones] for key, ones in by.items() if modes[key] is mode}
            rows, reasons = reasons_by_row(own, left)
            if len(rows):
                decoded = out_of_rows(decoded, rows, mode, Kind.UNDECLARED, reasons)
                left = np.delete(left, rows)
        return decoded

    def _headed(self, decoded: Decoded) -> bool:
        """Whether names of columns are such: CSV that has none of ours may have no header."""
        ours = {column.name for column in self.contract.columns if column.read}
        return decoded.format != "csv" or not ours <= set(decoded.lacking)

    def _mode(self, key: Key) -> OnChange | None:
        holders = [c for c in self.contract.columns if key.inside and c.name == root(key.inside)]
        return self.contract.met(holders[0]) if holders else self.contract.on_change

    def _lacking(self, decoded: Decoded, whole: Decoded) -> Decoded:
        for column in (c for c in self.contract.columns if c.name in decoded.lacking):
            mode = None if column.may_lack else self.contract.met(column)
            told = MAY_LACK if column.may_lack else mode
            if told is None or not whole.rows.num_rows:
                continue
            change = Change(
                kind=Kind.LACKING,
                name=column.name,
                mode=told,
                format=decoded.format.removesuffix(ATTACHED),
                rows=whole.rows.num_rows,
                **_first(whole, [Undeclared((), np.arange(1), np.arange(0))]),
            )
            decoded = _with(decoded, change)
            must = f"a file must have the column `{column.name}`"
            if mode is OnChange.FREEZE and self.ends:
                raise _frozen(must, "none", change, decoded)
            if mode in TAKING and (count := decoded.rows.num_rows):
                everything, reasons = np.arange(count), [f"{must}; got none"] * count
                decoded = out_of_rows(decoded, everything, mode, Kind.LACKING, reasons)
        return decoded

    def _mistyped(self, decoded: Decoded, dead: pa.RecordBatch, attached: Attachments) -> Decoded:
        reasons = pc.if_else(_about_types(dead), dead["reason"], None).dictionary_encode()
        codes = reasons.indices.fill_null(-1).to_numpy()
        texts = reasons.dictionary.to_pylist()
        by: dict[str, list[int]] = {}
        for code, reason in enumerate(texts):
            if found := _COLUMN.match(reason):
                by.setdefault(found[1], []).append(code)
        total = decoded.rows.num_rows + dead.num_rows
        dropped = np.zeros(dead.num_rows, bool)
        for column in (c for c in self.contract.columns if c.name in by):
            own, mode = np.isin(codes, by[column.name]), self.contract.met(column)
            rows = np.flatnonzero(own)
            some = taken(dead, rows[:LOOKED_AT])
            few = mode is None and len(rows) < _MOSTLY * total
            change = self._other_type(column, len(rows), some, decoded.format, attached, few=few)
            decoded = _with(decoded, change)
            if mode is OnChange.FREEZE and self.ends:
                must = texts[by[column.name][0]].split("; got")[0]
                raise _frozen(must, "another value", change, decoded)
            if mode is OnChange.DISCARD_ROW:
                dropped |= own
        return out_of_refused(decoded, np.flatnonzero(dropped), Kind.TYPE)

    def _nulled(self, decoded: Decoded, name: str, rows: Numbers, attached: Attachments) -> Change:
        places = taken(decoded.rows.select(POSITION_NAMES), rows[:LOOKED_AT])
        some = places.append_column("record", decoded.records(places))
        (column,) = (c for c in self.contract.columns if c.name == name)
        return self._other_type(column, len(rows), some, decoded.format, attached)

    def _other_type(
        self,
        column: Column,
        count: int,
        some: pa.RecordBatch,
        form: str,
        attached: Attachments,
        *,
        few: bool = False,
    ) -> Change:
        """Say what values are like that are not of a column's type.

        Args:
            column: Of the contract.
            count: How many records have one.
            some: The first of them: places and `record`.
            form: Of the records.
            attached: Columns that stand beside payloads.
            few: See `Change`; then nobody looks at them.
        """
        numbers, exact = column.logical in ("integer", "number"), pa.types.is_decimal(column.type)
        key, beside = column.key, Beside(exact=exact, numbers=numbers)
        said, records = Said(), some["record"]
        if not few and self._due(Kind.TYPE, key):
            if column.name in attached:
                said = of_attached(records, key, attached[column.name], beside)
            else:
                found = of_records(records, form, [Key(key)], beside, self.source)
                said = found.get(Key(key), said)
        return Change(
            kind=Kind.TYPE,
            name=column.name,
            mode=self.contract.met(column) or "",
            format=TEXT if column.name in attached else form.removesuffix(ATTACHED),
            rows=count,
            source=some[SOURCE][0].as_py(),
            position=some[POSITION][0].as_py(),
            proposal=said.proposal,
            shape=said.shape,
            note=said.note,
            few=few,
        )

    def _said(self, decoded: Decoded, by: Mapping[Key, list[Undeclared]]) -> dict[Key, Said]:
        """Look at some values of undeclared columns: seldom, once they have been seen often."""
        keys = [k for k in by if k.name and self._due(Kind.UNDECLARED, f"{k.inside}.{k.name}")]
        if not keys:
            return {}
        own = {column.name: column.key for column in self.contract.columns}
        beside = Beside(tuple(own), self.contract.personal, keys=own)
        if decoded.beside is not None:
            there = set(decoded.beside.schema.names)
            columns = [own.get(root(k.inside), k.name) for k in keys]
            some = decoded.beside.select([c for c in dict.fromkeys(columns) if c in there])
            return of_batch(some, keys, beside)
        rows = np.unique(np.concatenate([o.rows[:LOOKED_AT] for k in keys for o in by[k]]))
        dead = np.unique(np.concatenate([o.refused[:LOOKED_AT] for k in keys for o in by[k]]))
        places = decoded.rows.select(POSITION_NAMES)
        records = [decoded.records(taken(places, rows[: 2 * LOOKED_AT]))]
        if decoded.refused is not None and len(dead):
            records.append(taken(decoded.refused, dead[:LOOKED_AT])["record"])
        return of_records(pa.concat_arrays(records), decoded.format, keys, beside, self.source)

    def _due(self, kind: Kind, name: str) -> bool:
        """Whether to look at values once more: in the first block, the fourth, the 16th ..."""
        if len(self._blocks) >= _MOST_NAMES and (kind, name) not in self._blocks:
            return False  # keys are data: there is no end of them
        seen = self._blocks[kind, name] = self._blocks.get((kind, name), 0) + 1
        return not seen & (seen - 1) and seen.bit_length() % 2 == 1


def _frozen(must: str, got: str, change: Change, decoded: Decoded) -> SchemaChangeError:
    msg = (
        f"{must} (penstock:onChange: freeze); got {got} in {change.source} at {change.position}; "
        "it has not landed: see `penstock evolve`, or let another mode meet it"
    )
    return SchemaChangeError(msg, decoded.changes)


def _cut(decoded: Decoded, name: str, rows: Numbers) -> Change:
    return Change(
        kind=Kind.CUT,
        name=name,
        format=decoded.format.removesuffix(ATTACHED),
        rows=len(rows),
        note="digits below a microsecond are cut",
        **_first(decoded, [Undeclared((), rows, rows[:0])]),
    )


def _with(decoded: Decoded, *changes: Change) -> Decoded:
    return decoded._replace(changes=(*decoded.changes, *changes))


def _about_types(dead: pa.RecordBatch) -> pa.Array:
    """Which records were refused since a value is not of its column's type."""
    texts = pc.and_(pc.equal(dead["rule"], "json"), pc.starts_with(dead["reason"], "`"))
    return pc.or_(pc.equal(dead["rule"], "type"), texts)


def _count(several: Iterable[Undeclared]) -> int:
    """How many records there are: one may have several keys that are not told by name."""
    sides = zip(*((one.rows, one.refused) for one in several), strict=True)
    return sum(
        len(side[0]) if len(side) == 1 else len(np.unique(np.concatenate(side))) for side in sides
    )


def _first(decoded: Decoded, several: Iterable[Undeclared]) -> dict[str, Any]:
    """Where the first of some records stands: `source` and `position`."""
    sides = [(decoded.rows, one.rows) for one in several if len(one.rows)]
    if decoded.refused is not None:
        sides += [(decoded.refused, one.refused) for one in several if len(one.refused)]
    places = [(b[SOURCE][int(n[0])].as_py(), b[POSITION][int(n[0])].as_py()) for b, n in sides]
    return dict(zip(("source", "position"), min(places), strict=True))
