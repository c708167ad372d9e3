"""What can be chosen of a job on Flink, and what it becomes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from runners.flink.options import REST, beam_flags, options, savepoints
from runners.worker import COMMAND
from schemas.errors import UsageError


def flags(environment: Mapping[str, str] = {}, **given: Any) -> dict[str, str]:
    found = beam_flags(options(given), name="job", bounded=False, environment=environment)
    return dict(flag.removeprefix("--").partition("=")[::2] for flag in found)


def test_a_job_has_checkpoints_that_outlive_it_and_bundles_that_end_before_them() -> None:
    found = flags(checkpoints="file:///k", checkpoint_every="3s")
    assert found["checkpointing_interval"] == "3000"
    assert found["state_backend_storage_path"] == "file:///k"
    assert {"streaming", "finish_bundle_before_checkpointing"} <= found.keys()
    assert "retain_externalized_checkpoints_on_cancellation" in found
    assert "operator_chaining" in found
    assert savepoints({"checkpoints": "file:///k/"}) == "file:///k/savepoints"
    assert savepoints({"checkpoints": ""}) == ""


def test_only_a_job_with_an_end_ends_with_its_source() -> None:
    chosen = options({})
    ended, endless = (
        beam_flags(chosen, name="job", bounded=bounded, environment={}) for bounded in (True, False)
    )
    assert [f for f in ended if f not in endless] == ["--shutdown_sources_after_idle_ms=500"]


def test_workers_are_processes_with_the_variables_that_the_pipeline_names() -> None:
    found = flags({"KAFKA_BROKERS": "b:1"}, parallelism=2)
    assert found["environment_type"] == "PROCESS"
    config = json.loads(found["environment_config"])
    assert config["command"] == str(COMMAND)
    assert config["env"]["KAFKA_BROKERS"] == "b:1"
    assert found["sdk_worker_parallelism"] == "2"
    assert 0 < int(found["environment_cache_millis"]) < int(found["execution_retry_delay"])
    assert flags(parallelism=2, worker_processes=1)["sdk_worker_parallelism"] == "1"


def test_workers_may_be_threads_of_the_driver_or_a_pool_elsewhere() -> None:
    assert flags(workers="loopback")["environment_type"] == "LOOPBACK"
    pool = flags(workers="external", worker_pool="h:5")
    assert (pool["environment_type"], pool["environment_config"]) == ("EXTERNAL", "h:5")
    assert int(pool["environment_cache_millis"]) > 0, "or each stage starts a worker of its own"


def test_more_beam_flags_come_last() -> None:
    found = beam_flags(
        options({"flags": "--a=1 '--b=x y'"}), name="job", bounded=True, environment={}
    )
    assert found[-2:] == ["--a=1", "--b=x y"]


def test_an_address_is_the_flag_s_else_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REST, raising=False)
    assert options({}).rest == "http://127.0.0.1:8081"
    monkeypatch.setenv(REST, "far:1")
    assert options({}).rest == "http://far:1"
    assert options({"rest": "https://near:2/"}).rest == "https://near:2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"paralelism": 2}, "did you mean 'parallelism'?"),
        ({"parallelism": 0}, "runner.parallelism must be a whole number from 1 on; got 0"),
        ({"parallelism": "two"}, "got 'two'"),
        ({"parallelism": True}, "got True"),
        ({"checkpoint_every": "5"}, "runner.checkpoint_every must be a whole number and a unit"),
        ({"checkpoint_every": "0s"}, "runner.checkpoint_every must be longer than nothing"),
        ({"workers": "proces"}, "did you mean 'process'?"),
        ({"workers": "external"}, "runner.worker_pool must be given with runner.workers=external"),
        ({"worker_pool": "h:5"}, "got h:5 with process"),
    ],
)
def test_what_cannot_be_chosen_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        options(given)
    assert said in str(error.value)


def test_the_worker_s_command_can_be_executed_and_says_what_it_needs() -> None:
    assert os.access(COMMAND, os.X_OK)
    done = subprocess.run([COMMAND], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--id, --provision_endpoint" in done.stderr
