"""What a stream keeps in its process, where that is all there is.

A runner of one process without checkpoints (prism) loses its state when the process ends, and the
stream begins again behind what has landed. There, rows and ids that go through its state and its
shuffles cost more than all that is done with them, and save nothing.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any, Final
from weakref import WeakValueDictionary

import pyarrow as pa

from schemas.errors import PenstockError
from transforms.continuous.parcels import TOKEN_BYTES, Answer, Parcel
from transforms.continuous.seen import NEVER, Seen, Stay, look

_SIZE_BYTES: Final = 8


class InProcess:
    """Parcels that wait, and ids that were seen, of one stream; threads may share it.

    It lives as long as whoever made it holds it. Pickled, it is found again in the same process:
    workers must be threads of it.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._name = uuid.uuid4().hex
        self._parcels: dict[bytes, Parcel] = {}
        self._seen, self._since_us, self._newest_us = Seen(), NEVER, NEVER
        self._lock = threading.Lock()
        _OPEN[self._name] = self

    def keep(self, parcel: Parcel) -> bytes:
        """Keep a parcel that lacks no answer; return what stands for it in the runner's state."""
        self._parcels[parcel.token] = parcel
        held = (*parcel.outcome, parcel.doubtful)
        size = sum(batch.nbytes for batch in held if batch is not None)
        return b"".join((_KEPT, parcel.token, size.to_bytes(_SIZE_BYTES, "big")))

    def take(self, kept: bytes) -> Parcel:
        """Return a parcel, once."""
        return self._parcels.pop(kept[1 : 1 + TOKEN_BYTES])

    def answer(self, token: bytes, ids: pa.RecordBatch, stay: Stay, watermark_us: int) -> Answer:
        """Say which rows repeat one seen before; remember the others, as `AnswerIds` does.

        Args:
            token: Of their parcel.
            ids: `duplicates.sorted_ids`, placed, of one partition.
            stay: How long rows are remembered.
            watermark_us: The source's, when the rows were read.
        """
        with self._lock:
            found = look(ids, self._seen, stay.horizon_us)
            self._seen.add(found.kept)
            unsure = stay.unsure(found.kept, self._since_us)
            if len(found.kept):
                self._newest_us = max(self._newest_us, int(found.kept["time"].max()))
            since_us = stay.since_us(min(watermark_us, self._newest_us))
            if since_us > self._since_us:
                self._since_us, kept = since_us, self._seen.since(since_us)
                self._seen = Seen()
                self._seen.add(kept)
        return Answer(token, found.rows, found.conflict, found.moved, unsure)

    @property
    def seen(self) -> int:
        """How many ids are remembered."""
        return len(self._seen)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave everything where it is."""
        return _found, (self._name,)


_KEPT: Final = b"K"
_OPEN: Final[WeakValueDictionary[str, InProcess]] = WeakValueDictionary()


def kept_size(kept: bytes) -> int:
    """Return about how many bytes a parcel has, by what stands for it (or its own bytes)."""
    if kept[:1] == _KEPT:
        return int.from_bytes(kept[-_SIZE_BYTES:], "big")
    return len(kept)


def _found(name: str) -> InProcess:
    found = _OPEN.get(name)
    if found is None:
        msg = (
            "what a stream keeps in a process must be used there; got another process; leave it to "
            "the runner's state where workers are processes of their own"
        )
        raise PenstockError(msg)
    return found
