"""A savepoint that another release of Penstock wrote ends a run on Flink with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.worker import COMMAND
from tests import servers
from tests.pipelines.shop import Out, expected, sales
from tests.stack.streaming import make_topic, wait_for
from tests.stack.test_run_flink import Penstock, penstock, said, send
from tests.stack.test_run_stream import counted, destinies, folder_of, landed
from transforms.saved_state import LAYOUT

__all__ = ["penstock"]
pytestmark = pytest.mark.stack


def later_release(root: Path) -> str:
    """A worker's command that reads the next layout only."""
    (root / "site").mkdir()
    (root / "site" / "sitecustomize.py").write_text(
        f"from transforms import saved_state\n\nsaved_state.LAYOUT = {LAYOUT + 1}\n"
    )
    command = root / "worker"
    command.write_text(f'#!/bin/sh\nexport PYTHONPATH={root}/site\nexec {COMMAND} "$@"\n')
    command.chmod(0o755)
    return f"runner.worker_command={command}"


def test_a_savepoint_of_another_release_is_refused_and_the_lake_is_where_it_goes_on(
    tmp_path: Path, penstock: Penstock
) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic, more="")
    first, second = sales(0, 600, copies=40).splitlines(), sales(600, 300).splitlines()
    out = Out(folder / "out")
    send(topic, first)
    penstock.detached(folder)
    assert wait_for(lambda: landed(out) == len(first), 90)
    penstock("stop", folder, "--savepoint")
    send(topic, second)
    later = ["--set", later_release(tmp_path)]
    told = said(penstock.stream(folder, "--resume", *later), code=2)["said"]
    assert f"must hold state of layout {LAYOUT + 1}, which this release reads" in told
    assert f"got layout {LAYOUT}, of another release" in told
    assert "--from-lake" in told
    assert landed(out) == len(first)
    penstock.detached(folder, "--from-lake", *later)
    assert wait_for(lambda: landed(out) == len(first) + len(second), 90)
    penstock("stop", folder)
    assert destinies(out) == counted(expected({"a": b"\n".join([*first, *second])}))
