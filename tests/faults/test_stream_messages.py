"""Messages and partitions that are not as they should be: each row has its one destiny."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from tests import servers
from tests.faults import events_oracle
from tests.faults.stream_chaos import Chaos
from tests.faults.stream_world import FUTURE, event

pytestmark = pytest.mark.stack

BIG = 50_000_000


def chaos_of(folder: Path, *rules: str, **more: str) -> Chaos:
    return Chaos(folder / "events", servers.kafka(), random.Random(1), rules=rules, **more)  # type: ignore[arg-type]


def finals(chaos: Chaos) -> int:
    return sum(row["_final"] for row in events_oracle.lake_rows(chaos.folder)["windows"])


@pytest.mark.parametrize("believed", [False, True])
def test_an_event_of_the_year_2099_is_refused_and_makes_no_other_late(
    tmp_path: Path, believed: bool
) -> None:
    chaos = chaos_of(tmp_path)
    chaos.sets = ("source.stream.max_future=36000d",) if believed else ()
    with chaos.sending() as stream:
        run = chaos.start()
        chaos.wait_for_commits(1, run)
        for partition in stream.partitions:
            message = event(chaos.rng, time.time())
            stream.send(message.replace(b'"2026-', FUTURE, 1), partition)
        chaos.wait_for_commits(4, run)
        wrongs = chaos.judge(stream)
    assert ("late" in chaos.destinies()) == believed
    assert (wrongs == []) == (not believed)


@pytest.mark.parametrize("idle", ["3s", "1d"])
def test_windows_end_though_a_partition_stays_silent(tmp_path: Path, idle: str) -> None:
    chaos = chaos_of(tmp_path)
    chaos.sets = (f"source.stream.idle={idle}",)
    with chaos.sending(partitions=[0, 2]) as stream:
        run = chaos.start()
        chaos.wait_for_commits(1, run)
        if idle == "3s":
            chaos.wait_for(lambda: finals(chaos) > 0)
        else:
            time.sleep(40)  # disorder and a window are half a minute
            assert finals(chaos) == 0
        assert chaos.judge(stream) == []
    assert "late" not in chaos.destinies()


@pytest.mark.parametrize("rules", [(), ("newest watermark",)])
def test_rows_of_a_partition_that_lags_by_an_hour_are_not_late(
    tmp_path: Path, rules: tuple[str, ...]
) -> None:
    chaos = chaos_of(tmp_path, *rules)
    with chaos.sending(lag={0: 3600.0}) as stream:
        run = chaos.start()
        chaos.wait_for_commits(5, run)
        chaos.judge(stream)
    assert ("late" in chaos.destinies()) == bool(rules)


@pytest.mark.parametrize("rules", [(), ("no dead letters",)])
def test_a_third_of_poison_is_kept_as_refused_or_stops_the_run(
    tmp_path: Path, rules: tuple[str, ...]
) -> None:
    chaos = chaos_of(tmp_path, *rules)
    with chaos.sending(poison=0.3) as stream:
        run = chaos.start()
        if rules:
            chaos.fails(run)
            assert chaos.landed() == 0
            assert "every message read must have one destiny" in chaos.said.read_text()
        else:
            chaos.wait_for_commits(3, run)
        assert chaos.judge(stream) == []
    assert chaos.destinies()["refused"] > 50


@pytest.mark.parametrize("rules", [(), ("short records",)])
def test_messages_of_50_mb_land_or_are_kept_as_refused(
    tmp_path: Path, rules: tuple[str, ...]
) -> None:
    chaos = chaos_of(tmp_path, *rules, config={"max.message.bytes": str(60 << 20)})  # type: ignore[arg-type]
    with chaos.sending() as stream:
        run = chaos.start()
        chaos.wait_for_commits(1, run)
        good = event(chaos.rng, time.time(), properties={"amount": 1, "text": "x" * BIG})
        stream.send(good, 0)
        stream.send(b"{" + good, 1)
        stream.stop()
        chaos.wait_for_messages(stream.delivered)
        wrongs = chaos.judge(stream)
    assert (wrongs == []) == (not rules)
    rows = events_oracle.lake_rows(chaos.folder)
    texts = [json.loads(r["properties"]).get("text", "") for r in rows["kept"]]
    assert max(map(len, texts)) == (0 if rules else BIG)
    assert sum(len(r["record"] or b"") > BIG for r in rows["refused"]) == (2 if rules else 1)
