"""Durations and references: text in, one value or one clear refusal out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.durations import LONGEST, format_duration, parse_duration
from schemas.references import MissingReferenceError, problem, references, resolve


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("250ms", 250_000), ("30s", 30_000_000), ("10m", 600_000_000), ("2h", 7_200_000_000)],
)
def test_a_duration_is_microseconds(text: str, microseconds: int) -> None:
    assert parse_duration(text) == microseconds


def test_a_day_is_twenty_four_hours() -> None:
    assert parse_duration("1d") == parse_duration("24h")


@given(st.integers(0, LONGEST // 1_000))
def test_a_duration_that_is_written_is_read_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds * 1_000)) == milliseconds * 1_000


@given(st.text(max_size=20))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    try:
        found = parse_duration(text)
    except ValueError as error:
        message = str(error)
        assert message.startswith("must be ")
        assert message.count("; ") >= 2
    else:
        assert 0 <= found <= LONGEST


@pytest.mark.parametrize("text", ["", "1", "1 d", "1.5h", "-1s", "1w", "1D", "\u0661s", "40000d"])
def test_a_duration_has_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


def test_a_reference_is_resolved_when_it_is_used_and_only_once() -> None:
    values = {"HOST": "${PORT}", "PORT": "9092"}
    assert references("${HOST}:${PORT}") == ("HOST", "PORT")
    assert resolve("${HOST}:${PORT}", values) == "${PORT}:9092"


def test_a_missing_reference_is_named_and_no_value_with_it() -> None:
    with pytest.raises(MissingReferenceError) as caught:
        resolve("${USER}:${PASSWORD}", {"USER": "secret"})
    assert str(caught.value) == (
        "${PASSWORD} must have a value when it is used; got none; "
        "set the environment variable PASSWORD"
    )


@pytest.mark.parametrize("text", ["${}", "${A-B}", "${A", "x${1}"])
def test_a_broken_reference_is_told(text: str) -> None:
    assert problem(text) is not None
    assert problem("$A {B} ${C}") is None
