"""The reference names every key, verb and flag that there is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.cli import VERBS, _parser
from schemas.contract_custom import PREFIX
from schemas.structure import published
from tests.unit.repo.test_repo_hygiene import ROOT

REFERENCE = ROOT / "docs" / "reference"


def _words(page: Path) -> set[str]:
    """Words of a page that are set as code."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"```.*?```|`[^`\n]*(?:\n[^`\n]*)?`", text, re.DOTALL)
    return set(re.findall(r"--?[a-z-]+|(?:penstock:)?\w+", " ".join(code)))


def _keys(node: Any) -> Iterator[str]:
    """Keys that a JSON Schema declares, and the names of our custom properties."""
    if isinstance(node, list):
        for part in node:
            yield from _keys(part)
    if isinstance(node, dict):
        declared = node.get("properties")
        yield from declared if isinstance(declared, dict) else ()
        yield from (v for v in node.get("enum", ()) if str(v).startswith(PREFIX))
        for part in node.values():
            yield from _keys(part)


@pytest.mark.parametrize("name", ["contract", "pipeline"])
def test_every_key_of_a_published_schema_is_in_the_reference(name: str) -> None:
    keys = set(_keys(published(name)))
    assert len(keys) > 30
    assert sorted(keys - _words(REFERENCE / f"{name}.md")) == []


def test_every_verb_and_flag_is_in_the_reference() -> None:
    parsers = [_parser(None)]
    for parser in parsers:  # of verbs, and of their actions
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    flags = {flag for p in parsers for a in p._actions for flag in a.option_strings}
    assert {"--rebuild", "--version", "--records"} <= flags
    missing = {*flags, *VERBS} - _words(REFERENCE / "command.md")
    assert missing - {"-h", "--help"} == set()


def test_the_python_of_the_reference_runs() -> None:
    page = (REFERENCE / "pipeline.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "pipeline.md", "exec"), names)
    made = names["score"](names["pa"].record_batch({"amount": [150.0]}))
    assert made["score"].to_pylist() == [1.5]
