"""What was seen of changes is kept before the rows land, and counts once whatever is tried again."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import main
from schemas.plan import Plan
from schemas.planning import load_plan
from tests.pipelines.test_changes import GOOD, NEW, Run, folder_of, landed, run, write
from tests.streams import Middle, commit, stream_plan
from tests.unit.transforms.raws import raw
from transforms.changes.kept import Evidence, changes_file, keep_changes, kept_changes
from transforms.changes.seen import Change, Kind
from transforms.commit.committer import Committer

__all__ = ["run"]

ROWS = [NEW[i] if i % 2 else GOOD[i] for i in range(8)]
"""Every other record has the column that the contract does not declare."""


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path, "json", "evolve", NEW)


def batches(size: int) -> list[Any]:
    """The rows as messages of one partition, cut so."""
    payloads = [json.dumps(row).encode() for row in ROWS]
    return [
        raw(*(("t/0", at + i, p) for i, p in enumerate(payloads[at : at + size])))
        for at in range(0, len(payloads), size)
    ]


def counted(plan: Plan) -> dict[str, int]:
    return {change.name: change.rows for change in kept_changes(plan)}


def fails(monkeypatch: pytest.MonkeyPatch, kind: type, method: str, error: BaseException) -> None:
    """Let the first call of a method fail."""
    real, calls = getattr(kind, method), []

    def once(*args: Any, **more: Any) -> Any:
        calls.append(method)
        if len(calls) == 1:
            raise error
        return real(*args, **more)

    monkeypatch.setattr(kind, method, once)


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_fails_a_bundle_before_its_rows_land_and_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = Middle(stream_plan(folder))
    shipment = middle.ship(*batches(4))
    with monkeypatch.context() as patched:
        fails(patched, Path, "write_text", full())
        with pytest.raises(OSError, match="No space left"):
            commit(middle.committer(), middle.begins(), shipment)
    assert landed(folder) == {}
    assert counted(middle.plan) == {}
    commit(middle.committer(), middle.begins(), shipment)  # the runner hands it in again
    assert len(landed(folder)) == len(ROWS)
    assert counted(middle.plan) == {"coupon": 4}


@pytest.mark.parametrize("cut", [8, 4, 3, 1])
def test_a_kill_between_what_was_seen_and_the_commit_counts_once_however_it_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    middle = Middle(stream_plan(folder))
    fails(monkeypatch, Committer, "commit", Killed())
    with pytest.raises(Killed):
        commit(middle.committer(), middle.begins(), middle.ship(*batches(4)))
    assert landed(folder) == {}
    again = Middle(middle.plan)  # nothing is left of its state
    memory, one = again.begins(), again.committer()
    for batch in batches(cut):
        memory = commit(one, memory, again.ship(batch))
    assert len(landed(folder)) == len(ROWS)
    assert counted(middle.plan) == {"coupon": 4}


def test_a_rebuild_by_another_contract_keeps_what_it_saw(folder: Path, run: Run) -> None:
    run(folder)
    contract = folder / "contract.odcs.yaml"
    contract.write_text(contract.read_text() + "      - {name: more, logicalType: string}\n")
    assert counted(load_plan(folder)) == {}
    run(folder, "--rebuild")
    assert counted(load_plan(folder)) == {"coupon": len(NEW)}
    run(folder, "--rebuild")
    assert counted(load_plan(folder)) == {"coupon": len(NEW)}


def test_a_process_that_was_stopped_with_the_lock_holds_up_nobody_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.changes.kept._PATIENCE_S", 0.1)
    middle = Middle(stream_plan(folder))
    shipment = middle.ship(*batches(4))
    path = changes_file(middle.plan)
    path.parent.mkdir(parents=True)
    with (path.parent / f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="busy"):
            commit(middle.committer(), middle.begins(), shipment)
    assert landed(folder) == {}
    commit(middle.committer(), middle.begins(), shipment)
    assert len(landed(folder)) == len(ROWS)
    assert counted(middle.plan) == {"coupon": 4}


def test_a_folder_that_nobody_can_write_to_ends_a_run_and_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "changes").touch()
    assert main(["run", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{folder}/out/changes must be a place that can be read and written")
    assert "nothing of this run has landed" in said
    (folder / "out" / "changes").unlink()
    assert main(["run", str(folder)]) == 0


def test_a_kill_between_commit_and_checkpoint_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = Middle(stream_plan(folder))
    first, second = (middle.ship(batch) for batch in batches(4))
    commit(middle.committer(), middle.begins(), first)
    again = Middle(middle.plan)
    commit(again.committer(), again.begins(), first, second)
    assert len(landed(folder)) == len(ROWS)
    assert counted(middle.plan) == {"coupon": 4}
    told = json.loads(changes_file(middle.plan).read_text())
    assert told["counted"] == {"t/0": [[4, 8]]}, "what is done is not remembered twice"


def test_without_the_positions_a_kill_would_count_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what is counted is not remembered, so the test above must see it."""

    def forgets(plan: Plan, evidence: Any, done: Any) -> None:
        keep_changes(plan, evidence, done)
        told = json.loads(changes_file(plan).read_text())
        changes_file(plan).write_text(json.dumps(told | {"counted": {}}))

    monkeypatch.setattr("transforms.continuous.committer.keep_changes", forgets)
    middle = Middle(stream_plan(folder))
    shipment = middle.ship(*batches(4))
    fails(monkeypatch, Committer, "commit", Killed())
    with pytest.raises(Killed):
        commit(middle.committer(), middle.begins(), shipment)
    commit(middle.committer(), middle.begins(), shipment)
    assert counted(middle.plan) == {"coupon": 8}


def test_a_batch_keeps_what_it_saw_before_it_lands_and_counts_once(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = load_plan(folder)
    with monkeypatch.context() as patched:
        fails(patched, Path, "write_text", full())
        assert main(["run", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "must be a place that can be read and written; got: No space left" in said
    assert "nothing of this run has landed" in said
    assert counted(plan) == {}
    with monkeypatch.context() as patched:
        fails(patched, Committer, "commit", RuntimeError("killed"))
        assert main(["run", str(folder)]) == 1
    assert counted(plan) == {"coupon": len(NEW)}
    assert [c["rows"] for c in run(folder)["changes"]] == [len(NEW)]
    assert counted(plan) == {"coupon": len(NEW)}
    write(folder / "data" / "c.json", [{**NEW[0], "sale_id": 900}])
    run(folder)
    assert counted(plan) == {"coupon": len(NEW) + 1}
    run(folder, "--rebuild")
    assert counted(plan) == {"coupon": len(NEW) + 1}, "read again, not seen again"


def test_what_a_rebuild_does_not_see_any_more_is_forgotten(folder: Path, run: Run) -> None:
    run(folder)
    assert counted(load_plan(folder)) == {"coupon": len(NEW)}
    (folder / "data" / "b.json").unlink()
    run(folder, "--rebuild", "--forget-missing")
    assert counted(load_plan(folder)) == {}


def test_a_run_that_a_change_ends_counts_it_once_and_says_it_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, "json", "freeze", NEW)
    with monkeypatch.context() as patched:
        fails(patched, Path, "write_text", full())
        assert main(["run", str(folder)]) == 1
    assert "penstock:onChange: freeze" in capsys.readouterr().err
    for _ in range(2):
        assert main(["run", str(folder)]) == 1
        assert counted(load_plan(folder)) == {"coupon": len(NEW)}


def test_a_key_of_another_object_is_not_taken_for_one_that_was_counted(folder: Path) -> None:
    plan = load_plan(folder)

    def seen(inside: str, start: int, end: int) -> Evidence:
        where = {"inside": inside, "source": "t/0", "position": start}
        one = Change(kind=Kind.UNDECLARED, name="zip", rows=end - start, **where)
        return Evidence({"t/0": [(start, end)]}, (one,))

    keep_changes(plan, [seen("address", 0, 10)], {})
    keep_changes(plan, [seen("items[]", 5, 15)], {})  # none of these ten was seen before
    rows = {change.called: change.rows for change in kept_changes(plan)}
    assert rows == {"address.zip": 10, "items[].zip": 10}


def test_of_a_batch_that_was_counted_in_part_only_what_is_certain_counts(folder: Path) -> None:
    plan = load_plan(folder)

    def seen(start: int, end: int, rows: int) -> Evidence:
        one = Change(kind=Kind.UNDECLARED, name="coupon", rows=rows, source="t/0", position=start)
        return Evidence({"t/0": [(start, end)]}, (one,))

    keep_changes(plan, [seen(0, 10, 10)], {})
    keep_changes(plan, [seen(5, 15, 10)], {})  # five are new, and all have it
    assert counted(plan) == {"coupon": 15}
    keep_changes(plan, [seen(10, 20, 3)], {})  # all three may be old ones
    assert counted(plan) == {"coupon": 15}
    keep_changes(plan, [seen(20, 30, 3)], {"t/0": [(0, 25)]})
    assert counted(plan) == {"coupon": 15}
