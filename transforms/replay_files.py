"""Records of dead letters read again from their files: those that the lake does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.names import POSITION, SOURCE
from schemas.plan import Plan
from transforms.changes.meet import Meet
from transforms.commit.closing import Places
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.decode.json_shape import rows_of
from transforms.sources.files import Slice, discover, scan
from transforms.sources.identity import Remembered


@dataclass(frozen=True)
class FromFiles:
    """Decodes dead letters from the batch source of a plan, where their files are as they were.

    Attributes:
        plan: Says where files are, and what rows must be.
        remembered: What is known of files that landed: one that was rewritten is another source.
    """

    plan: Plan
    remembered: Mapping[str, Remembered]

    def __call__(self, held: pa.Table) -> Iterator[Decoded]:
        """Decode those of the rows whose records are found, and no others; a block at a time.

        Args:
            held: With the columns that name a place.
        """
        wanted = set(held[SOURCE].to_pylist())
        plan = self.plan
        with suppress(SourceError):  # what cannot be read is not found
            for part in discover(plan.source, plan.folder, self.remembered, anew=True).slices:
                if part.source in wanted:
                    with suppress(SourceError):
                        yield from self._read(part, held)

    def _read(self, part: Slice, held: pa.Table) -> Iterator[Decoded]:
        own = held.filter(pc.field(SOURCE) == part.source)
        at, places = own[POSITION].to_numpy(), Places(own)
        stop = np.inf if part.stop is None else part.stop
        if not ((at >= part.start) & (at < stop)).any():
            return
        decoder = make_decoder(self.plan.contract, self.plan.source, meeting(self.plan))
        for block in scan(part):
            if ((at >= block.start) & (at < block.end)).any():
                yield _only(decoder.decode(block), places)
            if block.end > at.max():
                return


def meeting(plan: Plan) -> Meet:
    """Return what meets changes of stored records: none of them ends a replay."""
    return Meet(plan.contract, plan.source, ends=False)


def _only(decoded: Decoded, wanted: Places) -> Decoded:
    """Return what was decoded of some records."""
    rows = np.flatnonzero(wanted.at(decoded.rows) >= 0)
    dead, gone = (
        None if side is None else side.filter(pa.array(wanted.at(side) >= 0))
        for side in (decoded.refused, decoded.removed)
    )
    places = {path: rows_of(at, rows) for path, at in decoded.places.items()}
    return decoded._replace(
        rows=decoded.rows.take(pa.array(rows)), refused=dead, removed=gone, places=places
    )
