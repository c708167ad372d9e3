"""Row rules of a property: from its type options, its enumeration and its quality checks.

A quality check is a rule of the row when its metric is `nullValues`, `missingValues`,
`duplicateValues` or `invalidValues` (with `validValues` or `pattern`) and it demands `mustBe: 0`.
Checks of type `text` or `custom` are documentation, or another engine's work: kept in the file,
not run. Whatever else would have to be run and is not, is a problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from open_data_contract_standard.model import DataQuality, SchemaProperty

from schemas.contract import Rule
from schemas.contract_forms import iso
from schemas.located import NodePath, Problems, quoted

_TEMPORAL: Final = ("date", "timestamp", "time")
_OPTIONS: Final = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "uniqueItems": "unique_items",
    "pattern": "pattern",
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
}
_RANGES: Final = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
)
_DEMANDS: Final = (
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan",
    "mustBeLessOrEqualTo", "mustBeBetween", "mustNotBeBetween",
)  # fmt: skip


@dataclass(kw_only=True)
class RuleReader:
    """Reads the rules of one property; `required` and `unique` say what quality checks add.

    Attributes:
        path: Dotted path of the column, for messages.
        node: Where the property is in the file.
        kind: The column's Arrow type (of an open object, of its text).
        timezone: Zone of limits that name none.
        warn: Whether all rules of the property only warn.
    """

    problems: Problems
    path: str
    node: NodePath
    logical: str
    kind: pa.DataType
    timezone: str = "UTC"
    warn: bool = False
    required: bool = False
    unique: bool = False
    rules: list[Rule] = field(default_factory=list)

    def read(self, prop: SchemaProperty) -> tuple[Rule, ...]:
        """Return the rules in the order options, enumeration, quality."""
        self._options(prop.logicalTypeOptions or {})
        if prop.enum:
            entries = enumerate(prop.enum)
            values = [((*self.node, "enum", i, "value"), entry.value) for i, entry in entries]
            self._enum(values, refuse=not self.warn)
        for i, check in enumerate(prop.quality or ()):
            self._quality(check, (*self.node, "quality", i))
        return tuple(self.rules)

    def _add(self, kind: str, value: object, *, refuse: bool) -> None:
        self.rules.append(Rule(kind=kind, value=value, refuse=refuse))

    def _options(self, options: dict[str, Any]) -> None:
        node = (*self.node, "logicalTypeOptions")
        values: dict[str, Any] = {}
        for key, value in options.items():
            if key in _OPTIONS and value is not False:
                literal = self._literal(value, (*node, key), key) if "imum" in key else value
                values[key] = literal
        if "pattern" in values and not self._compiles(values["pattern"], (*node, "pattern")):
            del values["pattern"]
        for low, high in _RANGES:
            self._range(values, low, high, node)
        for key, value in values.items():
            if value is not None:
                self._add(_OPTIONS[key], value, refuse=not self.warn)
        if self.logical == "string" and options.get("format", "password") != "password":
            self._add("format", options["format"], refuse=not self.warn)

    def _range(self, values: dict[str, Any], low: str, high: str, node: NodePath) -> None:
        if values.get(low) is None or values.get(high) is None:
            return
        least, most = values[low], values[high]
        strict = low.startswith("exclusive") or high.startswith("exclusive")
        if least > most or (strict and least == most):
            relation = "less than" if strict else "at most"
            self.problems.add(
                (*node, low),
                f"{low} of `{self.path}` must be {relation} its {high}; "
                f"got {quoted(least)} and {quoted(most)}; correct one",
            )

    def _compiles(self, pattern: str, node: NodePath) -> bool:
        try:
            if len(pattern) > 1000:
                message = "more than 1000 characters"
            else:
                pc.match_substring_regex(pa.array([""]), pattern)
                return True
        except pa.ArrowInvalid as error:
            message = str(error).split(": ", 1)[-1]
        self.problems.add(
            node,
            f"pattern of `{self.path}` must be a regular expression (RE2: no look-around, no "
            f"back references); got {message}; rewrite it",
        )
        return False

    def _literal(self, value: object, node: NodePath, what: str) -> Any:
        """Check a value of the contract against the column's type; None after a problem."""
        if self.logical in _TEMPORAL:
            text = iso(value, self.logical, self.timezone)
            if text is not None:
                return text
            shape = {"date": "2026-01-31", "time": "09:30:00"}.get(self.logical)
            must = f"an ISO 8601 {self.logical} ({shape or '2026-01-31T09:30:00Z'})"
        elif self.logical == "string":
            if isinstance(value, str):
                return value
            must = "text"
        elif self.logical == "boolean":
            if isinstance(value, bool):
                return value
            must = "true or false"
        else:
            whole = self.logical == "integer" and "imum" not in what
            number = isinstance(value, int if whole else int | float)
            number &= not isinstance(value, bool)
            if number and self._fits(value):
                return value
            must = "an integer" if whole else "a number"
            must += f" that fits {self.kind}" if number else ""
        advice = "put it in quotes" if must == "text" else "correct it"
        self.problems.add(
            node, f"{what} of `{self.path}` must be {must}; got {quoted(value)}; {advice}"
        )
        return None

    def _fits(self, value: Any) -> bool:
        if not pa.types.is_decimal(self.kind):
            fits = isinstance(value, float) or -(2**63) <= value < 2**63
            return fits and (not pa.types.is_int32(self.kind) or abs(value) <= 2**31)
        try:
            pa.scalar(Decimal(str(value))).cast(self.kind)
        except pa.ArrowInvalid:
            return False
        return True

    def _enum(self, values: Iterable[tuple[NodePath, object]], *, refuse: bool) -> None:
        if self.logical in ("object", "array"):
            self.problems.add(
                (*self.node, "enum"),
                f"`{self.path}` must be a scalar to have an enumeration; got {self.logical}; "
                "declare it on its keys or items",
            )
            return
        allowed: dict[object, None] = {}  # in file order
        for node, value in values:
            literal = self._literal(value, node, "a value of the enumeration")
            if literal is not None and literal in allowed:
                self.problems.add(
                    node,
                    f"values of the enumeration of `{self.path}` must differ; "
                    f"got {quoted(value)} twice; remove one",
                )
            elif literal is not None:
                allowed[literal] = None
        self._add("enum", tuple(allowed), refuse=refuse)

    def _quality(self, check: DataQuality, node: NodePath) -> None:
        if not runs(check):
            return
        metric, arguments = check.metric, check.arguments or {}
        valid = {"validValues", "pattern"} & set(arguments)
        row_rule = metric in ("nullValues", "missingValues", "duplicateValues") and not arguments
        row_rule |= metric == "invalidValues" and len(valid) == len(arguments) == 1
        demands = {key: getattr(check, key) for key in _DEMANDS if getattr(check, key) is not None}
        if not row_rule or demands != {"mustBe": 0} or isinstance(demands["mustBe"], bool):
            self.problems.add(node, unsupported(f"a quality check of `{self.path}`"))
            return
        refuse = not (self.warn or only_warns(check))
        values = arguments.get("validValues")
        if isinstance(values, list) and values:
            base = (*node, "arguments", "validValues")
            self._enum([((*base, i), value) for i, value in enumerate(values)], refuse=refuse)
        elif metric == "invalidValues":
            pattern = arguments.get("pattern")
            if self.logical != "string" or not isinstance(pattern, str):
                self.problems.add(node, unsupported(f"a quality check of `{self.path}`"))
            elif self._compiles(pattern, (*node, "arguments", "pattern")):
                self._add("pattern", pattern, refuse=refuse)
        elif not refuse:
            self.problems.add(
                node,
                f"{metric} of `{self.path}` must refuse; got a check that only warns; "
                "remove the severity, or write it as type: text",
            )
        elif metric == "duplicateValues":
            self.unique = True
        else:
            self.required = True


def runs(check: DataQuality) -> bool:
    """Whether a quality check has to be run by us."""
    kind = check.type or ("library" if check.metric or check.rule else "text")
    return kind not in ("text", "custom")


def unsupported(what: str) -> str:
    """Say which quality checks are run."""
    return (
        f"{what} must be a rule of each row: metric nullValues, missingValues, duplicateValues or "
        "invalidValues (arguments validValues or pattern) with mustBe: 0; got another; "
        "write it as type: text, or type: custom for the engine that runs it"
    )


def only_warns(check: DataQuality) -> bool:
    """Whether a broken check is counted and the row kept: `penstock:onFailure`, else severity."""
    for entry in check.customProperties or ():
        if entry.property == "penstock:onFailure":
            return entry.value == "warn"
    return (check.severity or "").lower() in ("info", "warning")
