"""What init writes as YAML is read as what was meant."""

from __future__ import annotations

import pytest
import yaml

from beam_pipelines.init_yaml import flow, scalar, sequence

TEXTS = (
    "a b", "no", "Null", "7", "1.5", "1e5", "0x1", "1d", "2024-01-31", "1:30", "a: b", "a #b", "- a", "*a",
    "&a", "!a", "%a", "@a", "", " a", "a ", "a,b", "{a}", "[a]", "'a'", '"a"', "a\\b", "a\nb", "\x85",
    "größe", "数", "Cost Total $", "../x/y-*.csv", "count(*)", "~", "=", "<<", "?", "yes", "Infinity", ".5",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_read_as_the_text_it_was(text: str) -> None:
    assert yaml.safe_load(f"k: {scalar(text)}") == {"k": text}
    assert yaml.safe_load(f"k: {flow({text: text})}") == {"k": {text: text}}
    assert yaml.safe_load(f"k: {sequence([text, 1, True])}") == {"k": [text, 1, True]}


def test_plain_text_has_no_quotes() -> None:
    assert scalar("count(*)") == "count(*)"
    assert scalar("../x/y.csv") == "../x/y.csv"
