"""Properties of a contract as columns: types, nesting, rules and protection.

An object without declared keys, or with `penstock:open: true`, is open, and so is every object
inside it: what is not declared stays. Open objects stand at the top level.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
from open_data_contract_standard.model import SchemaProperty

from schemas.contract import Column, OnChange
from schemas.contract_custom import ours
from schemas.contract_forms import names_zone, strptime_forms, zone
from schemas.contract_protection import protect
from schemas.contract_rules import RuleReader
from schemas.contract_types import scalar_type
from schemas.located import NodePath, Problems, did_you_mean, quoted

MAX_NAME: Final = 128


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a property stands: the dotted path before it, and what it inherits.

    `decided` are the items of an array that says itself how they are protected.
    """

    prefix: str = ""
    top: bool = True
    open: bool = False
    classification: str | None = None
    decided: bool = False


def not_lacking(column: Column, got: str) -> str:
    """Say that files cannot be without a column, and what it is."""
    must = "a top-level property that is read and not required for files to be without it"
    return f"`{column.path}` must be {must}; got one that is {got}; remove penstock:mayLack"


class ColumnReader:
    """Reads the properties of one schema object; `nodes` then says where each column stands."""

    def __init__(self, problems: Problems, broken: frozenset[NodePath]) -> None:
        """Take where to add problems and the properties whose shape is already known as broken."""
        self.problems = problems
        self.broken = broken
        self.nodes: dict[str, NodePath] = {}

    def read(self, properties: Sequence[SchemaProperty], node: NodePath) -> tuple[Column, ...]:
        """Return the top-level columns in file order; positions of the key are not checked."""
        return self._columns(properties, node, _Place())

    def _columns(
        self, properties: Sequence[SchemaProperty], node: NodePath, place: _Place
    ) -> tuple[Column, ...]:
        columns: list[Column] = []
        seen: dict[str, str] = {}
        keys: dict[str, str] = {}
        for i, prop in enumerate(properties):
            name, here = prop.name or "", (*node, i)
            if not self._is_broken(here):
                self._name(name, (*here, "name"), seen)
            columns.append(self._column(prop, here, name, f"{place.prefix}{name}", place))
            self._one_key(columns[-1], here, keys)
        return tuple(columns)

    def _name(self, name: str, node: NodePath, seen: dict[str, str]) -> None:
        if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
            must = f"1 to {MAX_NAME} printable characters, no space around"
        elif name.startswith("_"):
            must = "free of a leading `_` (such names are ours)"
        elif "." in name or '"' in name:
            must = "free of dots and double quotes (paths are written with dots)"
        else:
            folded = unicodedata.normalize("NFKC", name).casefold()
            if folded in seen:
                self.problems.add(
                    node,
                    "names must differ in more than case and Unicode form (warehouses ignore it); "
                    f"got {quoted(name)} beside {quoted(seen[folded])}; rename or remove one",
                )
            seen.setdefault(folded, name)
            return
        self.problems.add(node, f"a name must be {must}; got {quoted(name)}; rename it")

    def _one_key(self, column: Column, node: NodePath, keys: dict[str, str]) -> None:
        """Note by which key a column is read, and refuse to read a second by the same one."""
        if column.read and keys.setdefault(column.key, column.name) != column.name:
            self.problems.add(
                node,
                "properties must be read by different keys; "
                f"got {quoted(column.key)} for `{keys[column.key]}` and `{column.path}`; "
                "correct a physicalName, or compute one with transformLogic",
            )

    def _is_broken(self, node: NodePath) -> bool:
        return node in self.broken

    def _column(
        self, prop: SchemaProperty, node: NodePath, name: str, path: str, place: _Place
    ) -> Column:
        self.nodes.setdefault(path, node)
        logical = prop.logicalType or "string"
        custom = ours(prop.customProperties, node, self.problems)
        own = (prop.classification or "").strip() or None
        classification = own if own is not None else place.classification
        if classification is not None and classification.lower() == "public":
            classification = None
        column = Column(
            name=name,
            path=path,
            type=pa.string(),
            logical=logical,
            required=bool(prop.required),
            unique=bool(prop.unique),
            primary_key=1 if prop.primaryKey else None,
            classification=classification,
            transform=prop.transformLogic,
            description=prop.description or "",
            physical=prop.physicalName if prop.physicalName != name and place.top else None,
            on_change=mode_of(custom.get("onChange")),
            may_lack=custom.get("mayLack") is True,
        )
        decided = "protect" in custom
        inner = replace(
            place,
            top=False,
            prefix=f"{path}.",
            classification=None if decided else classification,
            decided=decided and logical == "array",
        )
        if logical == "object":
            column = self._object(column, prop, node, inner, custom)
        elif logical == "array":
            column = self._array(column, prop, node, inner)
        if self._is_broken(node):
            return column
        if logical not in ("object", "array"):
            column = self._scalar(column, prop, node)
        self._fitting(column, prop, node, custom, place)
        reader = RuleReader(
            problems=self.problems,
            path=path,
            node=node,
            logical=logical,
            kind=column.type,
            timezone=column.timezone,
            warn=custom.get("onFailure") == "warn",
            required=column.required,
            unique=column.unique,
        )
        rules = (*column.rules, *reader.read(prop))
        column = replace(column, rules=rules, required=reader.required, unique=reader.unique)
        self._lacking(column, node, top=place.top)
        return protect(column, node, custom, self.problems, decided=place.decided)

    def _object(
        self,
        column: Column,
        prop: SchemaProperty,
        node: NodePath,
        inner: _Place,
        custom: dict[str, Any],
    ) -> Column:
        keys = prop.properties or ()
        is_open = inner.open or custom.get("open") is True or not keys
        at_top = "." not in column.path and not column.path.endswith("[]")
        if is_open and not inner.open and not at_top and not self._is_broken(node):
            self.problems.add(
                node,
                f"`{column.path}` must declare its keys, since it is inside an object or array "
                "with declared ones; got an open object; add properties, or open the outermost",
            )
        elif custom.get("open") is False and is_open:
            why = "it is inside an open object" if inner.open else "it declares no keys"
            self.problems.add(
                node,
                f"`{column.path}` must be open, since {why}; got penstock:open: false; remove it",
            )
        inner = replace(inner, open=is_open)
        children = self._columns(keys, (*node, "properties"), inner)
        options = prop.logicalTypeOptions or {}
        names = [child.name for child in children]
        for i, name in enumerate(options.get("required") or ()):
            if name not in names:
                hint = did_you_mean(name, names)
                self.problems.add(
                    (*node, "logicalTypeOptions", "required", i),
                    f"a required key of `{column.path}` must be declared; got {quoted(name)}; "
                    f"{hint or 'declare it'}",
                )
        required = set(options.get("required") or ())
        children = tuple(
            replace(child, required=True) if child.name in required else child for child in children
        )
        kind = pa.string() if is_open else struct_type(children)
        return replace(column, type=kind, open=is_open, children=children)

    def _array(self, column: Column, prop: SchemaProperty, node: NodePath, inner: _Place) -> Column:
        if prop.items is None:
            if not self._is_broken(node):
                self.problems.add(
                    node,
                    f"array `{column.path}` must say what it holds; got no items; "
                    "add items: {logicalType: ...}",
                )
            return replace(column, type=pa.list_(pa.string()))
        inner = replace(inner, open=False)
        at, path = (*node, "items"), f"{column.path}[]"
        items = self._column(prop.items, at, "element", path, inner)
        return replace(
            column,
            type=pa.list_(pa.field(items.name, items.type, nullable=not items.required)),
            items=items,
        )

    def _scalar(self, column: Column, prop: SchemaProperty, node: NodePath) -> Column:
        options, logical = prop.logicalTypeOptions or {}, column.logical
        sized = logical in ("integer", "number")
        typed = scalar_type(logical, prop.physicalType, options.get("format") if sized else None)
        if typed.problem:
            self.problems.add((*node, "physicalType"), f"`{column.path}`: {typed.problem}")
        column = replace(column, type=typed.type, rules=typed.rules)
        if logical not in ("date", "timestamp", "time"):
            return column
        at = (*node, "logicalTypeOptions")
        forms: tuple[str, ...] = ()
        if "format" in options:
            read = strptime_forms(options["format"], logical)
            if isinstance(read, str):
                self.problems.add((*at, "format"), f"`{column.path}`: {read}")
            else:
                forms = read
        name = options.get("defaultTimezone", "UTC")
        if zone(name) is None:
            self.problems.add(
                (*at, "defaultTimezone"),
                f"defaultTimezone of `{column.path}` must be a time zone such as UTC or "
                f"America/New_York; got {quoted(name)}; correct it",
            )
            name = "UTC"
        if forms and "timezone" in options:
            named = options["timezone"]
            if any(names_zone(form) is not named for form in forms):
                must = "read the zone (XXX)" if named else "read no zone"
                self.problems.add(
                    (*at, "format"),
                    f"format of `{column.path}` must {must}, as its option timezone says; "
                    f"got {quoted(options['format'])}; change one",
                )
        return replace(column, formats=forms, timezone=name)

    def _fitting(
        self,
        column: Column,
        prop: SchemaProperty,
        node: NodePath,
        custom: dict[str, Any],
        place: _Place,
    ) -> None:
        """Check that the words of a property fit each other and where it stands."""
        path, logical = column.path, column.logical
        nested = logical in ("object", "array")
        add = self.problems.add
        if prop.properties and logical != "object":
            must = f"`{path}` must be an object to have properties; got {logical}"
            add((*node, "properties"), f"{must}; change logicalType, or remove them")
        if prop.items is not None and logical != "array":
            must = f"`{path}` must be an array to have items; got {logical}"
            add((*node, "items"), f"{must}; change logicalType, or remove them")
        if "open" in custom and logical != "object":
            must = f"`{path}` must be an object to be open; got {logical}"
            add(node, f"{must}; remove penstock:open")
        if "onChange" in custom and not (place.top and prop.transformLogic is None):
            got = "inside another" if not place.top else "computed"
            must = f"`{path}` must be a top-level property that is read to say what meets a change"
            add(node, f"{must}; got one that is {got}; remove penstock:onChange")
        if prop.physicalName not in (None, prop.name):
            self._physical(prop, node, path, top=place.top)
        if prop.unique and nested:
            must = f"`{path}` must be a scalar to be unique; got {logical}"
            add((*node, "unique"), f"{must}; remove unique")
        if prop.transformLogic is not None:
            self._transform(prop, node, path, nested=nested or not place.top)
        if prop.primaryKey:
            self._key(column, node, top=place.top)
        elif (prop.primaryKeyPosition or -1) != -1:
            add(
                (*node, "primaryKeyPosition"),
                f"`{path}` must be a primary key to have a position; got primaryKeyPosition; "
                "add primaryKey: true",
            )

    def _lacking(self, column: Column, node: NodePath, *, top: bool) -> None:
        if column.may_lack and not (top and column.read and not column.required):
            got = "inside another" if not top else "computed" if not column.read else "required"
            self.problems.add(node, not_lacking(column, got))

    def _physical(self, prop: SchemaProperty, node: NodePath, path: str, *, top: bool) -> None:
        at, got = (*node, "physicalName"), quoted(prop.physicalName)
        if not top:
            must = f"physicalName of `{path}` must equal its name, since it is inside another"
            self.problems.add(at, f"{must}; got {got}; rename the property")
        elif prop.transformLogic is not None:
            must = f"`{path}` must be read from records to have a physicalName; got {got}"
            self.problems.add(at, f"{must}; remove it, or transformLogic")

    def _transform(self, prop: SchemaProperty, node: NodePath, path: str, *, nested: bool) -> None:
        at = (*node, "transformLogic")
        if nested:
            must = f"`{path}` must be a top-level scalar to be computed; got transformLogic"
            self.problems.add(at, f"{must}; compute a column of its own")
        elif not (prop.transformLogic or "").strip():
            must = f"transformLogic of `{path}` must be a SQL row expression; got nothing"
            self.problems.add(at, f"{must}; write it, or remove the key")

    def _key(self, column: Column, node: NodePath, *, top: bool) -> None:
        path, at = column.path, (*node, "primaryKey")
        kind = column.type
        if not top:
            must = f"a primary key must be a top-level property; got `{path}`"
            self.problems.add(at, f"{must}; choose another, or move it")
        elif column.logical in ("object", "array") or pa.types.is_floating(kind):
            got = "a floating number" if pa.types.is_floating(kind) else f"an {column.logical}"
            must = f"a primary key must compare exactly; got `{path}`, {got}"
            self.problems.add(at, f"{must}; use text, an integer or DECIMAL")
        elif not column.required:
            must = f"a primary key must be required; got `{path}`, which is not"
            self.problems.add(at, f"{must}; add required: true")


def mode_of(value: object) -> OnChange | None:
    """Read `penstock:onChange`; a value that is none is known as broken by the schema."""
    return OnChange(value) if value in [mode.value for mode in OnChange] else None


def struct_type(columns: Sequence[Column]) -> pa.DataType:
    """Arrow type of a closed object with these keys."""
    # A required key of an object that is null is null: Parquet takes no null parent otherwise.
    return pa.struct([pa.field(column.name, column.type) for column in columns])
