"""Whether a value fits a JSON Schema: yes, or look closer.

A file is right nearly always, and `jsonschema` takes longer to import than a file takes to be
checked. It is asked only about a value that does not fit here, or about a schema with a keyword
that is not known here: all explanations are its.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

_NUMBER: Final = (int, float)
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": _NUMBER,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_SAY_NOTHING: Final = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "examples", "x-message", "x-got"}
)
_WITH_ANOTHER: Final = frozenset({"then", "else"})  # `if` reads them


class _UnsureError(Exception):
    """Draft 2019-09 may see it either way; jsonschema knows."""


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is surely valid; False means that it may or may not be.

    Args:
        value: Plain JSON values.
        schema: JSON Schema, draft 2019-09, whose `$ref` are of the form `#/$defs/name`.
    """
    try:
        return _fits(value, schema, schema)
    except _UnsureError:
        return False


def _fits(value: Any, schema: Any, root: Any) -> bool:
    if isinstance(schema, bool):
        return schema
    for keyword, argument in schema.items():
        if keyword in _SAY_NOTHING or keyword in _WITH_ANOTHER:
            continue
        test = _KEYWORDS.get(keyword)
        if test is None:
            raise _UnsureError
        if not test(value, argument, schema, root):
            return False
    return True


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, float) and name == "integer":
        raise _UnsureError
    return isinstance(value, _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, (list, dict)) or isinstance(value, bool) is not isinstance(other, bool):
        raise _UnsureError
    return bool(value == other)


def _unique(values: list[Any]) -> bool:
    if any(isinstance(value, (list, dict, bool)) for value in values):
        raise _UnsureError
    return len(set(values)) == len(values)


def _of(kinds: type | tuple[type, ...], test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    """Make a keyword that says something about one kind of value only."""

    def keyword(value: Any, argument: Any, _schema: Any, _root: Any) -> bool:
        concerned = isinstance(value, kinds) and not isinstance(value, bool)
        return not concerned or test(value, argument)

    return keyword


def _items(value: Any, argument: Any, _schema: Any, root: Any) -> bool:
    if isinstance(argument, list):
        raise _UnsureError
    return not isinstance(value, list) or all(_fits(item, argument, root) for item in value)


def _properties(value: Any, argument: Any, _schema: Any, root: Any) -> bool:
    return not isinstance(value, dict) or all(
        _fits(value[key], argument[key], root) for key in value if key in argument
    )


def _additional(value: Any, argument: Any, schema: Any, root: Any) -> bool:
    known = schema.get("properties", {})
    return not isinstance(value, dict) or all(
        _fits(value[key], argument, root) for key in value if key not in known
    )


def _names(value: Any, argument: Any, _schema: Any, root: Any) -> bool:
    return not isinstance(value, dict) or all(_fits(key, argument, root) for key in value)


def _if(value: Any, argument: Any, schema: Any, root: Any) -> bool:
    branch = "then" if _fits(value, argument, root) else "else"
    return branch not in schema or _fits(value, schema[branch], root)


def _ref(value: Any, argument: str, _schema: Any, root: Any) -> bool:
    start, _, name = argument.rpartition("/")
    if start != "#/$defs" or name not in root["$defs"]:
        raise _UnsureError
    return _fits(value, root["$defs"][name], root)


def _type(value: Any, argument: Any, _schema: Any, _root: Any) -> bool:
    return any(_is(value, name) for name in ([argument] if isinstance(argument, str) else argument))


_KEYWORDS: Final[dict[str, Callable[..., bool]]] = {
    "$ref": _ref,
    "additionalProperties": _additional,
    "allOf": lambda v, a, _s, r: all(_fits(v, part, r) for part in a),
    "anyOf": lambda v, a, _s, r: any(_fits(v, part, r) for part in a),
    "const": lambda v, a, _s, _r: _same(v, a),
    "enum": lambda v, a, _s, _r: any(_same(v, option) for option in a),
    "exclusiveMaximum": _of(_NUMBER, lambda v, a: v < a),
    "exclusiveMinimum": _of(_NUMBER, lambda v, a: v > a),
    "if": _if,
    "items": _items,
    "maxItems": _of(list, lambda v, a: len(v) <= a),
    "maxLength": _of(str, lambda v, a: len(v) <= a),
    "maximum": _of(_NUMBER, lambda v, a: v <= a),
    "minItems": _of(list, lambda v, a: len(v) >= a),
    "minLength": _of(str, lambda v, a: len(v) >= a),
    "minProperties": _of(dict, lambda v, a: len(v) >= a),
    "minimum": _of(_NUMBER, lambda v, a: v >= a),
    "not": lambda v, a, _s, r: not _fits(v, a, r),
    "oneOf": lambda v, a, _s, r: sum(_fits(v, part, r) for part in a) == 1,
    "pattern": _of(str, lambda v, a: re.search(a, v) is not None),
    "properties": _properties,
    "propertyNames": _names,
    "required": _of(dict, lambda v, a: all(key in v for key in a)),
    "type": _type,
    "uniqueItems": lambda v, a, _s, _r: not (a and isinstance(v, list)) or _unique(v),
}
