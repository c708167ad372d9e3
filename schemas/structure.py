"""Checks the shape of a file against a published JSON Schema and says it in our words.

The schema is the one that editors use, so that both say no to the same files; only the messages
are ours: line, place, what must hold, what was found, what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from schemas.fits import fits
from schemas.located import NodePath, Problems, did_you_mean, dotted, quoted

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_TYPES: Final = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


@cache
def published(name: str) -> dict[str, Any]:
    """Return a published JSON Schema by name (`contract`, `pipeline`, `plan`)."""
    text = resources.files("schemas").joinpath("json_schema", f"{name}.schema.json")
    loaded: dict[str, Any] = json.loads(text.read_text(encoding="utf-8"))
    return loaded


def check_structure(problems: Problems, schema: dict[str, Any]) -> list[NodePath]:
    """Add a problem for each place where the file breaks the schema.

    Of `oneOf` and `anyOf` only the branch that fits best is reported. A schema may carry
    `x-message` beside its keywords (`{"pattern": ..., "x-message": "must be a name"}`): it replaces
    `must match the pattern ...`, though not `must be text`.

    Args:
        problems: Where to add; it holds the file.
        schema: JSON Schema, draft 2019-09.

    Returns:
        The nodes that are wrong: a value of a wrong form, an unknown key, or the mapping that lacks
        one.
    """
    if fits(problems.located.value, schema):
        return []
    from jsonschema import Draft201909Validator  # noqa: PLC0415  slow, and nearly never needed

    broken: list[NodePath] = []
    for error in Draft201909Validator(schema).iter_errors(problems.located.value):
        for path, message in _explain(error, ()):
            problems.add(path, message)
            broken.append(path)
        if problems.full:
            break
    return broken


def _explain(error: ValidationError, base: NodePath) -> Iterator[tuple[NodePath, str]]:
    path: NodePath = (*base, *error.relative_path)
    if error.context and error.validator in ("oneOf", "anyOf"):
        yield from _best_branch(error, path)
    elif error.validator in ("additionalProperties", "unevaluatedProperties"):
        yield from _unknown_keys(error, path)
    elif error.validator == "required":
        yield from _missing_keys(error, path)
    else:
        yield path, f"{_place(path)} {_must(error)}"


def _best_branch(error: ValidationError, path: NodePath) -> Iterator[tuple[NodePath, str]]:
    """Explain a value that fits none of several forms by the form it comes closest to."""
    branches: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(int(inner.relative_schema_path[0]), []).append(inner)
    if not branches:  # fits several of `oneOf`
        yield path, f"{_place(path)} must be of one form; got a mix of several; remove one"
        return
    kinds = [e.validator_value for e in error.context or () if _is_whole(e, "type")]
    if len(kinds) == len(branches):
        names = [_TYPES.get(k, str(k)) for k in kinds if isinstance(k, str)]
        found = f"got {quoted(error.instance)}; correct it"
        yield path, f"{_place(path)} must be {' or '.join(dict.fromkeys(names))}; {found}"
        return
    lacks: list[Any] = [
        e for errors in branches.values() for e in errors if _is_whole(e, "required")
    ]
    known = [key for e in lacks if len(keys := list(e.validator_value)) == 1 for key in keys]
    if isinstance(error.instance, dict) and len(set(known)) == len(branches):
        keys = [key for key in error.instance if key not in _properties(branches)]
        got = quoted(keys[0]) if keys else quoted(error.instance)
        must = f"{_place(path)} must have one of the keys {', '.join(known)}"
        hint = did_you_mean(keys[0], known) if keys else "add one"
        yield path, f"{must}; got {got}; {hint}"
        return
    # A branch that fails on the value as a whole is further away than one that fails inside it.
    best = min(
        branches.values(),
        key=lambda errors: (
            any(_is_whole(e, "type") for e in errors),
            sum(not e.relative_path for e in errors),
            len(errors),
        ),
    )
    for inner in best:
        yield from _explain(inner, path)


def _is_whole(error: ValidationError, validator: str) -> bool:
    return error.validator == validator and not error.relative_path


def _properties(branches: dict[int, list[ValidationError]]) -> set[str]:
    schemas: list[Any] = [e.schema for errors in branches.values() for e in errors]
    return {
        key
        for schema in schemas
        if isinstance(schema, dict)
        for key in schema.get("properties", {})
    }


def _unknown_keys(error: Any, path: NodePath) -> Iterator[tuple[NodePath, str]]:
    known = list(error.schema.get("properties", {}))
    where = f" of {_place(path)}" if path else ""
    for key in error.instance:
        if key not in known:
            hint = did_you_mean(key, known) or "remove it"
            yield (
                (*path, key),
                f"a key{where} must be one that is known here; got {quoted(key)}; {hint}",
            )


def _missing_keys(error: Any, path: NodePath) -> Iterator[tuple[NodePath, str]]:
    # jsonschema makes one error for each missing key and names it only at the start of its text.
    key = next(k for k in error.validator_value if error.message.startswith(repr(k)))
    strange = (k for k in error.instance if k not in error.schema.get("properties", {}))
    similar = did_you_mean(key, strange)
    hint = f"rename {similar[13:-1]}" if similar.startswith("did you mean") else "add it"
    yield path, f"{_place(path)} must have `{key}`; got none; {hint}"


def _place(path: NodePath) -> str:
    return f"`{dotted(path)}`" if path else "the file"


def _must(error: Any) -> str:
    """Say what must hold, what was found and what to do, for errors about one value."""
    value, argument = error.instance, error.validator_value
    own = error.schema if isinstance(error.schema, dict) else {}
    got = f"got {own.get('x-got') or quoted(value)}"
    ours = own.get("x-message")
    if ours and ("x-got" in own or not (error.validator == "type" and argument == "string")):
        return f"{ours}; {got}; correct it"
    match error.validator:
        case "type":
            kinds = [argument] if isinstance(argument, str) else argument
            must = " or ".join(_TYPES.get(kind, kind) for kind in kinds)
            number = isinstance(value, (int, float)) and "string" in kinds
            return f"must be {must}; {got}; {'put it in quotes' if number else 'correct it'}"
        case "enum":
            options = [option for option in argument if isinstance(option, str)]
            hint = did_you_mean(value if isinstance(value, str) else "", options)
            if not hint.startswith("did you mean"):
                hint = "correct it"
            shown = ", ".join(str(option) for option in argument)
            return f"must be {'one of ' * (len(argument) > 1)}{shown}; {got}; {hint}"
        case "const":
            return f"must be {quoted(argument)}; {got}; correct it"
        case "minimum" | "exclusiveMinimum":
            bound = "at least" if error.validator == "minimum" else "more than"
            return f"must be {bound} {argument}; {got}; correct it"
        case "maximum" | "exclusiveMaximum":
            bound = "at most" if error.validator == "maximum" else "less than"
            return f"must be {bound} {argument}; {got}; correct it"
        case "minItems" | "minProperties" | "minLength":
            return f"must not be empty; {got}; add at least {argument}"
        case "maxItems" | "maxProperties" | "maxLength":
            return f"must have at most {argument} entries or characters; got more; shorten it"
        case "uniqueItems":
            return "must not repeat an entry; got one twice; remove it"
        case "pattern":
            return f"must match the pattern {argument}; {got}; correct it"
        case _:
            return f"must hold to the JSON Schema ({error.validator}); {got}; correct it"
