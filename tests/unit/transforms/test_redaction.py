"""What is told inside free texts by its form, and what looks alike and is not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas.protection import KINDS, Mask
from transforms.generalizing import masked
from transforms.redaction import FORMS, redacted

FOUND = [
    ("write to Ann.O'Neil+x@mail.example.org.", "write to [email]."),
    ("Jürgen <jürgen@bücher.example>", "Jürgen <[email]>"),
    ("at ftp://u:p@host.example/x", "at ftp://u:[email]/x"),
    ("card 4111-1111 1111 1111 declined", "card [card] declined"),
    ("paid by 4111111111111111, ok", "paid by [card], ok"),
    ("amex 378282246310005", "amex [card]"),
    ("from DE89 3704 0044 0532 0130 00 today", "from [iban] today"),
    ("call +49 (0)30 123456-78 now", "call [phone] now"),
    ("call (212) 555-0123 or 212-555-0199", "call [phone] or [phone]"),
    ("ring 0049 30 1234567", "ring [phone]"),
    ("London 020 7946 0958", "London [phone]"),
    ("Paris 06 12 34 56 78, 01.23.45.67.89", "Paris [phone], [phone]"),
    ("mobil 0171/123 45 67, Büro 030 12 34 56 78", "mobil [phone], Büro [phone]"),
    ("https://shop.example/?mail=ann%40mail.example&x=1", "https://shop.example/?mail=[email]&x=1"),
    ("jose\u0301@mail.example", "[email]"),
    ("ann@пошта.xn--p1ai.", "[email]."),
    ("ssn 078-05-1120", "ssn [national]"),
    ("nino QQ 12 34 56 C", "nino [national]"),
    ("cf RSSMRA85T10A562S", "cf [national]"),
    ("cpf 111.444.777-35", "cpf [national]"),
    ("login from 192.168.7.1.", "login from [ip]."),
    ("http://10.1.2.3:8080/x", "http://[ip]:8080/x"),
    ("1.1.1.1 2.2.2.2", "[ip] [ip]"),
    ("refused: /10.0.0.1:54321", "refused: /[ip]:54321"),
    ("from 2001:db8::8a2e:370:7334 and fe80::1", "from [ip] and [ip]"),
]
LIKE = [
    "Mozilla/5.0 (X11) Chrome/120.0.0.0 Safari/537.36",
    "order 12345678, 3 items at 19.99",
    "from 2024-01-31 10:00:00 to 2024-02-01T11:30:00+01:00",
    "epoch 1700000000123",
    "550e8400-e29b-41d4-a716-446655440000",
    "release v1.2.3.4 of 10:20:30",
    "see RFC 3986 section 3.2.2",
    "ISBN 978-3-16-148410-0",
    "a @handle and a ratio of 3:2",
    "Zimmer 12-14, 3. Stock",
    "from 01-02-2024 to 03-04-2024, 01.02.24 08.30",
    "part 012 34 56, lot 07 11 13",
    "40.7128, -74.0060",
]


@pytest.mark.parametrize(("text", "left"), FOUND, ids=[text for text, _ in FOUND])
def test_what_names_a_person_goes_and_the_text_around_it_stays(text: str, left: str) -> None:
    assert redacted(pa.array([text, None, "plain"]), KINDS).to_pylist() == [left, None, "plain"]


@pytest.mark.parametrize("text", LIKE)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert redacted(pa.array([text]), KINDS).to_pylist() == [text]


def test_only_the_kinds_that_are_asked_for_go() -> None:
    texts = pa.array(["a@b.de from 10.1.2.3"])
    assert masked(texts, Mask(within=("ip",))).to_pylist() == ["a@b.de from [ip]"]


def test_each_kind_that_a_contract_may_name_has_a_form() -> None:
    assert set(FORMS) == set(KINDS)
