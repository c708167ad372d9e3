"""What the plan of now makes of dead letters: the middle of a batch run, over stored records."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import TIMESTAMP, Destiny
from schemas.plan import Plan
from transforms.admit import admitted
from transforms.batches import one_batch
from transforms.commit.closing import PLACE
from transforms.commit.near import RowsNear
from transforms.duplicates import LAKE, duplicates, ids_of
from transforms.land import UnbalancedError
from transforms.middle import RowSteps
from transforms.outcome import keep, removed
from transforms.protect import Protector
from transforms.replay import Replayer
from transforms.replay_files import FromFiles
from transforms.sources.identity import Remembered

_AT_ONCE = 10_000
_ORDER = [(name, "ascending") for name in PLACE]


@dataclass(frozen=True)
class Made:
    """What became of dead letters; each is in exactly one.

    Attributes:
        rows: Kept, protected.
        removed: Schema names.REMOVED: filtered, and duplicates.
        refused: Schema names.REFUSED: refused again, without records.
    """

    rows: list[pa.RecordBatch]
    removed: list[pa.RecordBatch]
    refused: list[pa.RecordBatch]


class ReplayRows:
    """Decodes, validates, protects, steps and deduplicates dead letters, as a batch run does."""

    def __init__(
        self, plan: Plan, remembered: Mapping[str, Remembered], protector: Protector
    ) -> None:
        """Read keys and lookups, so that their errors come before anything is written.

        Args:
            plan: The plan of now.
            remembered: What is known of files that landed; see `FromFiles`.
            protector: Protects them.
        """
        self.plan = plan
        self._replayer = Replayer(plan, FromFiles(plan, remembered))
        self._protector = protector
        _ = self._protector.keyring
        self._steps = RowSteps(plan)
        self._steps.setup()

    def __call__(self, held: pa.Table, asked: int | None) -> Made:
        """Make rows of dead letters.

        Args:
            held: Schema `replay.HELD`, records in clear.
            asked: Snapshot of `processed_data`, whose rows win over theirs; None: it has none.

        Raises:
            UnbalancedError: A step loses or makes rows.
        """
        made = Made([], [], [])
        for at in range(0, held.num_rows, _AT_ONCE):
            for decoded in self._replayer(held.slice(at, _AT_ONCE)):
                outcome = admitted(decoded, self.plan.contract, self._protector, self._steps)
                if outcome.rows.num_rows:
                    made.rows.append(outcome.rows)
                made.removed.extend(outcome.removed)
                made.refused.extend(outcome.refused)
        made = self._without_copies(made, asked)
        became = sum(one.num_rows for one in (*made.rows, *made.removed, *made.refused))
        if became != held.num_rows:
            msg = (
                f"every dead letter must have one destiny; {held.num_rows} were decoded, {became} "
                "came of them; a step loses or makes rows: nothing of them was landed"
            )
            raise UnbalancedError(msg)
        return made

    def _without_copies(self, made: Made, asked: int | None) -> Made:
        """Take out copies of the lake's rows, and of those that stand before them."""
        dedupe = self.plan.deduplicate
        if dedupe is None or not made.rows:
            return made
        by, horizon = tuple(dedupe.parameters["by"]), dedupe.parameters["horizon_us"]
        column = self.plan.contract.event_time_column
        rows = one_batch(_in_order(made.rows))
        times = rows[column].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
        first, last = int(times.min()) - horizon, int(times.max()) + horizon
        near = [] if asked is None else RowsNear(self.plan, by, asked)(first, last)
        key = (secrets.randbits(63), secrets.randbits(63))
        ids = [
            own
            for chunk, several in ((LAKE, near), ("new", [rows]))
            for some in several
            for _, own in ids_of(some, by, column, key, chunk, 1, placed=True)
        ]
        out, gone = list(made.removed), np.array([], np.int64)
        for found in duplicates(ids, horizon):
            rules = np.where(found.conflict, "conflict", "duplicate").tolist()
            gone = found.rows.astype(np.int64)
            taken = removed(rows, gone, Destiny.DUPLICATE, dedupe.id, rules)
            out += [] if taken is None else [taken]
        left = keep(rows, gone)
        return Made([left] if left.num_rows else [], out, made.refused)


def _in_order(batches: list[pa.RecordBatch]) -> pa.Table:
    rows = pa.Table.from_batches(batches).unify_dictionaries()
    places = rows.select(list(PLACE))
    source = places["_source"].cast(pa.string())
    places = places.set_column(0, "_source", source)
    return rows.take(pc.sort_indices(places, sort_keys=_ORDER))
