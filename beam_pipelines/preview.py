"""The first rows of a source through every step, side by side; nothing is written."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from beam_pipelines.looking import LookingProtector
from schemas.names import POSITION, POSITION_NAMES, SEQUENCE, SOURCE, Destiny
from schemas.personal.check import ever_clear
from schemas.plan import Plan
from transforms.admit import warned, with_records
from transforms.changes.meet import Meet
from transforms.changes.seen import MAY_LACK, Change, Kind, many, merged
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.decode.json_shape import rows_of
from transforms.decode.preflight import check_files
from transforms.duplicates import duplicates, ids_of
from transforms.masking import Masks, shape
from transforms.middle import step_kernel
from transforms.outcome import Kernel, Outcome, keep, refused, removed
from transforms.protect import Protector
from transforms.sources.files import discover, scan
from transforms.validate import validate

DECODED: Final = "decode"
PROTECTED: Final = "protect"
_BLOCK_BYTES: Final = 256 << 10

Place = tuple[str, int, int]
"""Source, position, sequence."""


class End(NamedTuple):
    """Where a row went that did not go through: destiny, step, rule, reason (of refused ones)."""

    destiny: str
    step: str
    rule: str
    reason: str = ""


@dataclass
class Traced:
    """One record on its way.

    Attributes:
        place: Where it stands.
        stages: Step -> column -> value after it; a step that it did not reach is absent.
        end: Where it went if it was not kept.
        record: Its text, masked unless personal data is shown; of refused ones.
    """

    place: Place
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    end: End | None = None
    record: str | None = None


@dataclass(frozen=True)
class Preview:
    """The first rows of a source.

    Attributes:
        rows: In the order of the source.
        stages: Names of all steps, in order.
        notes: What a person must know to read it right.
    """

    rows: list[Traced]
    stages: list[str]
    notes: list[str]


def preview(plan: Plan, count: int, *, personal: bool = False) -> Preview:
    """Take the first records of the batch source through every step.

    Reads a few hundred KiB of as many files as it takes. Copies are found among these rows only.

    Args:
        plan: What would run.
        count: How many records.
        personal: Whether to show values and records as they came, before they are protected.

    Raises:
        PenstockError: As a run would, before its first row.
    """
    steps = {step.id: step_kernel(plan, step) for step in plan.row_steps}
    for kernel in steps.values():
        prepare = getattr(kernel, "setup", None)
        if prepare is not None:
            prepare()
    protector = LookingProtector(plan)
    notes = list(protector.notes)
    stages = [*([DECODED] if personal else []), PROTECTED, *steps]
    if plan.deduplicate is not None:
        stages.append(plan.deduplicate.id)
        notes.append(f"{plan.deduplicate.id}: copies are looked for among these rows only")
    show = _Show(plan, personal=personal)
    kept, changes = list[pa.RecordBatch](), list[Change]()
    for decoded in _first(plan, count):
        rows, broken = _stepped(plan, decoded, protector, steps, show)
        kept.append(rows)
        changes += (*decoded.changes, *broken)
    for change in many(merged(changes)):
        name, some = change.called or "other columns", "in some of these records"
        if change.kind is Kind.BROKEN:
            notes.append(f"{name}: {change.name} is broken by {change.rows:,} of these records")
            continue
        if change.kind is Kind.CUT:
            notes.append(f"{name}: {change.note} {some}")
            continue
        more = "null" if change.mode == MAY_LACK else "`penstock evolve` says more"
        notes.append(f"{name}: {change.kind} {some}; {more}")
    if plan.deduplicate is not None:
        for outcome in _deduplicated(plan, [rows for rows in kept if rows.num_rows]):
            show.ends(outcome.removed)
            show.rows(plan.deduplicate.id, outcome.rows)
    return Preview([show.traced[place] for place in sorted(show.traced)], stages, notes)


def _stepped(
    plan: Plan, decoded: Decoded, protector: Protector, steps: Mapping[str, Kernel], show: _Show
) -> tuple[pa.RecordBatch, Iterator[Change]]:
    """Take what was decoded through every step but the dedupe, and show it after each.

    Returns:
        What is left, and the rules that were broken and only count.
    """
    show.records(decoded.refused, decoded)
    show.ends(decoded.removed)
    show.rows(DECODED, decoded.rows)
    checked = validate(decoded.rows, plan.contract)
    places = dict(decoded.places)
    if len(checked.numbers):
        broken = (decoded.rows, checked.numbers, "validate", checked.rules, checked.reasons)
        show.records(refused(*broken), decoded)
        left = np.delete(np.arange(decoded.rows.num_rows), checked.numbers)
        places = {path: rows_of(at, left) for path, at in places.items()}
    rows = protector.protect(checked.rows, places)
    show.rows(PROTECTED, rows)
    for name, kernel in steps.items():
        if not rows.num_rows:
            break
        outcome = kernel(rows)
        show.ends(outcome.removed)
        show.records(outcome.refused, decoded)
        rows = outcome.rows
        show.rows(name, rows)
    return rows, warned(decoded, checked)


class _Show:
    """Writes down what is seen of rows, as it may be shown: in clear only if that is asked for."""

    def __init__(self, plan: Plan, *, personal: bool) -> None:
        self.traced: dict[Place, Traced] = {}
        self._personal = personal
        self._masks = Masks(plan)
        self._tainted = frozenset[str]() if personal else ever_clear(plan)

    def rows(self, stage: str, rows: pa.RecordBatch) -> None:
        if stage == DECODED and not self._personal:
            return
        names = [n for n in rows.schema.names if n not in POSITION_NAMES]
        for place, row in zip(_places(rows), rows.select(names).to_pylist(), strict=True):
            own = {
                n: shape(str(v)) if n in self._tainted and v is not None else v
                for n, v in row.items()
            }
            self._of(place).stages[stage] = own

    def _of(self, place: Place) -> Traced:
        return self.traced.setdefault(place, Traced(place))

    def ends(self, gone: pa.RecordBatch | None) -> None:
        if gone is None:
            return
        said = zip(*(gone[n].to_pylist() for n in ("destiny", "step", "rule")), strict=True)
        for place, why in zip(_places(gone), said, strict=True):
            self._of(place).end = End(*why)

    def records(self, dead: pa.RecordBatch | None, decoded: Decoded) -> None:
        if dead is None or not dead.num_rows:
            return
        if not dead["record"].is_valid().to_numpy(zero_copy_only=False).any():
            dead = with_records(dead, decoded)
        columns = ("step", "rule", "reason", "record", "format")
        said = zip(*(dead[n].to_pylist() for n in columns), strict=True)
        for place, (step, rule, reason, record, form) in zip(_places(dead), said, strict=True):
            one = self._of(place)
            one.end = End(Destiny.REFUSED.value, step, rule, reason)
            if record is not None:
                clear = record.decode("utf-8", "backslashreplace")
                one.record = clear if self._personal else self._masks(record, form)


def _places(rows: pa.RecordBatch) -> list[Place]:
    return list(zip(*(rows[n].to_pylist() for n in (SOURCE, POSITION, SEQUENCE)), strict=True))


def _first(plan: Plan, count: int) -> Iterator[Decoded]:
    """Decode the first records of a source, a small block at a time."""
    found = discover(plan.source, plan.folder, {}).slices
    check_files(plan.contract, plan.source, found)
    meet = Meet(plan.contract, plan.source)
    decoder = make_decoder(plan.contract, plan.source, meet)
    left = count
    for part in found:
        for block in scan(replace(part, block_bytes=min(part.block_bytes, _BLOCK_BYTES))):
            if left <= 0:
                return
            decoded = _cut(decoder.decode(block), left)
            left -= sum(side.num_rows for side in _sides(decoded))
            yield decoded


def _cut(decoded: Decoded, most: int) -> Decoded:
    """Keep the first records of a block."""
    spots = sorted(place[1:] for side in _sides(decoded) for place in _places(side))
    if len(spots) <= most:
        return decoded
    last = spots[most - 1]
    rows = _until(decoded.rows, last)
    dead, gone = (
        None if side is None else _until(side, last) for side in (decoded.refused, decoded.removed)
    )
    places = {path: rows_of(at, np.arange(len(rows))) for path, at in decoded.places.items()}
    return decoded._replace(rows=rows, refused=dead, removed=gone, places=places)


def _sides(decoded: Decoded) -> list[pa.RecordBatch]:
    sides = (decoded.rows, decoded.refused, decoded.removed)
    return [side for side in sides if side is not None]


def _until(side: pa.RecordBatch, last: tuple[int, ...]) -> pa.RecordBatch:
    """Rows are in the order of the source."""
    return side.slice(0, sum(place[1:] <= last for place in _places(side)))


def _deduplicated(plan: Plan, batches: list[pa.RecordBatch]) -> Iterator[Outcome]:
    dedupe = plan.deduplicate
    assert dedupe is not None  # noqa: S101  # the caller looked
    by, horizon = tuple(dedupe.parameters["by"]), dedupe.parameters["horizon_us"]
    column, key = plan.contract.event_time_column, (secrets.randbits(63), secrets.randbits(63))
    ids = [
        own
        for i, rows in enumerate(batches)
        for _, own in ids_of(rows, by, column, key, f"{i:09}", 1)
    ]
    gone = {int(d.chunk): d for d in duplicates(ids, horizon)}
    for i, rows in enumerate(batches):
        if i not in gone:
            yield Outcome(rows)
            continue
        at = gone[i].rows.astype(np.int64)
        rules = np.where(gone[i].conflict, "conflict", "duplicate").tolist()
        yield Outcome(keep(rows, at), removed(rows, at, Destiny.DUPLICATE, dedupe.id, rules))
