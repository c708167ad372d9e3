"""Refused rows as the lake holds them; sealed records are opened in memory only."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError
from schemas.names import ARRIVED, MENDED_AT, POSITION, SEQUENCE, SOURCE, TRIED
from schemas.plan import Plan
from transforms.commit.closing import PLACE, Places, held
from transforms.commit.lake import Lake, open_lake
from transforms.keys import resolve
from transforms.masking import Masks, as_text
from transforms.replay import HELD
from transforms.sealing import SealError, is_sealed, open_sealed

_WHY = ["step", "rule", "reason"]


@dataclass(frozen=True)
class Choice:
    """Which dead letters are meant: those that all of this is true of.

    Attributes:
        step: The id of the step that refused them.
        rule: The rule that they broke.
        source: The `_source` that they were read from.
        places: Where they stand (columns PLACE).
    """

    step: str | None = None
    rule: str | None = None
    source: str | None = None
    places: pa.Table | None = None

    def of(self, rows: pa.Table) -> pa.Table:
        """Return the rows that are meant."""
        for name, value in (("step", self.step), ("rule", self.rule), (SOURCE, self.source)):
            if value is not None:
                rows = rows.filter(pc.field(name) == value)
        if self.places is not None:
            rows = rows.filter(pa.array(Places(self.places).at(rows) >= 0))
        return rows


def groups(plan: Plan, choice: Choice) -> list[dict[str, Any]]:
    """Count refused rows by step, rule and reason, most first, each with a masked example.

    Args:
        plan: Whose lake is asked.
        choice: Which rows count.

    Without the key that a record was sealed with its example is null.

    Raises:
        UsageError: Nothing has landed yet.
    """
    lake = landed(plan)
    found = choice.of(lake.read(plan.operations("refused"), [*PLACE, *_WHY]))
    found = found.sort_by([(POSITION, "ascending")])
    grouped = found.group_by(_WHY, use_threads=False).aggregate(
        [([], "count_all"), *((name, "first") for name in PLACE)]
    )
    keys = [("count_all", "descending"), *((name, "ascending") for name in _WHY)]
    grouped = grouped.sort_by(keys)
    first = grouped.select([f"{name}_first" for name in PLACE]).rename_columns(list(PLACE))
    records: dict[tuple[Any, ...], str | None] = {}
    with suppress(UsageError, SealError):
        records = _masked(lake, plan, first)
    out = []
    for row in grouped.to_pylist():
        place = tuple(row[f"{name}_first"] for name in PLACE)
        out.append(
            {
                **{name: row[name] for name in _WHY},
                "rows": row["count_all"],
                "example": {"source": place[0], "position": place[1], "record": records.get(place)},
            }
        )
    return out


def rows(plan: Plan, choice: Choice, *, limit: int, clear: bool) -> list[dict[str, Any]]:
    """Return refused rows, the last that arrived first.

    Args:
        plan: Whose lake is asked.
        choice: Which rows.
        limit: At most so many.
        clear: Whether `record` is as it came (bytes that are no UTF-8 escaped), or masked where
            the contract has personal data; null where the lake holds only its position.

    Raises:
        UsageError: Nothing has landed yet, or the key cannot be read.
        SealError: A record was sealed with a key that is not here.
    """
    lake = landed(plan)
    there = lake.load(plan.operations("refused")).schema().column_names
    later = [f.name for f in (*TRIED, MENDED_AT) if f.name in there]
    columns = [SOURCE, POSITION, SEQUENCE, ARRIVED, *_WHY, *later]
    found = choice.of(lake.read(plan.operations("refused"), columns))
    order = [(ARRIVED, "descending"), (SOURCE, "ascending"), (POSITION, "ascending")]
    found = found.sort_by(order).slice(0, limit)
    shown = _clear if clear else _masked
    records = shown(lake, plan, found)
    out = []
    for row in found.to_pylist():
        made = {name.removeprefix("_"): value for name, value in row.items()}
        for name in ("arrived", "tried_at", MENDED_AT.name):
            made[name] = made[name].isoformat() if made.get(name) is not None else None
        made["record"] = records.get((row[SOURCE], row[POSITION], row[SEQUENCE]))
        out.append(made)
    return out


def landed(plan: Plan) -> Lake:
    """Open the lake of a plan.

    Raises:
        UsageError: There is none.
    """
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be read; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    return open_lake(plan)


def in_clear(lake: Lake, plan: Plan, places: pa.Table, at: int | None) -> pa.Table:
    """Return dead letters as rows of HELD in clear, in the order of their places.

    Args:
        lake: Where.
        plan: Whose.
        places: Columns PLACE; those that are no dead letters any more are left out.
        at: Snapshot of the refused table.
    """
    found = held(lake.load(plan.operations("refused")), at, Places(places), HELD)
    opened = _opened(found["record"].combine_chunks(), plan)
    return found.set_column(found.schema.get_field_index("record"), "record", opened)


_Shown = dict[tuple[Any, ...], str | None]
"""Place -> record; as of now, so one may be missing that was closed meanwhile."""


def _clear(lake: Lake, plan: Plan, places: pa.Table) -> _Shown:
    at = lake.last_done().snapshots.get(plan.operations("refused"))
    found = in_clear(lake, plan, places.select(list(PLACE)), at).to_pylist()
    return {_place(row): row["record"] and as_text(row["record"]) for row in found}


def _masked(lake: Lake, plan: Plan, places: pa.Table) -> _Shown:
    refused = plan.operations("refused")
    at = lake.last_done().snapshots.get(refused)
    found = held(lake.load(refused), at, Places(places.select(list(PLACE))), HELD)
    opened = _opened(found["record"].combine_chunks(), plan).to_pylist()
    masks, out = Masks(plan), _Shown()
    for row, record in zip(found.to_pylist(), opened, strict=True):
        # What was sealed is personal, whatever the contract says now.
        sealed = record is not None and row["record"] != record
        out[_place(row)] = record and masks(record, row["format"], personal=sealed)
    return out


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in PLACE)


def _opened(records: pa.BinaryArray, plan: Plan) -> pa.Array:
    """Open the records that are sealed; those of a contract without personal data are not."""
    values = records.to_pylist()
    sealed = [record is not None and is_sealed(record) for record in values]
    if not any(sealed):
        return records
    keyring = resolve(plan.secret, plan.folder)
    opened = iter(open_sealed(records.filter(pa.array(sealed)), keyring).to_pylist())
    made = [next(opened) if s else record for record, s in zip(values, sealed, strict=True)]
    return pa.array(made, pa.binary())
