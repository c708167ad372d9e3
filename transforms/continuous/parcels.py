"""A parcel: one raw batch on its way to the lake, whole, so that its positions land together.

Every row of a raw batch has exactly one destiny, and a commit may call a position done only when
all of its rows are in it. So the rows of a batch never part: they wait, as bytes in the state of
one key, for what the dedupe says of their ids, which travel alone.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.names import Destiny
from transforms.batches import compressed
from transforms.changes.seen import Change
from transforms.commit.doubtful import CONFLICT
from transforms.commit.ranges import Ranges
from transforms.outcome import Outcome, chained, keep, removed
from transforms.saved_state import MARK_BYTES, check, prefix

TOKEN_BYTES: Final = 12
_ALIGNED: Final = 16
_PARCEL, _ANSWER = b"p", b"a"
_TOKEN: Final = slice(MARK_BYTES, MARK_BYTES + TOKEN_BYTES)
_CONFLICT, _MOVED = np.uint8(1), np.uint8(2)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What became of one raw batch so far.

    Attributes:
        token: Random name, by which answers find it.
        outcome: Rows that go on, and those removed or refused.
        done: Positions of all its messages.
        records: Source -> number of messages.
        asked: Dedupe partitions that will answer.
        lost: Those of `done` that were to be read and are gone.
        unsure: What an answer says of it that came at once (`Answer.unsure`).
        changes: How its records differ from the contract.
        doubtful: What such an answer leaves to the committer (`Answered.doubtful`).
    """

    token: bytes
    outcome: Outcome
    done: Ranges
    records: dict[str, int]
    asked: int = 0
    lost: Ranges = field(default_factory=dict)
    unsure: bool = False
    changes: tuple[Change, ...] = ()
    doubtful: pa.RecordBatch | None = None

    def encode(self) -> bytes:
        """Return it as bytes: a small pickled head, then Arrow IPC streams."""
        parts = [b"" if b is None else compressed(b) for b in self.outcome]
        sizes = [len(p) for p in parts]
        head = pickle.dumps((sizes, self.done, self.records, self.asked, self.lost, self.changes))
        # Arrow wants its buffers aligned; pickle reads no further than its own end.
        head += bytes(-(_TOKEN.stop + 4 + len(head)) % _ALIGNED)
        return b"".join((prefix(_PARCEL), self.token, len(head).to_bytes(4, "big"), head, *parts))

    @classmethod
    def decode(cls, encoded: bytes) -> Parcel:
        """Read what `encode` wrote; the batches are views of the bytes.

        Raises:
            LayoutError: Another release wrote it.
        """
        check(encoded, _PARCEL)
        at = _TOKEN.stop
        begin = at + 4
        end = begin + int.from_bytes(encoded[at:begin], "big")
        head = pickle.loads(encoded[begin:end])  # noqa: S301 - our own state
        sizes, done, records, asked, lost, changes = head
        batches: list[pa.RecordBatch | None] = []
        whole = pa.py_buffer(encoded)
        for size in sizes:
            batches.append(_read(whole.slice(end, size)) if size else None)
            end += size
        rows, removed, refused = batches
        return cls(
            token=encoded[_TOKEN],
            outcome=Outcome(rows, removed, refused),
            done=done,
            records=records,
            asked=asked,
            lost=lost,
            changes=changes,
        )


@dataclass(frozen=True)
class Answer:
    """What one dedupe partition says of a parcel.

    Attributes:
        token: Which parcel.
        rows: Numbers (uint32) of its rows that are duplicates, ascending.
        conflict: Which of them differ from the row that won.
        moved: Which of them repeat no kept row of their own event time.
        unsure: Whether a row that passed is so old that its like may be forgotten: the lake knows.
    """

    token: bytes
    rows: np.ndarray = field(default_factory=lambda: np.array([], np.uint32))
    conflict: np.ndarray = field(default_factory=lambda: np.array([], bool))
    moved: np.ndarray = field(default_factory=lambda: np.array([], bool))
    unsure: bool = False

    def encode(self) -> bytes:
        """Return it as bytes."""
        rows, unsure = self.rows.astype("<u4"), bytes([self.unsure])
        marks = self.conflict * _CONFLICT | self.moved * _MOVED
        return b"".join((prefix(_ANSWER), self.token, unsure, rows.tobytes(), marks.tobytes()))

    @classmethod
    def decode(cls, encoded: bytes) -> Answer:
        """Read what `encode` wrote.

        Raises:
            LayoutError: Another release wrote it.
        """
        check(encoded, _ANSWER)
        at = _TOKEN.stop + 1
        count = (len(encoded) - at) // 5
        rows = np.frombuffer(encoded, "<u4", count, at)
        marks = np.frombuffer(encoded, np.uint8, count, at + 4 * count)
        conflict, moved = ((marks & bit).astype(bool) for bit in (_CONFLICT, _MOVED))
        return cls(encoded[_TOKEN], rows, conflict, moved, bool(encoded[at - 1]))


class Answered(NamedTuple):
    """A parcel whose duplicates are known.

    Attributes:
        outcome: Rows that go on, and those removed or refused.
        doubtful: Those of the removed rows that repeat no kept row of their own event time, with a
            column CONFLICT: what they repeat may be a copy of a landed row, and they none. A copy
            at the same time is one of whatever the other is a copy of.
    """

    outcome: Outcome
    doubtful: pa.RecordBatch | None = None


def answered(outcome: Outcome, answers: Sequence[Answer], step: str) -> Answered:
    """Take the rows that answers call duplicates out of a parcel.

    Args:
        outcome: Of the parcel.
        answers: All of it.
        step: Id of the dedupe step.
    """
    numbers = np.concatenate([np.empty(0, np.int64), *(a.rows for a in answers)])
    if not len(numbers):
        return Answered(outcome)
    order = np.argsort(numbers, kind="stable")
    rows = numbers[order].astype(np.int64)
    conflict = np.concatenate([a.conflict for a in answers])[order]
    moved = np.concatenate([a.moved for a in answers])[order]
    rule = pa.array(np.where(conflict, "conflict", "duplicate").tolist())
    out = removed(outcome.rows, rows, Destiny.DUPLICATE, step, rule)
    left = chained(outcome, Outcome(keep(outcome.rows, rows), out))
    if not moved.any():
        return Answered(left)
    apart = outcome.rows.take(pa.array(rows[moved]))
    return Answered(left, apart.append_column(CONFLICT, pa.array(conflict[moved])))


def new_token() -> bytes:
    """Return a name that no other parcel has."""
    return os.urandom(TOKEN_BYTES)


def is_answer(encoded: bytes) -> bool:
    """Whether these are the bytes of an answer (or else of a parcel)."""
    return encoded[:1] == _ANSWER


def whole_parcels(
    parcels: Iterable[bytes],
    answers: Iterable[bytes],
    take: Callable[[bytes], Parcel] = Parcel.decode,
) -> tuple[list[tuple[Parcel, list[Answer]]], list[bytes], list[bytes]]:
    """Find the parcels that nothing is missing of.

    Args:
        parcels: Encoded.
        answers: Encoded.
        take: Reads an encoded parcel.

    Returns:
        Those, with their answers, in the order given; parcels that wait; answers that wait.
    """
    by_token: dict[bytes, list[bytes]] = {}
    for answer in answers:
        by_token.setdefault(answer[_TOKEN], []).append(answer)
    ready, waiting = [], []
    for encoded in parcels:
        parcel = take(encoded)
        found = by_token.get(parcel.token, [])
        if len(found) == parcel.asked:
            by_token.pop(parcel.token, None)
            ready.append((parcel, [Answer.decode(a) for a in found]))
        else:
            waiting.append(encoded)
    return ready, waiting, [a for several in by_token.values() for a in several]


def _read(buffer: pa.Buffer) -> pa.RecordBatch:
    return pa.ipc.open_stream(buffer).read_next_batch()
