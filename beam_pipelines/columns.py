"""Text for a terminal or a pipe: in aligned columns, and without what a terminal obeys."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> list[str]:
    """Return lines of columns, two spaces apart; nothing is cut or folded.

    Args:
        titles: One for each column.
        rows: Cells of each row.
        numbers: How many of the last columns are aligned to the right.
    """
    cells = [tuple(titles), *map(tuple, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    first = len(titles) - numbers
    return [
        "  ".join(
            cell.ljust(width) if i < first else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def printable(text: str) -> str:
    r"""Return a text in one line that no terminal obeys: `\x1b` for what cannot be seen."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
