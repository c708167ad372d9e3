"""What decoding JSON lines costs, stage by stage, beside DuckDB's read_json on the same bytes.

    python tests/benchmarks/json_decode.py EVENTS.jsonl [--mb 48] [--block 4] [--rounds 5]

EVENTS.jsonl is what `beam_pipelines.events.generate` writes. Everything runs on one thread and in
turn, round after round, so that a busy machine slows all stages alike; figures are CPU seconds for
2 M rows, the median of the rounds. `--threads` also decodes on two threads and prints the ratio of
wall clocks.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from schemas.contract import Column, Contract
from transforms.decode import json_lines
from transforms.decode.json_find import Finder
from transforms.decode.json_lines import JsonDecoder
from transforms.decode.json_scan import texts_in, utf8_faults
from transforms.decode.json_text import JsonText
from transforms.sources.blocks import Block

ROWS = 2_000_000
EMAIL = ("email",)


def contract() -> Contract:
    def column(name: str, kind: pa.DataType, logical: str, **more: object) -> Column:
        values = {"name": name, "path": name, "type": kind, "logical": logical, **more}
        return Column(**values)  # type: ignore[arg-type]

    text, time_ = pa.string(), pa.timestamp("us", "UTC")
    children = (
        column("email", text, "string", path="properties.email"),
        column("amount", pa.float64(), "number", path="properties.amount"),
    )
    return Contract(
        id="events", name="events", version="1", file=Path("events"), hash="",
        event_time="event_time", primary_key=("event_id",),
        columns=(
            column("event_id", text, "string", required=True),
            column("event_time", time_, "timestamp", required=True),
            column("user_id", text, "string"),
            column("event_type", text, "string", required=True),
            column("properties", text, "object", open=True, children=children),
        ),
    )  # fmt: skip


def cut_blocks(data: bytes, size: int) -> list[Block]:
    """Whole lines, about `size` bytes a block."""
    out, at = [], 0
    while at < len(data):
        end = data.find(b"\n", min(at + size, len(data)) - 1) + 1 or len(data)
        part = np.frombuffer(data[at:end], np.uint8)
        out.append(Block(source="events", start=at, data=part, arrived_us=0))
        at = end
    return out


def duck(path: Path) -> None:
    """Valid rows only, as typed Arrow columns; DuckDB has no word for the others."""
    con = duckdb.connect(config={"threads": 1})
    columns = (
        "{event_id:'VARCHAR',event_time:'TIMESTAMP',user_id:'VARCHAR',event_type:'VARCHAR',"
        "properties:'JSON'}"
    )
    con.sql(
        f"select *, properties->>'$.email' email, (properties->>'$.amount')::double amount "
        f"from read_json('{path}', format='newline_delimited', ignore_errors=true, "
        f"columns={columns}) where event_id is not null and event_time is not null"
    ).to_arrow_table()


def stages(blocks: list[Block], path: Path) -> dict[str, Callable[[], object]]:
    decoder, edits = JsonDecoder(contract()), JsonText()
    decoder.decode(blocks[0])
    decoder._finder.find(_scan(blocks[0]))
    rows = [decoder.decode(b).rows for b in blocks]
    texts = [b["properties"] for b in rows]
    emails = [b["properties.email"] for b in rows]
    each: dict[str, Callable[[Block], object]] = {
        "lines": json_lines._lines,
        "lines, utf-8": _utf8,
        "lines, strings": _scan,
        "lines, strings, values": lambda b: decoder._finder.find(_scan(b)),
        "decode": decoder.decode,
    }
    out: dict[str, Callable[[], object]] = {
        name: lambda f=f: [len(f(b)) and None for b in blocks]  # type: ignore[misc, arg-type]
        for name, f in each.items()
    }
    pairs = list(zip(texts, emails, strict=True))
    out["replace an e-mail"] = lambda: [len(edits.replace(t, EMAIL, e)) for t, e in pairs]
    paths = list(contract().path_columns())
    out["extract two paths"] = lambda: [len(edits.extract(t, paths)) for t in texts]
    out["general way"] = lambda: [
        len(Finder(decoder._finder.paths, learns=False).find(_scan(b))) for b in blocks[:2]
    ]
    out["DuckDB read_json"] = lambda: duck(path)
    return out


def _utf8(block: Block) -> list[int]:
    lines = json_lines._lines(block)
    return [1, *utf8_faults(lines.data, lines.start, lines.end)]


def _scan(block: Block):
    lines = json_lines._lines(block)
    return texts_in(lines.data, lines.start, lines.end, lines.lows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("events", type=Path)
    arguments.add_argument("--mb", type=float, default=48)
    arguments.add_argument("--block", type=float, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", action="store_true")
    options = arguments.parse_args()
    with options.events.open("rb") as f:
        data = f.read(int(options.mb * 2**20))
    data = data[: data.rfind(b"\n") + 1]
    rows = data.count(b"\n")
    pa.set_cpu_count(1)
    blocks = cut_blocks(data, int(options.block * 2**20))
    with tempfile.NamedTemporaryFile(suffix=".json") as copy:
        copy.write(data)
        copy.flush()
        todo = stages(blocks, Path(copy.name))
        seen: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(options.rounds):
            for name, run in todo.items():
                start = time.process_time()
                run()
                seen[name].append((time.process_time() - start) * ROWS / rows)
    per = len(blocks) / len(blocks[:2])
    seen["general way"] = [x * per for x in seen["general way"]]
    base = seen["DuckDB read_json"]
    print(f"{rows} rows, {len(blocks)} blocks; CPU s for 2 M rows: least, median, share of DuckDB")
    for name, times in seen.items():
        share = statistics.median(a / b for a, b in zip(times, base, strict=True))
        print(f"{name:26}{min(times):7.2f}{statistics.median(times):7.2f}{share:7.2f}")
    if options.threads:
        two_threads(blocks)


def two_threads(blocks: list[Block]) -> None:
    """Wall clock of one thread over that of two."""
    decoder = JsonDecoder(contract())
    ratios = []
    for _ in range(7):
        wall = []
        for threads in (1, 2):
            with ThreadPoolExecutor(threads) as pool:
                start = time.perf_counter()
                list(pool.map(lambda b: decoder.decode(b).rows.num_rows, blocks))
                wall.append(time.perf_counter() - start)
        ratios.append(wall[0] / wall[1])
    print(f"two threads: {statistics.median(ratios):.2f} times as fast as one")


if __name__ == "__main__":
    main()
