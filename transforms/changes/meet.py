"""Meet records that are not as the contract has them, as it says (`penstock:onChange`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract, OnChange
from schemas.errors import SourceError
from schemas.names import POSITION, POSITION_NAMES, SOURCE, Destiny
from transforms.changes.evidence import LOOKED_AT, Beside, Said, of_batch, of_records
from transforms.changes.seen import Change, Kind
from transforms.decode.decoded import Decoded, Numbers, Undeclared
from transforms.decode.json_shape import rows_of
from transforms.decode.refusals import STEP, joined, refusals
from transforms.outcome import Outcome, chained, keep, removed

RULES: Final = ("undeclared", "lacking")
"""Rules by which rows are refused or dropped here; the third kind of change is refused as `type`."""

_SHOWN: Final = 3
_MOSTLY: Final = 0.5
_COLUMN: Final = re.compile(r"`(.+?)(?:\[\]|\.[^`]*)?` must ")


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
        delimiter: Of CSV.
        ends: Whether `freeze` ends the run; if not, it refuses the row as `quarantine` does.
    """

    contract: Contract
    delimiter: str = ","
    ends: bool = True
    _blocks: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def columns(self, decoded: Decoded) -> Decoded:
        """Meet columns that are undeclared, or that a file lacks.

        Must be called before rows are taken out of what a decoder made.

        Raises:
            SchemaChangeError: The contract says `freeze`.
        """
        if not decoded.undeclared and not decoded.lacking:
            return decoded
        return self._lacking(self._undeclared(decoded))

    def types(self, decoded: Decoded) -> Decoded:
        """Meet values that are not of their column's type: records that were refused for that.

        Raises:
            SchemaChangeError: The contract says `freeze`.
        """
        changes = [self._nulled(decoded, name) for name, rows in decoded.nulled.items() if len(rows)]
        decoded = decoded._replace(nulled={}, changes=(*decoded.changes, *changes))
        dead = decoded.refused
        if dead is None:
            return decoded
        reasons = pc.if_else(_about_types(dead), dead["reason"], None).dictionary_encode()
        codes = reasons.indices.fill_null(-1).to_numpy()
        by: dict[str, list[int]] = {}
        for code, reason in enumerate(reasons.dictionary.to_pylist()):
            if (column := self._column(reason)) is not None:
                by.setdefault(column.name, []).append(code)
        dropped = np.zeros(dead.num_rows, bool)
        total = decoded.rows.num_rows + dead.num_rows
        for column in (c for c in self.contract.columns if c.name in by):
            own = np.isin(codes, by[column.name])
            mode = self.contract.met(column)
            if mode is None and own.sum() < _MOSTLY * total:
                continue  # some wrong values are no change of the data
            rows = np.flatnonzero(own)
            change = self._mistyped(column, rows, _taken(dead, rows[:LOOKED_AT]), decoded.format)
            decoded = decoded._replace(changes=(*decoded.changes, change))
            if mode is OnChange.FREEZE and self.ends:
                reason = reasons.dictionary[by[column.name][0]].as_py()
                raise self._frozen(reason.split("; got")[0], change, decoded.changes)
            if mode is OnChange.DISCARD_ROW:
                dropped |= own
        return _dropped(decoded, np.flatnonzero(dropped))

    def _undeclared(self, decoded: Decoded) -> Decoded:
        known = {c.key for c in self.contract.columns} | {c.name for c in self.contract.columns}
        found = [(one, tuple(n for n in one.names if n not in known)) for one in decoded.undeclared]
        by: dict[str, list[Undeclared]] = {}
        for one, names in found:
            for name in names:
                by.setdefault(name, []).append(one)
        if not by:
            return decoded
        said = self._said(decoded, by)
        mode = self.contract.on_change
        changes = [
            Change(
                kind=Kind.UNDECLARED,
                name=name,
                mode=mode or "",
                format=decoded.format,
                rows=sum(len(one.rows) + len(one.refused) for one in several),
                **_first(decoded, several),
                proposal=said.get(name, Said()).proposal,
                note=said.get(name, Said()).note,
            )
            for name, several in by.items()
        ]
        decoded = decoded._replace(changes=(*decoded.changes, *changes))
        if mode is OnChange.FREEZE and self.ends:
            first = min(changes, key=lambda c: (c.source, c.position))
            must = f"a record must have no column that the contract does not declare ({first.name!r})"
            raise self._frozen(must, first, decoded.changes)
        rows = np.unique(np.concatenate([one.rows for one, names in found if names]))
        if mode not in (OnChange.QUARANTINE, OnChange.DISCARD_ROW, OnChange.FREEZE):
            return decoded
        why = {i: _undeclared_reason(names) for i, names in _names(found).items()}
        return self._out(decoded, rows, mode, "undeclared", [why[i] for i in rows.tolist()])

    def _lacking(self, decoded: Decoded) -> Decoded:
        columns = [c for c in self.contract.columns if c.name in decoded.lacking]
        for column in columns:
            mode = self.contract.met(column)
            if mode is None:
                continue
            everything = (Undeclared((), np.arange(decoded.rows.num_rows), np.arange(0)),)
            if not decoded.rows.num_rows:
                return decoded
            change = Change(
                kind=Kind.LACKING,
                name=column.name,
                mode=mode,
                format=decoded.format,
                rows=decoded.rows.num_rows,
                **_first(decoded, everything),
            )
            decoded = decoded._replace(changes=(*decoded.changes, change))
            reason = f"a file must have the column `{column.name}`"
            if mode is OnChange.FREEZE and self.ends:
                raise self._frozen(reason, change, decoded.changes)
            if mode in (OnChange.QUARANTINE, OnChange.DISCARD_ROW, OnChange.FREEZE):
                rows = np.arange(decoded.rows.num_rows)
                decoded = self._out(decoded, rows, mode, "lacking", [reason] * len(rows))
        return decoded

    def _out(
        self, decoded: Decoded, rows: Numbers, mode: OnChange, rule: str, reasons: list[str]
    ) -> Decoded:
        """Take rows out: refused with their records, or dropped."""
        taken = decoded.rows.select(POSITION_NAMES).take(pa.array(rows))
        left = keep(decoded.rows, rows)
        kept = np.delete(np.arange(decoded.rows.num_rows), rows)
        places = {path: rows_of(at, kept) for path, at in decoded.places.items()}
        at = np.full(decoded.rows.num_rows, -1)
        at[kept] = np.arange(len(kept))
        nulled = {n: at[r][at[r] >= 0] for n, r in decoded.nulled.items()}
        decoded = decoded._replace(rows=left, places=places, nulled=nulled, undeclared=())
        if mode is OnChange.DISCARD_ROW:
            gone = removed(taken, np.arange(len(rows)), Destiny.FILTERED, STEP, rule)
            return decoded._replace(removed=_both(decoded.removed, gone))
        why = [(rule, reason) for reason in reasons]
        dead = refusals(taken.columns, why, decoded.format, decoded.records(taken))
        return decoded._replace(refused=joined(decoded.refused, dead))

    def _said(self, decoded: Decoded, by: Mapping[str, list[Undeclared]]) -> dict[str, Said]:
        """Look at some values of undeclared columns: seldom, once they have been seen often."""
        names = [name for name in by if name and self._due(name)]
        if not names:
            return {}
        if decoded.beside is not None:
            there = [name for name in names if name in decoded.beside.schema.names]
            return of_batch(decoded.beside.select(there), self._beside)
        rows = np.unique(np.concatenate([o.rows[:LOOKED_AT] for n in names for o in by[n]]))
        dead = np.unique(np.concatenate([o.refused[:LOOKED_AT] for n in names for o in by[n]]))
        records = [decoded.records(_taken(decoded.rows, rows[: 2 * LOOKED_AT]))]
        if decoded.refused is not None and len(dead):
            records.append(_taken(decoded.refused, dead[:LOOKED_AT])["record"])
        texts = pa.concat_arrays([r.cast(pa.binary()) for r in records])
        return of_records(texts, decoded.format, names, self._beside, self.delimiter)

    @property
    def _beside(self) -> Beside:
        names = tuple(column.name for column in self.contract.columns)
        return Beside(names, self.contract.personal)

    def _due(self, name: str) -> bool:
        """Whether to look at values once more: in the first block, the second, the fourth ..."""
        seen = self._blocks[name] = self._blocks.get(name, 0) + 1
        return self.contract.on_change is OnChange.EVOLVE or not seen & (seen - 1)

    def _column(self, reason: str | None) -> Column | None:
        found = _COLUMN.match(reason or "")
        return next((c for c in self.contract.columns if found and c.name == found[1]), None)

    def _mistyped(self, column: Column, rows: Numbers, some: pa.RecordBatch, form: str) -> Change:
        """Say what values that are not of a column's type are like.

        Args:
            column: Of the contract.
            rows: Numbers of the records.
            some: The first of them: places and records (REFUSED).
            form: Of the records.
        """
        key = column.key
        said = of_records(some["record"], form, [key], Beside(), self.delimiter).get(key, Said())
        return Change(
            kind=Kind.TYPE,
            name=column.name,
            mode=self.contract.met(column) or "",
            format=form,
            rows=len(rows),
            source=some[SOURCE][0].as_py(),
            position=some[POSITION][0].as_py(),
            proposal=said.proposal,
            shape=said.shape,
            note=said.note,
        )

    def _nulled(self, decoded: Decoded, name: str) -> Change:
        rows = decoded.nulled[name]
        taken = _taken(decoded.rows.select(POSITION_NAMES), rows[:LOOKED_AT])
        some = taken.append_column("record", decoded.records(taken))
        (column,) = (c for c in self.contract.columns if c.name == name)
        return self._mistyped(column, rows, some, decoded.format)

    def _frozen(
        self, must: str, change: Change, changes: tuple[Change, ...]
    ) -> SchemaChangeError:
        msg = (
            f"{must}, since it says penstock:onChange: freeze; got one in {change.source} at "
            f"{change.position}; nothing of it has landed: `penstock evolve` shows what the "
            "contract could say, or choose another mode"
        )
        return SchemaChangeError(msg, changes)


def _about_types(dead: pa.RecordBatch) -> pa.Array:
    """Which records were refused since a value is not of its column's type."""
    texts = pc.and_(pc.equal(dead["rule"], "json"), pc.starts_with(dead["reason"], "`"))
    return pc.or_(pc.equal(dead["rule"], "type"), texts)


def _dropped(decoded: Decoded, rows: Numbers) -> Decoded:
    """Take refused records for dropped ones."""
    dead = decoded.refused
    if dead is None or not len(rows):
        return decoded
    gone = removed(dead, rows, Destiny.FILTERED, STEP, "type")
    left = keep(dead, rows)
    return decoded._replace(
        refused=left if left.num_rows else None, removed=_both(decoded.removed, gone)
    )


def _both(one: pa.RecordBatch | None, other: pa.RecordBatch | None) -> pa.RecordBatch | None:
    return chained(Outcome(None, one), Outcome(None, other)).removed


def _first(decoded: Decoded, several: Iterable[Undeclared]) -> dict[str, Any]:
    """Where the first of some records stands: `source` and `position`."""
    sides = [(decoded.rows, one.rows) for one in several if len(one.rows)]
    if decoded.refused is not None:
        sides += [(decoded.refused, one.refused) for one in several if len(one.refused)]
    places = [(b[SOURCE][int(n[0])].as_py(), b[POSITION][int(n[0])].as_py()) for b, n in sides]
    return dict(zip(("source", "position"), min(places), strict=True))


def _names(found: Iterable[tuple[Undeclared, tuple[str, ...]]]) -> dict[int, set[str]]:
    """By row, the names of its undeclared columns."""
    out: dict[int, set[str]] = {}
    for one, names in found:
        for row in one.rows.tolist() if names else ():
            out.setdefault(row, set()).update(names)
    return out


def _undeclared_reason(names: set[str]) -> str:
    shown = [f"`{name}`" for name in sorted(names) if name][:_SHOWN]
    more = len(names) - len(shown)
    said = ", ".join(shown) + (f" and {more} more" if more and shown else "" if shown else "many")
    return f"columns of a record must be declared; got {said}, which the contract does not have"


def _taken(batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    return batch.take(pa.array(rows))
