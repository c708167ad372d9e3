"""Contracts for tests that need columns and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from schemas.contract import Column, Contract


def column(name: str, logical: str, kind: pa.DataType, **options: object) -> Column:
    return Column(**{"name": name, "path": name, "logical": logical, "type": kind, **options})


def contract(*columns: Column, event_time: str | None = None) -> Contract:
    return Contract(
        id="t",
        name="t",
        version="1",
        file=Path("contract.odcs.yaml"),
        columns=columns,
        event_time=event_time,
        primary_key=(),
        hash="",
    )
