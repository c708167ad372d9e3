"""The benchmark's own arithmetic: what it measures, when it stops, what it writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import measure, report
from tests.benchmarks.jobs import Contestant, Job


def ran(wall: float, kept: int = 1) -> measure.Run:
    return measure.Run(wall=wall, cpu=wall, rss=100, said={"rows": {"kept": kept}})


def job(**promise: float) -> Job:
    return Job(
        title="t",
        contestants=(
            Contestant(name="Penstock", command=lambda _: []),
            Contestant(name="theirs", command=lambda _: [], promise=promise),
        ),
        agree=("kept",),
    )


def test_a_ratio_is_the_median_of_the_rounds_so_a_slow_minute_hits_both() -> None:
    rounds = [[ran(1), ran(2)], [ran(10), ran(20)], [ran(2), ran(4)]]
    assert report.ratios(job(), rounds, 1)["wall"] == pytest.approx(0.5)


def test_a_broken_promise_is_said_and_counted() -> None:
    rounds = [[ran(3), ran(2)]]
    assert report.table(job(wall=1.6), rounds)[1]
    text, kept = report.table(job(wall=1.3), rounds)
    assert not kept
    assert "wall ≤ 1.30 **broken**" in text


def test_without_us_there_is_nothing_to_promise() -> None:
    alone = bench.without(job(wall=0.1), ["penstock"])
    text, kept = report.table(alone, [[ran(2)]])
    assert kept
    assert "theirs | 2.00" in text
    assert "≤" not in text.splitlines()[-1]


def test_contestants_that_found_different_rows_stop_the_benchmark() -> None:
    bench.agree(job(), [ran(1), ran(2)])
    with pytest.raises(SystemExit, match="must agree on the rows kept"):
        bench.agree(job(), [ran(1), ran(2, kept=2)])


def test_the_table_goes_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.write(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    page.write_text("no markers\n")
    assert not report.write(page, "new")
    assert page.read_text() == "no markers\n"


def test_cpu_and_memory_of_a_grandchild_count(tmp_path: Path) -> None:
    burn = "import time; b = bytearray(80 << 20); t = time.process_time()\n"
    burn += "while time.process_time() < t + 0.3: pass\n"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('{{}}')"
    )
    found = measure.run(
        [sys.executable, "-c", code], log=tmp_path / "log", cwd=tmp_path, timeout=30
    )
    assert found.cpu > 0.3
    assert found.rss > 80


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="so it goes"):
        measure.run(
            [sys.executable, "-c", "raise SystemExit('so it goes')"],
            log=tmp_path / "log",
            cwd=tmp_path,
            timeout=30,
        )
