"""Fields of JSON records: which keys there are, of which kinds, and the values of scalars."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.sql_engine import connect
from transforms.decode.casts import isolate
from transforms.inference.fields import Field, Kind
from transforms.inference.map_keys import kind_of

_KINDS: Final = {
    "VARCHAR": Kind.TEXT, "BOOLEAN": Kind.BOOLEAN, "DOUBLE": Kind.NUMBER, "NULL": Kind.NOTHING,
    "UBIGINT": Kind.INTEGER, "BIGINT": Kind.INTEGER, "HUGEINT": Kind.INTEGER,
}  # fmt: skip
_MOST_KEYS: Final = 60
_AT_ONCE: Final = 50
_THERE: Final = 0.5
Path = tuple[str, ...]


def json_fields(blocks: Sequence[bytes]) -> tuple[tuple[Field, ...], int, int]:
    """Return the fields of JSON lines, how many records there are, and how many are broken."""
    lines = b"\n".join(block.removesuffix(b"\n") for block in blocks)
    texts = pa.array(lines.removeprefix(b"\xef\xbb\xbf").split(b"\n"), pa.binary())
    texts = texts.filter(pc.greater(pc.binary_length(texts), 1))
    read = isolate(lambda part: part.cast(pa.string()), texts, pa.string())
    fields, rows, broken = json_text_fields(read.values)
    return fields, rows, broken + (0 if read.bad is None else int(read.bad.sum()))


def json_text_fields(texts: pa.Array) -> tuple[tuple[Field, ...], int, int]:
    """Return the fields of JSON texts of objects, how many there are, and how many are none.

    Nulls are neither.
    """
    reader = _Reader(texts)
    structure = reader.structure()
    if not isinstance(structure, dict):
        return (), 0, reader.rows + reader.broken
    return reader.fields(structure, ()), reader.rows, reader.broken


class _Reader:
    """Asks a table of JSON texts in DuckDB."""

    def __init__(self, texts: pa.Array) -> None:
        self._connection = connect()
        self._connection.register("texts", pa.table({"line": texts}))
        self._connection.execute(
            "CREATE TABLE lines AS SELECT line::JSON AS line FROM texts "
            "WHERE line IS NOT NULL AND json_valid(line) AND json_type(line) = 'OBJECT'"
        )
        self.rows = self._number("SELECT count(*) FROM lines")
        self.broken = self._number("SELECT count(line) FROM texts") - self.rows

    def _number(self, query: str) -> int:
        (row,) = self._connection.execute(query).fetchall()
        return int(row[0])

    def structure(self) -> Any:
        ((text,),) = self._connection.execute(
            "SELECT json_group_structure(line) FROM lines"
        ).fetchall()
        return json.loads(text) if text else None

    def fields(self, structure: dict[str, Any], path: Path) -> tuple[Field, ...]:
        """Return the fields of an object at a path."""
        leaves = dict(_leaves(structure, path))
        values = self._values(list(leaves))
        return tuple(
            self._field(key, inner, (*path, key), values) for key, inner in structure.items()
        )

    def _values(self, paths: Sequence[Path]) -> dict[Path, tuple[pa.Array, set[str]]]:
        """Return, by path, a text for each record, and the kinds of value that there are."""
        found: dict[Path, tuple[pa.Array, set[str]]] = {}
        for at in range(0, len(paths), _AT_ONCE):
            found |= self._some(paths[at : at + _AT_ONCE])
        return found

    def _some(self, paths: Sequence[Path]) -> dict[Path, tuple[pa.Array, set[str]]]:
        # DuckDB copies a list of all for each of its items, so the lists must not be long.
        listed = f"[{', '.join(map(_quoted, paths))}]"
        columns = ", ".join(f"r[{i + 1}] AS v{i}" for i in range(len(paths)))
        table = self._connection.sql(
            f"SELECT {columns} FROM (SELECT json_extract_string(line, {listed}) AS r FROM lines)"  # noqa: S608
        ).to_arrow_table()
        kinds = ", ".join(f"list(DISTINCT r[{i + 1}]) AS v{i}" for i in range(len(paths)))
        (types,) = self._connection.execute(
            f"SELECT {kinds} FROM (SELECT json_type(line, {listed}) AS r FROM lines)"  # noqa: S608
        ).fetchall()
        return {
            path: (
                table.column(i).combine_chunks().cast(pa.string()),
                {kind for kind in (types[i] or ()) if kind not in (None, "NULL")},
            )
            for i, path in enumerate(paths)
        }

    def _field(
        self, key: str, structure: Any, path: Path, values: dict[Path, tuple[pa.Array, set[str]]]
    ) -> Field:
        texts, kinds = values[path]
        field = Field(key, Kind.MIXED, self.rows, texts.null_count)
        if isinstance(structure, dict):
            children = tuple(
                self._field(k, inner, (*path, k), values) for k, inner in structure.items()
            )
            return object_field(field, children, self.rows - texts.null_count, texts)
        if isinstance(structure, list):
            return replace(field, kind=Kind.ARRAY, items=self._items(structure, path))
        if structure == "JSON":
            if kinds == {"OBJECT"}:
                return replace(field, kind=Kind.OBJECT, regular=False, texts=texts)
            return replace(field, kind=Kind.ARRAY if kinds == {"ARRAY"} else Kind.MIXED)
        kind = _KINDS.get(str(structure), Kind.MIXED)
        return replace(field, kind=kind, values=texts)

    def _items(self, structure: list[Any], path: Path) -> Field | None:
        """Return what an array holds: of objects the keys, each with all values that there are."""
        inner = structure[0] if structure else "NULL"
        if isinstance(inner, list):
            items = self._items(inner, path)
            return None if items is None else Field("element", Kind.ARRAY, 0, 0, items=items)
        if not isinstance(inner, dict):
            kind = _KINDS.get(str(inner), Kind.MIXED)
            kind = Kind.TEXT if kind is Kind.NOTHING else kind
            texts = self._items_at(path, "json_extract_string") if kind is Kind.TEXT else None
            return None if kind is Kind.MIXED else Field("element", kind, 0, 0, texts)
        nested = _Reader(self._items_at(path, "json_extract"))
        found = nested.structure()
        if not isinstance(found, dict) or nested.broken:
            return None
        field = Field("element", Kind.OBJECT, nested.rows, 0)
        return object_field(field, nested.fields(found, ()), nested.rows)

    def _items_at(self, path: Path, extract: str) -> pa.Array:
        """Return what the arrays at a path hold: JSON, or texts, as a function of DuckDB has it."""
        array = f"SELECT json_extract(line, {_quoted(path)}) AS line FROM lines"  # noqa: S608
        table = self._connection.sql(
            f"SELECT unnest({extract}(line, '$[*]')) AS line FROM ({array})"  # noqa: S608
        ).to_arrow_table()
        return table.column(0).combine_chunks().cast(pa.string())


def object_field(
    field: Field, children: tuple[Field, ...], there: int, texts: pa.Array | None = None
) -> Field:
    """Return an object, open unless its keys are few, of one kind each, and mostly there.

    Args:
        field: What is known of it.
        children: Its keys, each with as many `rows` as it has.
        there: How many objects there are.
        texts: The objects as JSON, if they are such.
    """
    field = replace(field, kind=Kind.OBJECT, regular=False, texts=texts)
    if len({child.kind for child in children}) == 1 and (
        keyed := kind_of([child.key for child in children])
    ):
        return replace(field, keyed=keyed)
    shares = [(there - (c.nulls - (c.rows - there))) / max(there, 1) for c in children]
    regular = (
        0 < len(children) <= _MOST_KEYS
        and sum(shares) / len(shares) >= _THERE
        and all(declarable(child) for child in children)
    )
    return replace(field, children=children, regular=regular, texts=None if regular else texts)


def declarable(child: Field) -> bool:
    """Return whether a contract can declare a key of an object."""
    plain = not (set('."') & set(child.key)) and not child.key.startswith("_")
    named = (
        plain and 0 < len(child.key.strip()) == len(child.key) <= 128 and child.key.isprintable()
    )
    if not named or child.kind in (Kind.MIXED, Kind.OTHER):
        return False
    if child.kind is Kind.ARRAY:
        return child.items is not None and _whole(child.items)
    return child.kind is not Kind.OBJECT or child.regular


def _whole(items: Field) -> bool:
    if items.kind is Kind.ARRAY:
        return items.items is not None and _whole(items.items)
    return items.kind is not Kind.OBJECT or items.regular


def _leaves(structure: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every path that is not inside an array, objects too."""
    for key, inner in structure.items():
        here = (*path, key)
        yield here, inner
        if isinstance(inner, dict):
            yield from _leaves(inner, here)


def _quoted(path: Path) -> str:
    """Return the JSON pointer of a path as a text of SQL."""
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
    return "'" + pointer.replace("'", "''") + "'"
