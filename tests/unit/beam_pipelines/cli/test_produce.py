"""What `penstock produce` does not take: a flag that would do nothing."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, admin

from beam_pipelines.cli import main
from beam_pipelines.cli.produce import _make_topic
from schemas.errors import UsageError
from tests.pipelines.shop import make_folder


class Admin:
    """A cluster whose topic `t` is there, with four partitions."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Connect to nothing."""

    def create_topics(self, asked: list[Any], request_timeout: float) -> dict[str, Future[None]]:
        answer: Future[None] = Future()
        there: Any = KafkaError.TOPIC_ALREADY_EXISTS
        answer.set_exception(KafkaException(KafkaError(there)))
        return {"t": answer}

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=dict.fromkeys(range(4)))})


def test_partitions_that_a_topic_has_not_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "AdminClient", Admin)
    _make_topic({}, "t", None)
    _make_topic({}, "t", 4)
    with pytest.raises(UsageError, match="got 9, and t has 4; leave it out"):
        _make_topic({}, "t", 9)


def test_a_seed_without_disorder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path)
    argv = ["produce", str(folder), "--topic", "t", "--brokers", "127.0.0.1:1", "--seed", "0"]
    assert main(argv) == 2
    assert "--seed must come with a --disorder; got none" in capsys.readouterr().err
