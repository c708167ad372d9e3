"""Values of refused rows that an enumeration does not list, for `evolve` to add them to it.

Values are data: they are read from the dead letters when a person asks, and kept nowhere but in the
contract that this person lets have them. Those of columns that are personal, or look so, or do not
look like words, are not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.dead_letters import Choice, in_clear, landed
from beam_pipelines.replay import opened_rows, rounds
from schemas.contract import Column, Protection
from schemas.errors import UsageError
from schemas.plan import Plan
from transforms.changes.evidence import Beside, of_fields
from transforms.changes.naming import told_by_name
from transforms.changes.seen import Key
from transforms.commit.lake import Lake
from transforms.commit.maintain.look import look
from transforms.inference.fields import Field, Kind
from transforms.inference.found import share
from transforms.inference.persons import TWO_NAMES, names_persons
from transforms.replay import Replayer
from transforms.replay_files import FromFiles
from transforms.sealing import SealError
from transforms.sources.identity import remembered

ENUM: Final = "enum"
"""The rule that refuses them."""

_MOST: Final = 10
"""So many values are a longer enumeration; more are none."""
_SHORT: Final = 4
"""Digits of a code."""


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Values that refused rows have in a column, and its enumeration does not.

    Attributes:
        name: The column.
        values: Those that it could list; sorted.
        rows: How many refused rows have one.
        note: Why there are none.
    """

    name: str
    values: tuple[str | int, ...] = ()
    rows: int
    note: str = ""


def unlisted(plan: Plan) -> tuple[Unlisted, ...]:
    """Look for such values in the dead letters, at most 50,000 of them; records are not kept."""
    listed = {c.name: c for c in plan.contract.columns if _enumeration(c) is not None}
    if not listed or not (plan.out / "lake").is_dir():
        return ()
    lake = landed(plan)
    try:
        counts = _counted(lake, plan, listed) if lake.exists() else {}
    except (UsageError, SealError) as error:
        note = f"their records cannot be opened: {error}"
        return (Unlisted(name="values that are not listed", rows=0, note=note),)
    return tuple(
        one for name, found in counts.items() if found for one in _told(listed[name], found, plan)
    )


def _enumeration(column: Column) -> tuple[Any, ...] | None:
    """Return the values of a column's one enumeration that refuses rows."""
    rules = [rule for rule in column.rules if rule.kind == ENUM]
    if len(rules) != 1 or not rules[0].refuse or column.logical not in ("string", "integer"):
        return None
    values: Any = rules[0].value
    return tuple(values)


def _counted(lake: Lake, plan: Plan, listed: dict[str, Column]) -> dict[str, Counter[Any]]:
    """Decode the refused rows by the contract of now; return what they have, by column."""
    state = look(lake)
    dead = state.snapshots.get(plan.operations("refused"))
    replayer = Replayer(plan, FromFiles(plan, remembered(state.sources)))
    counts: dict[str, Counter[Any]] = {name: Counter() for name in listed}
    for some in islice(rounds(opened_rows(lake, plan, dead, Choice(rule=ENUM))), 1):
        for decoded in replayer(in_clear(lake, plan, some, dead)):
            for name, column in listed.items():
                values = decoded.rows[name].drop_null()
                known = pa.array(_enumeration(column) or (), values.type)
                strange = values.filter(pc.invert(pc.is_in(values, value_set=known)))
                for one in pc.value_counts(strange).to_pylist():
                    counts[name][one["values"]] += one["counts"]
    return counts


def _told(column: Column, found: Counter[Any], plan: Plan) -> Iterator[Unlisted]:
    """Say which values a column could list, and of others why it cannot, without naming them."""
    rows, many = found.total(), f"more than {_MOST} different values: let it be no enumeration"
    if column.classification is not None or column.protect is not Protection.KEEP:
        yield Unlisted(name=column.name, rows=rows, note="it is personal: add values by hand")
        return
    words = sorted(value for value in found if _is_word(value, column))
    if len(words) < len(found):
        note = (
            "some of its values do not look like words, or look personal: see "
            "`penstock dlq list --rule enum`, and add by hand what may be listed"
        )
        yield Unlisted(name=column.name, rows=rows, note=note)
    if len(words) > _MOST:
        yield Unlisted(name=column.name, rows=rows, note=many)
    elif words and _looks_personal(column, words, plan):
        yield Unlisted(name=column.name, rows=rows, note="its values look personal")
    elif words:
        own = sum(found[word] for word in words)
        yield Unlisted(name=column.name, values=tuple(words), rows=own)


def _is_word(value: str | int, column: Column) -> bool:
    """Whether a value, whatever others are like, may be written down: no number of a thing, no one.

    Two words with capitals are a name unless a value that is listed has that form, too: most names
    are on no list of ours.
    """
    text = str(value)
    if text.lstrip("-").isdigit():
        return len(text) <= _SHORT
    listed = pa.array([str(one) for one in _enumeration(column) or ()], pa.string())
    if share(pa.array([text]), TWO_NAMES) and not share(listed, TWO_NAMES):
        return False
    return told_by_name(text) and not names_persons(pa.array([text]))


def _looks_personal(column: Column, values: list[Any], plan: Plan) -> bool:
    texts = pa.array(map(str, values))
    field = Field(column.key, Kind.TEXT, len(texts), 0, texts)
    said = of_fields([field], "csv", [Key(column.key)], Beside(people=plan.contract.personal))
    return any(one.proposal is not None and one.proposal.classification for one in said.values())
