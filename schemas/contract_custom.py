"""Our custom properties of a contract: `penstock:...`, where the standard has no word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from open_data_contract_standard.model import CustomProperty

from schemas.located import NodePath, Problems, quoted

PREFIX: Final = "penstock:"


def ours(
    entries: Sequence[CustomProperty] | None, node: NodePath, problems: Problems
) -> dict[str, Any]:
    """Return our custom properties by their name without prefix.

    Args:
        entries: The custom properties of one element; foreign ones are left alone.
        node: Where the element is; a name given twice is a problem there.
        problems: Where to add it.
    """
    found: dict[str, Any] = {}
    for i, entry in enumerate(entries or ()):
        name = entry.property or ""
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX)
        if key in found:
            message = f"a custom property must occur once; got {quoted(name)} again; remove one"
            problems.add((*node, "customProperties", i), message)
        found[key] = entry.value
    return found
