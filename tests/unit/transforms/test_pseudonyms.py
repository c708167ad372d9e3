"""Pseudonyms are HMAC-SHA-256 of a value's canonical text, as Python's own hmac makes it."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.keys import Key
from transforms.pseudonyms import LENGTH, canonical_text, pseudonymize


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.text())), st.text(min_size=1, max_size=100))
def test_a_pseudonym_equals_the_standard_librarys(values: list[str | None], secret: str) -> None:
    key = Key(secret)
    made = [
        None
        if value is None
        else f"{key.id}:{hmac.new(secret.encode(), value.encode(), hashlib.sha256).hexdigest()}"
        for value in values
    ]
    result = pseudonymize(pa.array(values, pa.string()), key)
    assert result.type == pa.string()
    assert result.to_pylist() == made
    assert all(len(pseudonym) == LENGTH for pseudonym in made if pseudonym)


UTC = dt.datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.string(), " é\n", " é\n"),
        (pa.large_string(), "a", "a"),
        (pa.dictionary(pa.int32(), pa.string()), "a", "a"),
        (pa.int64(), -7, "-7"),
        (pa.float64(), 1.0, "1"),
        (pa.float64(), 0.1, "0.1"),
        (pa.float64(), 1e300, "1e+300"),
        (pa.decimal128(10, 2), Decimal("1.50"), "1.50"),
        (pa.bool_(), True, "true"),
        (pa.date32(), dt.date(2026, 1, 31), "2026-01-31"),
        (pa.time64("us"), dt.time(9, 30), "09:30:00.000000"),
        (pa.timestamp("us", "UTC"), UTC, "2026-01-31T12:00:00.000005Z"),
        (pa.timestamp("us", "Asia/Seoul"), UTC, "2026-01-31T12:00:00.000005Z"),
        (pa.timestamp("s"), dt.datetime(2026, 1, 31), "2026-01-31T00:00:00.000000"),  # noqa: DTZ001
        (pa.binary(), b"\x00\xff", "00ff"),
    ],
)
def test_canonical_texts_stay_as_they_are_for_good(
    kind: pa.DataType, value: Any, text: str
) -> None:
    # Tables hold pseudonyms of these texts: a change here orphans them.
    array = pa.array([value, None], pa.string() if pa.types.is_dictionary(kind) else kind).cast(
        kind
    )
    assert canonical_text(array).to_pylist() == [text, None]


def test_text_and_number_of_one_identity_have_one_pseudonym() -> None:
    key = Key("x" * 16)
    assert pseudonymize(pa.array([42]), key) == pseudonymize(pa.array(["42"]), key)


def test_another_key_makes_another_pseudonym_and_says_which_it_is() -> None:
    values = pa.array(["a"])
    first, second = (pseudonymize(values, Key(c * 16))[0].as_py() for c in "xy")
    assert first.split(":")[1] != second.split(":")[1]
    assert first.split(":")[0] == Key("x" * 16).id
