"""Refused rows as the lake holds them; sealed records are opened in memory only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError
from schemas.names import ARRIVED, POSITION, SEQUENCE, SOURCE
from schemas.plan import Plan
from transforms.commit.closing import PLACE, Places, held
from transforms.commit.lake import Lake, open_lake
from transforms.keys import resolve
from transforms.masking import Masks
from transforms.replay import HELD
from transforms.sealing import is_sealed, open_sealed

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

    Raises:
        UsageError: Nothing has landed yet, or the key cannot be read.
        SealError: A record was sealed with a key that is not here.
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
    records = {row[:3]: row[3] for row in _masked(lake, plan, first)}
    out = []
    for row in grouped.to_pylist():
        place = tuple(row[f"{name}_first"] for name in PLACE)
        out.append(
            {
                **{name: row[name] for name in _WHY},
                "rows": row["count_all"],
                "example": {"source": place[0], "position": place[1], "record": records[place]},
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
    columns = [SOURCE, POSITION, SEQUENCE, ARRIVED, *_WHY]
    found = choice.of(lake.read(plan.operations("refused"), columns))
    order = [(ARRIVED, "descending"), (SOURCE, "ascending"), (POSITION, "ascending")]
    found = found.sort_by(order).slice(0, limit)
    shown = _clear if clear else _masked
    records = {row[:3]: row[3] for row in shown(lake, plan, found)}
    out = []
    for row in found.to_pylist():
        made = {name.removeprefix("_"): value for name, value in row.items()}
        made["arrived"] = made["arrived"].isoformat()
        made["record"] = records[row[SOURCE], row[POSITION], row[SEQUENCE]]
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
    table = lake.load(plan.operations("refused"))
    found = held(table, at, Places(places), HELD)
    opened = _opened(found["record"].combine_chunks(), plan)
    index = found.schema.get_field_index("record")
    return found.set_column(index, "record", opened)


def _records(lake: Lake, plan: Plan, places: pa.Table) -> list[dict[str, Any]]:
    at = lake.last_done().snapshots.get(plan.operations("refused"))
    return in_clear(lake, plan, places.select(list(PLACE)), at).to_pylist()


def _clear(lake: Lake, plan: Plan, places: pa.Table) -> list[tuple[Any, ...]]:
    return [
        (*(row[name] for name in PLACE), row["record"] and as_text(row["record"]))
        for row in _records(lake, plan, places)
    ]


def _masked(lake: Lake, plan: Plan, places: pa.Table) -> list[tuple[Any, ...]]:
    masks = Masks(plan)
    return [
        (*(row[name] for name in PLACE), row["record"] and masks(row["record"], row["format"]))
        for row in _records(lake, plan, places)
    ]


def as_text(record: bytes) -> str:
    """Return a record as text, bytes that are no UTF-8 escaped."""
    return record.decode("utf-8", "backslashreplace")


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
