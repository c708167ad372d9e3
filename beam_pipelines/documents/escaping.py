"""Text of other people in Markdown and Mermaid: it is shown as it is, whatever it looks like.

Names, descriptions and paths come from contracts and from the keys of data. None of them may make
a link, an image, HTML, a table cell, the end of a code block, a marker, or an arrow in a diagram.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from beam_pipelines.columns import printable

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_OBEYED: Final = frozenset("\\`*[]~$_")
_SPECIAL: Final = r"[&<>|\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])"
# GitHub makes links of bare addresses, escaped ones too, but in spans of code (GFM, 6.9).
_ADDRESS: Final = r"(?<!\S)\S*(?:://|www\.|mailto:|xmpp:|\S@\S)\S*"
_TAKEN: Final = re.compile(f"(?P<address>{_ADDRESS})|{_SPECIAL}", re.IGNORECASE)
_OPENING: Final = "([{<\"'"
_CLOSING: Final = ")]}>\"'.,;!?"
_BEGINS: Final = re.compile(r"([0-9]{0,9})([#+\-=]|[.)](?: |$))")
_SAFE_IN_LABELS: Final = frozenset(" _-./,()=")


def prose(text: str) -> str:
    r"""Return a text as Markdown that shows it in one line.

    >>> prose("a_b *c* <d>\n| e (see https://f.example).")
    'a_b \\*c\\* &lt;d&gt; &#124; e (see `https://f.example`).'
    """
    line = " ".join(printable(" ".join(text.split())).split())
    line = _TAKEN.sub(lambda m: _address(m[0]) if m["address"] else _escaped(m[0]), line)
    begins = _BEGINS.match(line)  # what a list, a heading or a rule would begin with
    return line if begins is None else f"{begins[1]}\\{line[begins.end(1) :]}"


def _escaped(text: str) -> str:
    return "".join(_ENTITIES.get(c, f"\\{c}" if c in _OBEYED else c) for c in text)


def _address(word: str) -> str:
    """Return a word that holds an address, which is code; punctuation around it is not."""
    begun = word.lstrip(_OPENING)
    address = begun.rstrip(_CLOSING)
    before, after = word[: len(word) - len(begun)], begun[len(address) :]
    return f"{_escaped(before)}{code(address)}{_escaped(after)}"


def code(text: str) -> str:
    r"""Return a text as a span of code, in cells of tables, too.

    >>> code("dep_time"), code("a|`b")
    ('`dep_time`', '<code>a&#124;&#96;b</code>')
    """
    line = printable(text)
    if line and line == line.strip() and not {"`", "|"} & set(line):
        return f"`{line}`"
    shown = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in line)
    return f"<code>{shown.replace('&#64;', '<!-- -->&#64;')}</code>"  # no address of mail is one


def sql(text: str) -> str:
    """Return an expression as a span of code, its lines made one."""
    return code(" ".join(text.split()))


def label(text: str) -> str:
    """Return a text as it stands between the quotes of a node of a Mermaid flowchart.

    >>> label('say "hi" %%{x}')
    'say #34;hi#34; #37;#37;#123;x#125;'
    """
    line = printable(text)
    return "".join(c if c.isalnum() or c in _SAFE_IN_LABELS else f"#{ord(c)};" for c in line)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; cells are Markdown of one line."""
    lines = (titles, tuple("---" for _ in titles), *rows)
    return ["| " + " | ".join(cells) + " |" for cells in lines]
