"""Refused rows as the lake holds them; sealed records are opened in memory only."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError
from schemas.names import ARRIVED, POSITION, SEQUENCE, SOURCE
from schemas.plan import Plan
from transforms.commit.lake import open_lake
from transforms.keys import resolve
from transforms.sealing import is_sealed, open_sealed


def counts(plan: Plan, *, step: str | None, rule: str | None) -> list[dict[str, Any]]:
    """Count refused rows by step and rule, most first, with a reason for example.

    Args:
        plan: Whose lake is asked.
        step: Only what this step refused.
        rule: Only what this rule refused.

    Raises:
        UsageError: Nothing has landed yet.
    """
    found = _refused(plan, ["step", "rule", "reason"], step, rule)
    grouped = found.group_by(["step", "rule"]).aggregate([([], "count_all"), ("reason", "min")])
    made = grouped.rename_columns({"count_all": "rows", "reason_min": "reason"})
    keys = [("rows", "descending"), ("step", "ascending"), ("rule", "ascending")]
    return made.sort_by(keys).select(["step", "rule", "reason", "rows"]).to_pylist()


def rows(
    plan: Plan, *, step: str | None, rule: str | None, limit: int, records: bool
) -> list[dict[str, Any]]:
    """Return refused rows, the last that arrived first.

    Args:
        plan: Whose lake is asked.
        step: Only what this step refused.
        rule: Only what this rule refused.
        limit: At most so many.
        records: Whether to return `record` in clear, bytes that are no UTF-8 escaped; null where
            the lake holds only the position of a record (one that is too long).

    Raises:
        UsageError: Nothing has landed yet, or the key cannot be read.
        SealError: A record was sealed with a key that is not here.
    """
    columns = [SOURCE, POSITION, SEQUENCE, ARRIVED, "step", "rule", "reason", "format"]
    found = _refused(plan, columns + ["record"] * records, step, rule)
    order = [(ARRIVED, "descending"), (SOURCE, "ascending"), (POSITION, "ascending")]
    found = found.sort_by(order).slice(0, limit)
    if records:
        opened = _opened(found["record"].combine_chunks(), plan)
        found = found.set_column(found.schema.get_field_index("record"), "record", opened)
    return [_plain(row) for row in found.to_pylist()]


def _refused(plan: Plan, columns: list[str], step: str | None, rule: str | None) -> pa.Table:
    if not (plan.out / "lake").is_dir():
        msg = f"the lake must be there to be read; got none in {plan.out}; run `penstock run`"
        raise UsageError(msg)
    found = open_lake(plan).read(plan.operations("refused"), columns)
    for name, value in (("step", step), ("rule", rule)):
        if value is not None:
            found = found.filter(pc.field(name) == value)
    return found


def _opened(records: pa.BinaryArray, plan: Plan) -> pa.Array:
    """Open the records that are sealed; those of a contract without personal data are not."""
    held = records.to_pylist()
    sealed = [record is not None and is_sealed(record) for record in held]
    if not any(sealed):
        return records
    keyring = resolve(plan.secret, plan.folder)
    opened = iter(open_sealed(records.filter(pa.array(sealed)), keyring).to_pylist())
    made = [next(opened) if s else record for record, s in zip(held, sealed, strict=True)]
    return pa.array(made, pa.binary())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    made = {name.removeprefix("_"): value for name, value in row.items()}
    made["arrived"] = made["arrived"].isoformat()
    if made.get("record") is not None:
        made["record"] = made["record"].decode("utf-8", "backslashreplace")
    return made
