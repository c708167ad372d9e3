"""YAML that people write: values, lines, and what is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SpecError
from schemas.located import MAX_BYTES, Located, Problems, did_you_mean, dotted, load, parse

FILE = Path("some.yaml")


def refusal(data: bytes) -> str:
    with pytest.raises(SpecError) as caught:
        parse(data, FILE)
    (problem,) = caught.value.problems
    return f"{problem.line}: {problem.message}"


def test_every_node_knows_its_line() -> None:
    found = parse(
        b"# why\na:\n  b: 1\n  c:\n\n    - x\n    - d: 2\n      e: [3,\n        4]\nf: |\n  text\n",
        FILE,
    )
    assert found.value == {"a": {"b": 1, "c": ["x", {"d": 2, "e": [3, 4]}]}, "f": "text\n"}
    lines = {dotted(path): line for path, line in found.lines.items() if path}
    assert lines == {
        "a": 2, "a.b": 3, "a.c": 4, "a.c[0]": 6, "a.c[1]": 7, "a.c[1].d": 7, "a.c[1].e": 8,
        "a.c[1].e[0]": 8, "a.c[1].e[1]": 9, "f": 10,
    }  # fmt: skip


def test_a_missing_node_has_the_line_of_its_nearest_parent() -> None:
    found = parse(b"a:\n  b: 1\n", FILE)
    assert found.line(("a", "x", 3)) == 1
    assert found.line(("a", "b", "c")) == 2
    assert found.line() == 1


def test_words_that_yaml_1_1_reads_as_booleans_are_text() -> None:
    found = parse(b"on: {no: yes}\noff: [y, n, On, NO]\nt: [true, False, null, ~, ]\n", FILE)
    assert found.value == {
        "on": {"no": "yes"},
        "off": ["y", "n", "On", "NO"],
        "t": [True, False, None, None],
    }


def test_scalars_follow_the_core_schema() -> None:
    text = b"a: [12, -3, +4, 0o17, 0x1F, 1.5, .5, 1e3, 012, 1_000, 0b1, 12:30, 2026-01-31, '7', =]"
    assert parse(text, FILE).value["a"] == [
        12, -3, 4, 15, 31, 1.5, 0.5, 1000.0, 12, "1_000", "0b1", "12:30", "2026-01-31", "7", "=",
    ]  # fmt: skip


def test_keys_are_text_as_in_json() -> None:
    assert parse(b"1: a\ntrue: b\n~: c\n", FILE).value == {"1": "a", "true": "b", "~": "c"}


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    found = parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", FILE)
    assert found.value == {"a": 1, "b": 2}
    assert found.line(("b",)) == 2


REFUSED = [
    (b"", "1: the file must be a mapping of keys; got nothing; write `key: value`"),
    (b"- 1", "1: the file must be a mapping of keys; got a list; write `key: value`"),
    (b"a: 1\nb: 2\na: 3", "3: a key must occur once; got 'a' again; remove one"),
    (b"'1': a\n1: b", "2: a key must occur once; got '1' again; remove one"),
    (
        b"a: 1\nb:\n\tc: 1",
        "3: indentation must be spaces; got a tab; replace it by spaces",
    ),
    (
        b"a: &x [1]\nb: [*x, *x]",
        (
            "1: values must be written out; got an anchor or alias (`&`, `*`); "
            "repeat the value, or put the text in quotes"
        ),
    ),
    (
        b"a: 1\nb: !!python/name:os.system",
        (
            "2: values must be plain; got the tag 'tag:yaml.org,2002:python/name:os.system'; "
            "remove it, or put the text in quotes"
        ),
    ),
    (
        b"a: 1\n---\nb: 1",
        "2: the file must be one document; got a second one after `---`; remove it",
    ),
    (b"a: 1\n[b]: 2", "2: a key must be text; got a mapping or list; write a name"),
    (b"\xff\xfea\x00", "1: the file must be UTF-8; got UTF-16; save it as UTF-8"),
    (b"a: 1\nb: '\xff'", "2: the file must be UTF-8; got byte 0xff; save it as UTF-8"),
    (
        b"a: 1\nb: \x07",
        (
            "2: the file must be printable text; got U+0007; remove it, or write it as an escape "
            'in double quotes ("\\u0007")'
        ),
    ),
    (b'a: "\\0"', "1: text must be Unicode without NUL; got an escape; remove it"),
    (b"a: .inf", "1: a number must be finite; got '.inf'; put text in quotes"),
    (b"a: 1e400", "1: a number must be finite; got '1e400'; put text in quotes"),
    (
        b"a: 1\nb: [1,\nc: 2",
        (
            "3: the file must be YAML; got an error: while parsing a flow sequence from line 2, "
            "did not find expected ',' or ']'; correct it here or above"
        ),
    ),
    (
        b"a: " + b"{b: " * 50,
        "1: nesting must be at most 39 deep; got more; flatten it",
    ),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_is_refused_is_said_with_its_line(data: bytes, message: str) -> None:
    assert refusal(data) == message


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? ", b'a: "', b"&a [", b"a: ["])
def test_deep_or_open_ended_input_ends_in_one_message(opening: bytes) -> None:
    assert refusal(opening * (MAX_BYTES // len(opening)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"a: 1\n" + b"#" * MAX_BYTES)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    expected = {
        large: "the file must be at most 1 MiB; got more; is it the right file?",
        tmp_path / "none": "the file must exist; got no such file; correct the path",
        tmp_path: "the file must exist; got a folder or device; correct the path",
        fifo: "the file must exist; got a folder or device; correct the path",
    }
    for path, message in expected.items():
        with pytest.raises(SpecError) as caught:
            load(path)
        assert str(caught.value) == f"{path}:1: {message}"


def test_problems_are_raised_together_in_file_order() -> None:
    problems = Problems(parse(b"a: 1\nb: 2\n", FILE))
    problems.raise_all()
    problems.add(("b",), "second")
    problems.add(("a",), "first")
    with pytest.raises(SpecError) as caught:
        problems.raise_all()
    assert str(caught.value) == "some.yaml:1: first\nsome.yaml:2: second"


def test_a_near_miss_is_guessed_and_anything_else_listed() -> None:
    assert did_you_mean("requierd", ["required", "unique"]) == "did you mean 'required'?"
    assert did_you_mean("UNIQUE", ["required", "unique"]) == "did you mean 'unique'?"
    assert did_you_mean("zzz", ["required", "unique"]) == "use one of required, unique"
    assert did_you_mean("zzz", []) == ""


YAML = st.text("abn:- {}[],'\"&*!|>#?%@`~\n\t0.1e<=\\x\u2028\ufeff", max_size=60)


@given(st.one_of(st.binary(max_size=80), YAML.map(str.encode)))
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_values_or_a_spec_error(data: bytes) -> None:
    try:
        found = parse(data, FILE)
    except SpecError as error:
        lines = [problem.line for problem in error.problems]
    else:
        assert isinstance(found, Located)
        lines = list(found.lines.values())
    assert all(1 <= line <= len(data.splitlines()) + 1 for line in lines)
