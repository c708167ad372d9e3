"""What happens to a property's values: declared with `penstock:protect`, or by default.

A property is classified by any `classification` but `public`; keys and items inherit it. What is
classified, and neither declares `penstock:protect` nor stands in what does, is protected by
default: text is pseudonymized, wherever it stands; everything else is dropped, an open object whole
(its undeclared keys could hold anything). Keeping it needs `penstock:protect: keep` with a
`penstock:reason`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas import protection
from schemas.contract import Column, Protection
from schemas.located import NodePath, Problems


def protect(
    column: Column, node: NodePath, custom: dict[str, Any], problems: Problems, *, decided: bool
) -> Column:
    """Return the column with its protection, declared or by default.

    Args:
        column: Complete but for that; what is inside it is protected already.
        node: Where its property is in the file.
        custom: Our custom properties of it, without prefix.
        problems: Where to add what has no meaning for its type, or makes a key ambiguous.
        decided: Whether it is the items of an array that declares a protection itself.
    """
    path, reason, options = column.path, custom.get("reason"), custom.get("protectOptions")
    explicit = custom.get("protect")
    chosen = Protection.KEEP if decided else _default(column)
    if explicit:
        chosen = Protection(explicit)
    if chosen is Protection.DROP and column.items is not None:
        column = replace(column, items=replace(column.items, protect=Protection.KEEP))
    column = replace(
        column,
        protect=chosen,
        protect_reason=reason,
        protect_options=tuple(sorted((k, _fixed(v)) for k, v in (options or {}).items())),
    )
    if explicit == Protection.KEEP and _unexplained(column):
        problems.add(
            node,
            f"a classified property that is kept must say why; got `{path}` without a reason; "
            "add penstock:reason",
        )
    if options and chosen not in (Protection.MASK, Protection.GENERALIZE):
        must = f"protectOptions of `{path}` must go with mask or generalize; got {chosen}"
        problems.add(node, f"{must}; remove them, or set penstock:protect")
    elif why := protection.problem(column):
        problems.add(node, f"`{path}`: {why}")
    if path.endswith("[]") and explicit == Protection.DROP:
        must = f"items of an array must stay; got drop of `{path}`"
        problems.add(node, f"{must}; drop the array instead")
    if column.primary_key and chosen not in (Protection.KEEP, Protection.PSEUDONYMIZE):
        how = "by default, since it is classified" if not explicit else "as declared"
        problems.add(
            node,
            f"a primary key must stay distinct: keep or pseudonymize; got {chosen} of "
            f"`{path}` {how}; set penstock:protect",
        )
    return column


def _fixed(value: object) -> object:
    """Return a list as what can be hashed, as contracts are."""
    return tuple(value) if isinstance(value, list) else value


def _unexplained(column: Column) -> bool:
    """Whether a property would need a reason to be kept, and has none."""
    return column.classification is not None and not column.protect_reason


def _default(column: Column) -> Protection:
    """Choose the protection of a property that declares none; see the module docstring."""
    if column.items is not None:
        # Items cannot be dropped one by one, so the array goes.
        dropped = column.items.protect is Protection.DROP
        return Protection.DROP if dropped else Protection.KEEP
    if column.classification is None or (column.children and not column.open):
        return Protection.KEEP
    return Protection.PSEUDONYMIZE if column.logical == "string" else Protection.DROP
