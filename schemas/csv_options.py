"""What a pipeline file says of CSV: how its fields are named, cut and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.located import quoted
from schemas.plan import FileSource, Written

_OF_NUMBERS = set('0123456789-+eE"\r\n')


def csv_options(csv: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `FileSource` that the key `csv` sets."""
    given: dict[str, Any] = {"delimiter": csv["delimiter"]} if "delimiter" in csv else {}
    given |= {"skip": csv["skip"]} if "skip" in csv else {}
    given |= {key: tuple(csv[key]) for key in ("nulls", "names") if key in csv}
    plain = Written()
    given["written"] = Written(
        trim=csv.get("trim", plain.trim),
        trues=tuple(csv.get("trues", ())),
        falses=tuple(csv.get("falses", ())),
        decimal=csv.get("decimal", plain.decimal),
        thousands=csv.get("thousands", plain.thousands),
        signs=tuple(csv.get("signs", ())),
    )
    return given


def csv_problems(source: FileSource) -> Iterator[tuple[str, str]]:
    """Yield what is wrong: the key, and `must ...; got ...; what to do`."""
    names, written = source.names, source.written
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        yield "names", f"must differ; got {quoted(twice)} twice; rename one"
    trues, falses = ({word.lower() for word in words} for words in (written.trues, written.falses))
    if both := (trues | {"true"}) & (falses | {"false"}):
        yield "falses", f"must mean false only; got {quoted(min(both))}; remove it from one"
    marks = (written.thousands, written.decimal)
    if written.thousands and (written.thousands in _OF_NUMBERS or marks[0] == marks[1]):
        got = quoted(written.thousands)
        yield "thousands", f"must be no other part of a number; got {got}; correct it"
    for sign in written.signs:
        if set(sign) & {*_OF_NUMBERS, *marks} or sign != sign.strip():
            must = "must hold nothing that is a part of a number, and no space around"
            yield "signs", f"{must}; got {quoted(sign)}; correct it"
