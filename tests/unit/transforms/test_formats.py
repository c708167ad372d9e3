"""Forms of text agree with Python's own parsers."""

from __future__ import annotations

import ipaddress
import re
import uuid

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.formats import FORMATS, format_test

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NEARLY = st.builds(
    lambda text, at, char: text[:at] + char + text[at + 1 :],
    st.uuids().map(str),
    st.integers(0, 36),
    st.sampled_from(["-", "g", "é", "\0", "0", "A", ""]),
)
TEXTS = st.one_of(st.uuids().map(str), NEARLY, st.text(max_size=40))


def keeps(form: str, texts: list[str | None]) -> list[bool | None]:
    result = format_test(form)(pa.array(texts, pa.string()))
    return [None if t is None else True for t in texts] if result is None else result.to_pylist()


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), TEXTS), max_size=8))
def test_a_uuid_is_36_characters_in_the_canonical_form(texts: list[str | None]) -> None:
    expected = [None if t is None else UUID.fullmatch(t) is not None for t in texts]
    assert keeps("uuid", texts) == expected


def test_a_sliced_array_is_looked_at_where_its_slice_is() -> None:
    texts = pa.array(["x", *(str(uuid.UUID(int=i)) for i in range(9000)), None, "y"])
    test = format_test("uuid")
    assert test(texts.slice(1, 9000)) is None
    assert test(texts.slice(1, 9001)) is None
    broken = test(texts)
    assert broken is not None
    assert broken.to_pylist() == [False, *[True] * 9000, None, False]


def test_one_wrong_character_among_thousands_is_found() -> None:
    texts = [str(uuid.UUID(int=i)) for i in range(5000)]
    texts[4321] = texts[4321].replace("-", "_")
    result = keeps("uuid", list(texts))
    assert [i for i, keep in enumerate(result) if not keep] == [4321]


def valid(version: type, text: str) -> bool:
    try:
        version(text)
    except ValueError:
        return False
    return "%" not in text


@settings(max_examples=60)
@given(st.one_of(st.ip_addresses(v=4).map(str), st.from_regex(r"[0-9.]{1,16}", fullmatch=True)))
def test_ipv4_agrees_with_ipaddress(text: str) -> None:
    assert keeps("ipv4", [text]) == [valid(ipaddress.IPv4Address, text)]


IPV6 = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda a: a.exploded),
    st.from_regex(r"[0-9a-fA-F]{0,5}(:{1,2}[0-9a-f]{0,4}){1,8}", fullmatch=True),
    st.from_regex(r"(:{1,2}[0-9a-f]{1,4}){0,6}:{1,2}1\.2\.3\.(4|256)", fullmatch=True),
)


@settings(max_examples=40)
@given(st.lists(IPV6, max_size=20))
def test_ipv6_agrees_with_ipaddress(texts: list[str]) -> None:
    expected = [valid(ipaddress.IPv6Address, text) for text in texts]
    assert keeps("ipv6", list(texts)) == ([True] * len(texts) if all(expected) else expected)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("email", ["a@b", "a.b+c@d-e.example"], ["", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\n"]),
        (
            "uri",
            ["https://a/b?c#d", "urn:isbn:0", "mailto:a@b", "x:"],
            ["", "a/b", "a: b", "x:%zz"],
        ),
        ("hostname", ["a", "a-b.example", "a" * 63], ["", "-a", "a-", "a..b", "a" * 64, "a_b"]),
        ("hostname", [".".join(["a" * 49] * 5)], [".".join(["a" * 63] * 4)]),
    ],
)
def test_other_forms(form: str, good: list[str], bad: list[str]) -> None:
    assert keeps(form, [*good, None, *bad]) == [*[True] * len(good), None, *[False] * len(bad)]


def test_each_form_has_a_test() -> None:
    assert set(FORMATS) == {"uuid", "email", "ipv4", "ipv6", "uri", "hostname"}
    assert all(
        format_test(form)(pa.array([], pa.string())) in (None, pa.array([], pa.bool_()))
        for form in FORMATS
    )
