"""Sessions of a stream: partial aggregates of those that a row may still join, by the committer.

As for windows (`rollup`), new rows bring their partial aggregates, and those are merged into what
is kept. What a new session overlaps and is not kept, after a restart or when it is long over, is
found by the keys of the aggregate's table, and read back from the lake's rows. A session that grows
or joins another takes the place of the rows that it was; one that is over gets `_final` as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.plan import Aggregate
from transforms.aggregate.windows import Micros
from transforms.commit.refresh import Kept, Refreshed
from transforms.commit.session_keys import SessionKeys
from transforms.commit.sessions import Earlier, Stored, finished, together
from transforms.commit.windows import WINDOW_END

_NEVER: Final = int(np.iinfo(np.int64).min)
_STEPS: Final = 8
_SHORTEST_STEP_US: Final = 1_000_000


class OpenSessions:
    """What is kept of one aggregate's sessions, as of one snapshot of `processed_data`.

    Sessions end at any microsecond: so that a commit does not follow each of them, they are looked
    through for those that are over once in an eighth of the gap, and a second at least.

    Attributes:
        due: Steps of event time (us, sorted) at which some session that is not `_final` is over.
    """

    def __init__(self, aggregate: Aggregate, ends: Micros, *, most_rows: int) -> None:
        """Know nothing but when open sessions end, `ends`; keep about `most_rows` of them."""
        self._aggregate, self._most = aggregate, most_rows
        window = aggregate.window
        self._gap, self._lateness = window.gap_us, window.allowed_lateness_us
        self._step = max(self._gap // _STEPS, _SHORTEST_STEP_US)
        self.due = self._steps(ends)
        self._parts: pa.Table | None = None
        self._known_us: int | None = None  # all that end later are in `_parts`; None: not looked
        self._made: pa.Table | None = None

    def closing(self, closed_us: int) -> bool:
        """Say whether a session that is not final may be over, event time being complete so far."""
        return bool(len(self.due)) and int(self.due[0]) <= closed_us

    def next_close_us(self, after_us: int) -> int | None:
        """Return the next step after this time at which a session is over, None if none is open."""
        later = self.due[self.due > after_us]
        return int(later[0]) if len(later) else None

    def accept(self, closed_us: int) -> None:
        """Take what the last draft made: it landed."""
        if self._made is not None:
            self._parts, self._made = self._made, None
        self.due = self.due[self.due > closed_us]
        self._prune(closed_us)

    def refreshed(
        self, kept: Kept, stored: Stored, pane: pa.Table | None, closed_us: int, *, epoch: int
    ) -> Refreshed | None:
        """Return the touched sessions, and those that are over; None if there are neither.

        Args:
            kept: The lake's rows.
            stored: The aggregate's table.
            pane: Partial aggregates of exactly the new rows.
            closed_us: How far event time is complete.
            epoch: `_epoch` of the rows.
        """
        aggregate, self._made = self._aggregate, None
        rows = aggregate.schema.empty_table()
        gone = SessionKeys.of_rows(rows, aggregate)
        new = together([pane], aggregate)
        parts = self._parts
        if new is not None:
            if self._known_us is None:
                self._known_us = stored.last_end()
            keys = SessionKeys.of_parts(new, aggregate)
            old = _all([parts, self._missing(kept, stored, keys)])
            if old is None:
                parts = merged = new
            else:
                before = SessionKeys.of_parts(old, aggregate)
                met, _ = before.meeting(keys)
                gone = before.where(met)
                merged = together([old.filter(pa.array(met)), new], aggregate)
                parts = _all([old.filter(pa.array(~met)), merged])
            rows = self.with_final(finished(merged, aggregate, epoch), closed_us)
        over = self._over(stored, gone, closed_us, epoch)
        if not rows.num_rows and not over.num_rows:
            self.due = self.due[self.due > closed_us]
            return None
        self._made = parts
        self._await(rows)
        gone += SessionKeys.of_rows(over, aggregate)
        rows = pa.concat_tables([rows, over], promote_options="permissive")
        starts = SessionKeys.of_rows(rows, aggregate).starts
        return Refreshed(np.union1d(starts, gone.starts), rows, gone)

    def _missing(self, kept: Kept, stored: Stored, new: SessionKeys) -> pa.Table | None:
        """Read back the stored sessions that new ones overlap and that are not kept."""
        if self._known_us is not None and int(new.starts.min()) >= self._known_us:
            return None
        old = stored.keys(stored.near(new.stretches()), self._aggregate)
        old = old.where(old.meeting(new)[0])
        if self._parts is not None:
            old = old.where(~old.same(SessionKeys.of_parts(self._parts, self._aggregate)))
        if not len(old):
            return None
        column = self._aggregate.event_time
        files = kept.earlier(column, int(old.starts.min()), int(old.ends.max()))
        return Earlier(self._aggregate, kept.info, files).parts(old)

    def _over(self, stored: Stored, gone: SessionKeys, closed_us: int, epoch: int) -> pa.Table:
        """Return the stored sessions that are over and not final yet, but for those that go."""
        if not self.closing(closed_us):
            return self._aggregate.schema.empty_table()
        limit = closed_us - self._lateness
        files = [
            file
            for file in stored.files
            if stored.bounds(file, WINDOW_END)[0] <= limit and not stored.all_final(file)
        ]
        rows = stored.rows(files, self._aggregate)
        keys = SessionKeys.of_rows(rows, self._aggregate)
        over = (keys.ends <= limit) & ~keys.same(gone)
        rows = rows.filter(pc.and_(pa.array(over), pc.invert(rows["_final"])))
        epochs = pa.repeat(pa.scalar(epoch, pa.int64()), rows.num_rows)
        rows = rows.set_column(rows.schema.get_field_index("_epoch"), "_epoch", epochs)
        return self.with_final(rows, closed_us)

    def with_final(self, rows: pa.Table, closed_us: int) -> pa.Table:
        """Say of rows which are final."""
        ends = SessionKeys.of_rows(rows, self._aggregate).ends
        at = rows.schema.get_field_index("_final")
        final = pa.array(ends + self._lateness <= closed_us)
        return rows.set_column(at, rows.schema.field(at), final)

    def _await(self, rows: pa.Table) -> None:
        ends = SessionKeys.of_rows(rows.filter(pc.invert(rows["_final"])), self._aggregate).ends
        self.due = np.union1d(self.due, self._steps(ends))

    def _steps(self, ends: Micros) -> Micros:
        return np.unique(-(-(ends + self._lateness) // self._step) * self._step)

    def _prune(self, closed_us: int) -> None:
        """Forget sessions that no row can join any more, and the oldest of too many."""
        if self._parts is None:
            return
        ends = SessionKeys.of_parts(self._parts, self._aggregate).ends
        limit = max(closed_us - self._lateness, _NEVER)
        if len(ends) > self._most:
            limit = max(limit, int(np.median(ends)))
        stay = ends > limit
        if not stay.all():
            self._parts = self._parts.filter(pa.array(stay))
            self._known_us = limit if self._known_us is None else max(limit, self._known_us)


def _all(parts: Sequence[pa.Table | None]) -> pa.Table | None:
    there = [part for part in parts if part is not None and part.num_rows]
    if not there:
        return None
    return pa.concat_tables(there, promote_options="permissive").combine_chunks()
