"""A contract's text is changed where it must be, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from beam_pipelines.contract_text import ContractText, EditError, minor, read_text
from schemas.located import parse

BLOCK = """\
# Ours.
version: "1.0.0"   # raised often
schema:
  - name: t
    properties:
      # The first.
      - name: a
        logicalType: integer   # small
        physicalType: INT

      - name: b
        description: |
          Two lines,
            one indented.
        logicalType: number
        physicalType: DECIMAL(6,2)
    # The end.
slaProperties: []
"""
FLOW = """\
version: '3'
schema:
- name: t
  properties:
  - {name: a, logicalType: integer, physicalType: INT}
  - {name: b, logicalType: number, physicalType: "DECIMAL(6,2)"}
"""
NEW = ["# Seen.", "- name: c", "  logicalType: object", "  properties:", "    - name: d"]


def text_of(text: str) -> ContractText:
    return read_text(text, parse(text.encode(), Path("c.yaml")))


def changed(before: str, after: ContractText) -> list[str]:
    """Lines that are new, and (with a minus) lines that are gone."""
    old, new = before.split("\n"), after.text.split("\n")
    gone = [f"-{line}" for line in old if line not in new]
    return [*gone, *(line for line in new if line not in old)]


def test_a_property_is_added_behind_the_last_one() -> None:
    after = text_of(BLOCK).with_property(NEW)
    assert changed(BLOCK, after) == [f"      {line}" for line in NEW]
    rows = after.text.split("\n")
    assert rows.index("      # Seen.") == rows.index("        physicalType: DECIMAL(6,2)") + 1
    assert changed(FLOW, text_of(FLOW).with_property(NEW)) == [f"  {line}" for line in NEW]


def test_line_ends_of_another_system_stay() -> None:
    text = BLOCK.replace("\n", "\r\n")
    after = text_of(text).with_property(NEW).with_version("1.1.0").with_type("a", "number", None)
    assert after.text.count("\n") == after.text.count("\r\n")


def test_a_type_is_changed_on_its_line() -> None:
    after = text_of(BLOCK).with_type("a", "number", None)
    assert changed(BLOCK, after) == [
        "-        logicalType: integer   # small",
        "-        physicalType: INT",
        "        logicalType: number   # small",
    ]
    after = text_of(BLOCK).with_type("b", "number", "DECIMAL(9,2)")
    assert changed(BLOCK, after) == [
        "-        physicalType: DECIMAL(6,2)",
        "        physicalType: DECIMAL(9,2)",
    ]
    after = text_of(FLOW).with_type("a", "integer", None)
    assert "  - {name: a, logicalType: integer}" in after.text.split("\n")
    after = text_of(FLOW).with_type("b", "number", "DECIMAL(9,2)")
    assert '  - {name: b, logicalType: number, physicalType: "DECIMAL(9,2)"}' in after.text


@pytest.mark.parametrize(
    ("listed", "after"),
    [
        (
            "enum: [{value: x}, {value: y}]  # few",
            'enum: [{value: x}, {value: y}, {value: z}, {value: "7"}]  # few',
        ),
        (
            "quality: [{metric: invalidValues, arguments: {validValues: [x, y]}, mustBe: 0}]",
            'quality: [{metric: invalidValues, arguments: {validValues: [x, y, z, "7"]}, mustBe: 0}]',
        ),
        (
            "enum:\n    - {value: x}\n    - value: y\n      description: why",
            'enum:\n    - {value: x}\n    - value: y\n      description: why\n    - {value: z}\n    - {value: "7"}',
        ),
        (
            "quality:\n    - metric: invalidValues\n      arguments:\n        validValues:\n        - x\n      mustBe: 0",
            'quality:\n    - metric: invalidValues\n      arguments:\n        validValues:\n        - x\n        - z\n        - "7"\n      mustBe: 0',
        ),
    ],
)
def test_values_are_added_behind_those_that_an_enumeration_lists(listed: str, after: str) -> None:
    text = f"version: '1'\nschema:\n- properties:\n  - name: o\n    {listed}\n    # The end.\n  - {{name: p}}\n"
    made = text_of(text).with_values("o", ["z", "7"])
    assert made.text == text.replace(listed, after)


@pytest.mark.parametrize(
    "listed", ["enum: [\n    {value: x}]", 'enum: [{value: "]"}]', "logicalType: string"]
)
def test_an_enumeration_in_another_style_is_said_to_be_changed_by_hand(listed: str) -> None:
    text = f"version: '1'\nschema:\n- properties:\n  - name: o\n    {listed}\n"
    with pytest.raises(EditError, match=r"write it by hand:\nenum of o: \{value: z\}"):
        text_of(text).with_values("o", ["z"])


def test_a_version_keeps_its_quotes_and_comment() -> None:
    assert changed(BLOCK, text_of(BLOCK).with_version("1.1.0")) == [
        '-version: "1.0.0"   # raised often',
        'version: "1.1.0"   # raised often',
    ]
    assert "version: '3.1'" in text_of(FLOW).with_version("3.1").text


@pytest.mark.parametrize(
    "text",
    [
        "version: '1'\nschema: [{name: t, properties: [{name: a, logicalType: integer}]}]\n",
        "version: '1'\nschema:\n- name: t\n  properties: [\n    {name: a, logicalType: integer}]\n",
    ],
)
def test_a_style_that_cannot_be_changed_line_by_line_is_left_with_the_lines_to_write(
    text: str,
) -> None:
    with pytest.raises(EditError, match=r"write it by hand:\n# Seen.\n- name: c"):
        text_of(text).with_property(NEW)


def test_a_type_written_over_two_lines_is_left() -> None:
    text = FLOW.replace("logicalType: integer", "logicalType:\n      integer")
    with pytest.raises(EditError, match="logicalType: number"):
        text_of(text).with_type("a", "number", None)


@pytest.mark.parametrize(
    ("version", "raised"),
    [("1.0.0", "1.1.0"), ("1.2.3", "1.3.0"), ("7", "7.1"), ("1.9", "1.10"), ("v2", None)],
)
def test_a_version_is_raised_by_a_minor_one(version: str, raised: str | None) -> None:
    assert minor(version) == raised
