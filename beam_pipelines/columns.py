"""Aligned columns of text for a terminal or a pipe."""

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
