"""JSON lines that a run would take, and why it would refuse the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from schemas.contract import Contract
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block

_ANY: Final = Contract(
    id="", name="", version="", file=Path(), columns=(), event_time=None, primary_key=(), hash=""
)
"""Declares nothing, so only what is no record at all is refused."""


def taken(blocks: Sequence[Block]) -> tuple[list[bytes], Counter[str]]:
    """Return the lines that decode takes, by block, and how many it refuses for which reason."""
    decoder = JsonDecoder(_ANY)
    lines: list[bytes] = []
    reasons: Counter[str] = Counter()
    for block in blocks:
        decoded = decoder.decode(block)
        if decoded.refused is None:
            assert isinstance(block.data, np.ndarray)  # noqa: S101  # of a text format
            lines.append(block.data.tobytes())
            continue
        reasons.update(decoded.refused.column("reason").to_pylist())
        lines.append(b"\n".join(decoded.records(decoded.rows).to_pylist()))
    return lines, reasons
