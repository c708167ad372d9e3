"""State that another release left is known as such, whatever piece of it is met first."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.failures import meant
from schemas.planning import load_plan
from tests.pipelines.shop import make_folder
from transforms.batches import compressed
from transforms.changes.kept import Evidence
from transforms.changes.seen import Change
from transforms.commit.doubtful import Doubtful
from transforms.commit.landed import Landed
from transforms.commit.near import Asked
from transforms.commit.removed import Removed
from transforms.continuous.commit import CommitContinuously, _Commit
from transforms.continuous.committer import Memory
from transforms.continuous.deduplicate import _MARK, _AnswerIds
from transforms.continuous.land import Shipment
from transforms.continuous.parcels import Answer, Parcel, whole_parcels
from transforms.continuous.seen import ID, Stay
from transforms.inference.properties import Property
from transforms.outcome import Outcome
from transforms.saved_state import LAYOUT, LayoutError, dumped, loaded
from transforms.sources.streams.vector import Place, Vector, VectorCoder

TOKEN = b"t" * 12
ROWS = pa.record_batch({"a": [1, 2, 3]})


class Bag:
    """State of a bag or of one value, as it was restored."""

    def __init__(self, *held: bytes) -> None:
        self.held = list(held)

    def read(self) -> Any:
        return self.held

    def clear(self) -> None:
        self.held = []


class Value(Bag):
    def read(self) -> Any:
        return self.held[0] if self.held else None


def old_parcel() -> bytes:
    """Return a parcel as it was laid out before its changes were in it."""
    part = compressed(ROWS)
    head = pickle.dumps(([len(part), 0, 0], {"s": [(0, 3)]}, {"s": 3}, 0))
    head += bytes(-(1 + 12 + 4 + len(head)) % 16)
    return b"".join((b"P", TOKEN, len(head).to_bytes(4, "big"), head, part))


def old_answer() -> bytes:
    return b"A" + TOKEN + b"\0" + np.array([1], "<u4").tobytes() + b"\1"


def old_vector() -> bytes:
    return json.dumps({"c/t/0": [7, None, None, "t/0"]}).encode()


def committing() -> Any:
    def made() -> Any:
        raise NotImplementedError

    return _Commit(CommitContinuously(make=made, every_us=1))


def committed(waiting: Bag, memory: Value) -> None:
    list(committing()._commit(waiting, Value(), memory, None, None))


def asked(stamp: bytes) -> None:
    _AnswerIds(Stay(horizon_us=1))._seen(0, Bag(bytes(36)), Value(stamp))


MEETINGS: dict[str, Callable[[], object]] = {
    "parcel": lambda: Parcel.decode(old_parcel()),
    "gathered": lambda: whole_parcels([old_parcel()], [old_answer()]),
    "answer": lambda: Answer.decode(old_answer()),
    "old answer beside a new parcel": lambda: whole_parcels([old_answer()], []),
    "shipment": lambda: committed(Bag(pickle.dumps(Shipment(landed=Landed()))), Value()),
    "memory": lambda: committed(Bag(), Value(pickle.dumps(Memory()))),
    "ids": lambda: asked(bytes(8) + np.zeros(3, ">i8").tobytes()),
    "vector": lambda: VectorCoder().decode(old_vector()),
}


@pytest.mark.parametrize("met", MEETINGS)
def test_state_of_an_earlier_release_ends_with_what_to_do(met: str) -> None:
    with pytest.raises(LayoutError) as error:
        MEETINGS[met]()
    said = str(error.value)
    assert said.startswith(f"a savepoint or checkpoint must hold state of layout {LAYOUT}")
    assert "got layout 1," in said
    assert "--from-lake" in said
    assert "stop --drain" in said


def test_state_of_a_later_release_is_told_by_its_number() -> None:
    parcel = Parcel(token=TOKEN, outcome=Outcome(ROWS), done={}, records={})
    encoded = bytearray(parcel.encode())
    encoded[1] = LAYOUT + 1
    vector = json.dumps([LAYOUT + 1, {"another": "form"}]).encode()
    for meet in (
        lambda: Parcel.decode(bytes(encoded)),
        lambda: VectorCoder().decode(vector),
    ):
        with pytest.raises(LayoutError, match=f"got layout {LAYOUT + 1},"):
            meet()


def test_state_of_this_release_is_read_back() -> None:
    vector = Vector({"c/t/0": Place(position=7, high_us=3, label="t/0")})
    assert VectorCoder().decode(VectorCoder().encode(vector)) == vector
    memory = Memory(closed_us=7)
    assert loaded(dumped(memory, b"m"), b"m") == memory


def test_whoever_lays_state_out_otherwise_raises_its_layout() -> None:
    """When this fails, raise `saved_state.LAYOUT`, and say here what that layout is."""
    pickled = (Shipment, Landed, Removed, Doubtful, Evidence, Change, Property, Memory, Asked)
    held = {kind.__name__: ",".join(kind.__annotations__) for kind in pickled}
    held |= {"Place": ",".join(Place.__annotations__), "mark": _MARK.format}
    held |= {"ids": ",".join(ID.names or ()), "parcel": ",".join(Parcel.__annotations__)}
    layouts = {
        2: {
            "Shipment": "landed,partials,evidence,rows,late,unsure,watermark_us",
            "Landed": "files,done,removed,lost,changes,doubtful",
            "Removed": "source,destiny,step,rule,rows,first,last,packed,width",
            "Doubtful": "rows,packed,first_us,last_us",
            "Evidence": "positions,changes",
            "Change": "kind,name,inside,mode,format,rows,source,position,proposal,shape,note,few",
            "Property": "name,key,logical,physical,options,required,primary_key,enum,may_lack,warn,"
            "open,classification,protect,protect_options,reason,transform,description,epoch,notes,"
            "distinct,children,items,field",
            "Memory": "asked,handed,closed_us,closes,astray_us",
            "Place": "position,end,high_us,label",
            "mark": ">qqq",
            "Asked": "seq,snapshot,began",
            "ids": "low,high,time,place,content",
            "parcel": "token,outcome,done,records,asked,lost,unsure,changes,doubtful",
        }
    }
    assert held == layouts[LAYOUT]


def test_what_a_worker_says_of_it_ends_a_run_at_once(tmp_path: Path) -> None:
    """As the runner hands it on: a text. Exit code 2 is what `follow` takes for beyond mending."""
    with pytest.raises(LayoutError) as error:
        Parcel.decode(old_parcel())
    text = (
        "Traceback (most recent call last):\n"
        '  File "/x/transforms/saved_state.py", line 1, in check\n'
        f"transforms.saved_state.LayoutError: {error.value} [while running 'Land/Gather']"
    )
    told = meant(RuntimeError(text), load_plan(make_folder(tmp_path)), lambda: "")
    assert (str(told), told.exit_code) == (str(error.value), 2)
