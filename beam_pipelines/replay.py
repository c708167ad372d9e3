"""Dead letters once more: stepped by the plan of now, landed once, each at its own place."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final, NamedTuple

import pyarrow as pa

from beam_pipelines import batch
from beam_pipelines.commit_once import committer
from beam_pipelines.dead_letters import Choice, in_clear, landed
from beam_pipelines.failures import fate, told
from beam_pipelines.looking import LookingProtector
from schemas.errors import CommitError
from schemas.names import REFUSED, TRIED, Destiny
from schemas.plan import Plan
from transforms.commit.closing import PLACE, Closing, OvertakenError, Places
from transforms.commit.committer import Committer
from transforms.commit.lake import Lake, read_at
from transforms.commit.landed import Landed
from transforms.commit.maintain.look import look
from transforms.commit.near import Asked
from transforms.commit.removed import fold_removed
from transforms.protect import Protector
from transforms.replay_rows import Made, ReplayRows
from transforms.sinks.lake import FileWriter
from transforms.sources.identity import remembered

ROUND: Final = 50_000
"""Dead letters of one commit: a replay that is killed goes on behind the last one."""

_TRIES: Final = 20
_WHY: Final = ("step", "rule")


class Became(NamedTuple):
    """What some dead letters became, or would."""

    step: str
    rule: str
    destiny: str
    by_step: str = ""
    by_rule: str = ""


@dataclass(kw_only=True)
class Replayed:
    """What a replay did, or would do.

    Attributes:
        rows: Dead letters by what had refused them and what they became; `refused` is again.
        result: As of a run; its `rows` are those that were replayed. None: nothing was done.
        notes: What a person must know to read it right.
    """

    rows: Counter[Became] = field(default_factory=Counter)
    result: batch.Result | None = None
    notes: list[str] = field(default_factory=list)

    def told(self) -> list[dict[str, Any]]:
        """Return the rows for a program."""
        return [{**became._asdict(), "rows": n} for became, n in sorted(self.rows.items())]

    def counts(self) -> dict[str, int]:
        """Return rows by destiny."""
        counts = dict.fromkeys(("replayed", *(d.value for d in Destiny)), 0)
        for became, n in self.rows.items():
            counts["replayed"] += n
            counts[became.destiny] += n
        return counts


def simulate(plan: Plan, choice: Choice) -> Replayed:
    """Say what a replay would do with the dead letters that there are; nothing is written.

    Copies are looked for in the lake and among `ROUND` rows at a time.

    Args:
        plan: The plan of now.
        choice: Which dead letters.

    Raises:
        PenstockError: Nothing has landed yet, or a key, a lookup or a step is not as it must be.
    """
    out = Replayed()
    lake = landed(plan)
    with told(plan, lambda: "nothing was written"):
        state = look(lake)
        protector, out.notes = _looking(lake, plan)
        make = ReplayRows(plan, remembered(state.sources), protector)
        snapshots = state.snapshots
        dead = snapshots.get(plan.operations("refused"))
        for some in rounds(opened_rows(lake, plan, dead, choice)):
            held = in_clear(lake, plan, some, dead)
            made = make(held, snapshots.get(plan.processed))
            out.rows += _became(some, made)
    return out


def _looking(lake: Lake, plan: Plan) -> tuple[Protector, list[str]]:
    """Return what protects as a replay would, and what is to be known of it.

    A replay makes the key if nothing is protected yet; one that is lost ends it.
    """
    deployed = lake.deployed_plan()
    if deployed is None or deployed.keys == frozenset():
        own = LookingProtector(plan)
        return own, own.notes
    return Protector(plan.contract, plan.secret, plan.folder), []


def replay(
    plan: Plan,
    choice: Choice,
    *,
    size: int = ROUND,
    **options: Any,
) -> Replayed:
    """Replay dead letters: those that the plan of now keeps land once, at their own place.

    Each round is one commit, which takes a row out of the refused table and puts it where it
    belongs; a row that another has closed meanwhile is left alone. Killed at any time, what is
    left are dead letters still, and the next replay goes on with them.

    Args:
        plan: The plan of now.
        choice: Which dead letters.
        size: Dead letters of a round.
        options: Of its committer (tests kill at its points).

    Raises:
        PenstockError: As `batch.ingest`.
    """
    began, started = time.monotonic(), time.time()
    result = batch.Result(run_id=uuid.uuid4().hex, plan=plan)
    out = Replayed(result=result)
    lake = landed(plan)
    with told(plan, lambda: fate(lake, result.run_id)):
        state, keys, recompute = batch.ready(lake, result, batch.Options(), started)
        own = committer(lake, plan, result.run_id, started, keys, **options)
        if recompute:
            own.commit([], {}, sources=None, recompute=recompute)
        protector = Protector(plan.contract, plan.secret, plan.folder)
        make = ReplayRows(plan, remembered(state.sources), protector)
        before = dict(state.totals)
        wanted = opened_rows(lake, plan, state.snapshots.get(plan.operations("refused")), choice)
        for some in rounds(wanted, size):
            out.rows += _round(lake, own, make, some)
        result.rows = out.counts()
        result.tables = {
            name: {"rows": rows, "added": rows - before.get(name, 0)}
            for name, rows in lake.row_counts().items()
        }
        batch.follow_all(lake, plan, result)
    result.seconds = time.monotonic() - began
    return out


def _round(lake: Lake, own: Committer, make: ReplayRows, some: pa.Table) -> Counter[Became]:
    """Replay some dead letters in one commit."""
    plan = make.plan
    refused = plan.operations("refused")
    for _ in range(_TRIES):
        state = own.ask()
        dead = state.snapshots.get(refused)
        held = in_clear(lake, plan, some, dead)
        if not held.num_rows:
            return Counter()
        some = some.filter(pa.array(Places(held).at(some) >= 0))
        asked = Asked(state.seq, state.snapshots.get(plan.processed))
        made = make(held, asked.snapshot)
        closing = _closing(held, made)
        files = _written(lake, plan, made, Places(closing.closed))
        try:
            committed = own.commit([files], {}, asked=asked, closing=closing)
        except OvertakenError:
            continue
        became = _became(some, made)
        if committed is not None and committed.copies:
            became = _moved(became, committed.copies, plan)
        return became
    msg = "dead letters must hold still to be replayed; others close them; run it again"
    raise CommitError(msg)


def opened_rows(lake: Lake, plan: Plan, at: int | None, choice: Choice) -> pa.Table:
    """Return place, step, rule and reason of dead letters that are meant, in the order of places.

    Args:
        lake: Where.
        plan: Whose.
        at: Snapshot of the refused table.
        choice: Which are meant.
    """
    table = lake.load(plan.operations("refused"))
    found = choice.of(read_at(table, at, [*PLACE, *_WHY, "reason"]))
    return found.sort_by([(name, "ascending") for name in PLACE])


def rounds(rows: pa.Table, size: int = ROUND) -> Iterator[pa.Table]:
    """Cut rows so that those of one position stay together."""
    keys = list(zip(*(rows[n].to_pylist() for n in PLACE[:2]), strict=True))
    start = 0
    while start < len(keys):
        end = min(start + size, len(keys))
        while end < len(keys) and keys[end] == keys[end - 1]:
            end += 1
        yield rows.slice(start, end - start)
        start = end


def _closing(held: pa.Table, made: Made) -> Closing:
    """Close what got another destiny; of the rest say by what it was refused again."""
    again = pa.Table.from_batches(
        [dead.select([*PLACE, *_WHY, "reason"]) for dead in made.refused],
        schema=pa.schema([REFUSED.field(n) for n in (*PLACE, *_WHY, "reason")]),
    ).unify_dictionaries()
    at = pa.scalar(datetime.now(UTC), TRIED[0].type)
    said = [pa.repeat(at, again.num_rows), *(again[n] for n in (*_WHY, "reason"))]
    changed = again.select(PLACE)
    for field_, column in zip(TRIED, said, strict=True):
        changed = changed.append_column(field_, column)
    closed = held.select(PLACE).filter(pa.array(Places(again).at(held) < 0))
    return Closing(closed=closed, changed=changed)


def _written(lake: Lake, plan: Plan, made: Made, closed: Places) -> Landed:
    writer = FileWriter(lake.table_info(plan.processed))
    for rows in made.rows:
        writer.write(rows)
    removed = [one for gone in made.removed for one in fold_removed(gone)]
    files = tuple(writer.close())
    return Landed({plan.processed: files} if files else {}, closed.ranges, tuple(removed))


def _became(some: pa.Table, made: Made) -> Counter[Became]:
    """Count dead letters by what had refused them and what they became."""
    was = some.select(_WHY).to_pylist()
    places = Places(some)
    kept, again = Destiny.KEPT.value, Destiny.REFUSED.value
    sides = [(rows, [kept], [""], [""]) for rows in made.rows]
    sides += [(gone, *(gone[n].to_pylist() for n in ("destiny", *_WHY))) for gone in made.removed]
    sides += [(dead, [again], *(dead[n].to_pylist() for n in _WHY)) for dead in made.refused]
    out: Counter[Became] = Counter()
    for rows, destinies, steps, rules in sides:
        said = zip(places.at(rows).tolist(), cycle(destinies), cycle(steps), cycle(rules))
        for at, destiny, step, rule in said:
            out[Became(**was[at], destiny=destiny, by_step=step, by_rule=rule)] += 1
    return out


def _moved(became: Counter[Became], copies: int, plan: Plan) -> Counter[Became]:
    """Count rows as duplicates that others landed copies of before this commit."""
    out = Counter(became)
    step = plan.deduplicate.id if plan.deduplicate is not None else ""
    for one in [b for b in became if b.destiny == Destiny.KEPT]:
        some = min(copies, out[one])
        out[one] -= some
        out[one._replace(destiny="duplicate", by_step=step, by_rule="duplicate")] += some
        copies -= some
    return +out
