"""Starts a Beam Python worker as a plain process: what `boot` is in Beam's containers.

The environment must hold everything that a pipeline imports; nothing is installed at start. Source:
Beam's `sdks/python/container/boot.go`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

# Staged with every job, and of no use where nothing is installed.
IGNORED = {"submission_environment_dependencies.txt"}
MAIN_SESSION = "pickled_main_session"


def main() -> None:
    """Ask the runner what to run, and be the worker until it ends."""
    given = _arguments()
    channel = grpc.intercept_channel(grpc.insecure_channel(given.provision_endpoint), _Id(given.id))
    info = (
        beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        .GetProvisionInfo(beam_provision_api_pb2.GetProvisionInfoRequest(), timeout=60)
        .info
    )
    folder = Path(given.semi_persist_dir or tempfile.mkdtemp(prefix="beam-worker-"))
    _stage(
        info.dependencies, info.artifact_endpoint.url or given.artifact_endpoint, given.id, folder
    )
    os.environ.update(
        WORKER_ID=given.id,
        PIPELINE_OPTIONS=json_format.MessageToJson(info.pipeline_options),
        LOGGING_API_SERVICE_DESCRIPTOR=_endpoint(info.logging_endpoint, given.logging_endpoint),
        CONTROL_API_SERVICE_DESCRIPTOR=_endpoint(info.control_endpoint, given.control_endpoint),
        RUNNER_CAPABILITIES=" ".join(info.runner_capabilities),
        SEMI_PERSISTENT_DIRECTORY=str(folder),
    )
    if info.status_endpoint.url:
        os.environ["STATUS_API_SERVICE_DESCRIPTOR"] = _endpoint(info.status_endpoint, "")
    # Not as a program of its own, as Beam's boot does it: all of Beam has been imported here.
    sdk_worker_main.main([sys.argv[0]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "semi_persist_dir"):
        parser.add_argument(f"--{name}", default="")
    given, _ = parser.parse_known_args()
    given.id = given.id.strip("'")  # prism quotes it
    return given


class _Id(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Says with each call which worker asks."""

    def __init__(self, worker: str) -> None:
        self.metadata = [("worker_id", worker)]

    def intercept_unary_unary(
        self, continuation: Callable, details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        return continuation(details._replace(metadata=self.metadata), request)

    intercept_unary_stream = intercept_unary_unary


def _endpoint(said: endpoints_pb2.ApiServiceDescriptor, given: str) -> str:
    return text_format.MessageToString(
        said if said.url else endpoints_pb2.ApiServiceDescriptor(url=given)
    )


def _stage(
    artifacts: Iterable[beam_runner_api_pb2.ArtifactInformation],
    endpoint: str,
    worker: str,
    folder: Path,
) -> None:
    wanted = {}
    for artifact in artifacts:
        if artifact.role_urn != common_urns.artifact_roles.STAGING_TO.urn:
            continue
        payload = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload)
        wanted[payload.staged_name] = artifact
    others = sorted(wanted.keys() - IGNORED - {MAIN_SESSION})
    if others:
        sys.exit(
            "a job for these workers must bring no packages, for they install none; got "
            f"{', '.join(others)}; run it without --setup_file, --requirements_file and the like"
        )
    if MAIN_SESSION not in wanted:
        return
    channel = grpc.intercept_channel(grpc.insecure_channel(endpoint), _Id(worker))
    stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
    request = beam_artifact_api_pb2.GetArtifactRequest(artifact=wanted[MAIN_SESSION])
    staged = folder / "staged"
    staged.mkdir(parents=True, exist_ok=True)
    with (staged / MAIN_SESSION).open("wb") as out:
        out.writelines(part.data for part in stub.GetArtifact(request))


if __name__ == "__main__":
    main()
